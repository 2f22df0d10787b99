"""Build examples from events, day by day with kept state, so that a new day costs one day's work."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from recsys import artifacts
from recsys.artifacts import Origin
from recsys.config import Pipeline
from recsys.errors import many
from recsys.features import factors
from recsys.features.background import Background
from recsys.features.check import require
from recsys.features.duckdb_engine import DuckDBEngine
from recsys.features.engine import Engine
from recsys.features.plan import make_plan
from recsys.features.program import DayInputs, Program
from recsys.features.sides import Sides
from recsys.features.steps import Step, read_columns, require_whole
from recsys.progress import Console
from recsys.workspace import PART, day_folder

Rows = Callable[[], pa.Table]  # some rows of examples, put together when they are asked for


def build(
    pipeline: Pipeline,
    folder: Path,
    steps: Sequence[Step],
    origins: Mapping[str, Origin],
    *,
    examples: Path,
    states: Path,
    console: Console,
) -> None:
    """Write `states`/day=D for the days of `origins`, and `examples`/day=D for those of them that are wanted.

    `folder` is the pipeline's workspace, with events/, users/ and items/ as `sources` leaves them. `steps` are all days up to the last of
    `origins` (`steps.all_steps`); the states of the others stand. Raises ConfigError for labels that are not scalar expressions, DataError
    for unknown columns and for values that an objective or a signal cannot have, ArtifactError for damaged inputs.
    """
    columns = read_columns(folder, steps[0].day.iso)
    require(pipeline, columns)
    plan = make_plan(pipeline, columns)
    examples.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=f".{examples.name}.", suffix=".draft", dir=examples.parent) as spill,
        _engine(pipeline, Path(spill)) as engine,
        console.bar("features", len(origins)) as advance,  # it ends once the last day is written
        Background[Rows]() as background,
    ):
        sides, program = Sides(engine, folder, plan), Program(engine, plan)
        doubts: dict[str, str] = {}  # of each signal the one of the first day
        for index, step in enumerate(steps):
            if (origin := origins.get(step.day.iso)) is not None:
                start = time.perf_counter()
                require_whole(step, columns)
                sides.at(step.day.iso)
                doubts = _build_day(program, steps[: index + 1], origin, examples, states, background) | doubts
                advance(note=f"{step.day.iso}, {many(step.rows, 'impression')}")
                seconds = round(time.perf_counter() - start, 3)
                console.event("day", stage="features", day=step.day.iso, rows=step.rows, examples=step.wanted, seconds=seconds)
    if any(step.wanted for step in steps):  # else nobody is about to train
        _advise(pipeline, steps, day_folder(states, steps[-1].day.iso), console)
    for doubt in doubts.values():
        console.say(f"features: warning: {doubt}")
    if (day := program.daily_factors.first_too_many) is not None:
        console.say(
            f"features: warning: found more than {factors.MOST_PAIRS:,} pairs of users and items in the window from {day} on: the factors"
            " that are made by default are 0 there. Fix: name them in features.factors, or give {} for none"
        )


def _engine(pipeline: Pipeline, spill: Path) -> Engine:
    limit = pipeline.features.memory_limit
    if pipeline.features.engine == "duckdb":
        return DuckDBEngine(memory_limit=limit, spill=spill)
    from recsys.features.spark_engine import SparkEngine

    return SparkEngine(pipeline.spark, memory_limit=limit, spill=spill)


def _advise(pipeline: Pipeline, steps: Sequence[Step], state: Path, console: Console) -> None:
    """Say of a dense log without factors that they may learn from it. The last state has a row per user and per item."""
    users, items = (artifacts.count_rows(state / file) for file in ("sessions.parquet", "seen.parquet"))
    if (said := factors.advice(pipeline.features, sum(step.rows for step in steps), users, items, len(steps))) is not None:
        console.say(f"features: {said}")


def _build_day(
    program: Program, steps: Sequence[Step], origin: Origin, examples: Path, states: Path, background: Background[Rows]
) -> dict[str, str]:
    """Write the state and, where wanted, the examples of the last of `steps`. The states of the earlier steps exist already.

    The examples are written in the background: the next day may begin before they stand, because it needs the state alone. Return doubts
    about the day's signals.
    """
    *earlier, step = steps
    previous = earlier[-1].day if earlier else None
    program.load(DayInputs(step.day, step.rows, list(step.files), previous, day_folder(states, previous.iso) if previous else None))
    doubts = program.require_valid(step.day, next(iter(step.files)))
    with origin.writing(day_folder(states, step.day.iso)) as output:
        program.write_state(output)
    if not step.wanted:
        return doubts
    # A day's state counts what became known up to the day's end, so states older than the window add nothing to the window.
    fitted = program.fit_day([each.day.ordinal for each in steps], [each.rows for each in steps])
    reach = [other for other in earlier if other.day.ordinal >= fitted - program.longest_window]
    chunks = program.examples(step.day, [day_folder(states, other.day.iso) for other in (*reach, step)], fitted)
    columns = program.example_schema

    def write(chunks: Iterator[Rows]) -> None:
        with origin.writing(day_folder(examples, step.day.iso)) as output:
            output.rows = artifacts.RowAccount(step.rows, step.rows, 0, 0)
            output.write_batches(PART, columns, (batch for rows in chunks for batch in rows().to_batches()))

    background.stream(chunks, write)
    return doubts
