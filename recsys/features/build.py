"""Build examples from events, day by day with kept state. Fresh days stay, so a new day costs one day's work."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ibis

from recsys import artifacts, schema
from recsys.config import Pipeline
from recsys.errors import Place, data_error
from recsys.features.check import require
from recsys.features.columns import Columns
from recsys.features.engine import Engine
from recsys.features.plan import make_plan, plan_fingerprint
from recsys.features.program import DayInputs, Program
from recsys.features.steps import Step, all_steps, read_columns, require_whole
from recsys.progress import Console
from recsys.workspace import EXAMPLES, ITEMS, PART, STATE, USERS, day_folder

STAGE = "features"


@dataclass(frozen=True)
class Built:
    """The location of a pipeline's examples. `fresh` is the number of `days` that were there already."""

    fingerprint: str
    folder: Path  # examples/FINGERPRINT, with a folder day=D for each of `days`
    days: tuple[str, ...]
    fresh: int


def build(pipeline: Pipeline, folder: Path, *, console: Console) -> Built:
    """Write examples/FP/day=D for every day of the split that has events.

    Also write state/FP/day=D for every day with events, up to the last day of the split. `folder` is the pipeline's workspace,
    in which `sources` has left events/, users/ and items/. Raises ConfigError for labels that are not scalar expressions.
    Raises DataError for unknown columns, for parts of the split without rows, and for values that an objective or a signal
    cannot have. Raises ArtifactError for damaged inputs.
    """
    steps = all_steps(pipeline, folder)
    fingerprint = plan_fingerprint(pipeline)
    examples, states = folder / EXAMPLES / fingerprint, folder / STATE / fingerprint
    days = tuple(step.day.iso for step in steps if step.wanted)
    stale = [not _is_fresh(step, examples, states) for step in steps]
    fresh = sum(step.wanted and not old for step, old in zip(steps, stale, strict=True))
    console.say(f"features: fresh ({len(days)} days)" if not any(stale) else f"features: {fresh} of {len(days)} days are fresh")
    if any(stale):
        _run(pipeline, folder, steps, stale, examples, states, console)
    return Built(fingerprint, examples, days, fresh)


def _is_fresh(step: Step, examples: Path, states: Path) -> bool:
    needed = [states, *([examples] if step.wanted else [])]
    return all(artifacts.is_fresh(day_folder(folder, step.day.iso), step.fingerprint) for folder in needed)


# --- Doing it -----------------------------------------------------------------------------------------------------
def _run(
    pipeline: Pipeline, folder: Path, steps: Sequence[Step], stale: Sequence[bool], examples: Path, states: Path, console: Console
) -> None:
    columns = read_columns(folder, steps[0].day.iso)
    require(pipeline, columns)
    plan = make_plan(pipeline, columns)
    with (
        tempfile.TemporaryDirectory(prefix=".spill-", dir=folder) as spill,
        Engine(memory_limit=pipeline.features.memory_limit, spill=Path(spill)) as engine,
        console.bar("features", sum(stale)) as advance,
    ):
        _open_sides(engine, folder, columns)
        program = Program(engine, plan)
        for index, step in enumerate(steps):
            if stale[index]:
                require_whole(step, columns)
                _run_day(program, steps[: index + 1], examples, states)
                advance(note=f"{step.day.iso}, {step.rows:,} impressions")


def _run_day(program: Program, steps: Sequence[Step], examples: Path, states: Path) -> None:
    """Write the state and, where wanted, the examples of the last of `steps`. The states of the earlier steps exist already."""
    *earlier, step = steps
    state = day_folder(states, step.day.iso)
    previous = earlier[-1].day if earlier else None
    program.load(DayInputs(step.day, list(step.files), previous, day_folder(states, previous.iso) if previous else None))
    program.require_valid(step.day, next(iter(step.files)))
    with artifacts.writing(state, stage=STAGE, fingerprint=step.fingerprint, inputs=step.inputs) as output:
        program.write_state(output)
    if not step.wanted:
        return
    # A day's state counts what became known up to the day's end, so states older than the window add nothing to the window.
    reach = [other for other in earlier if other.day.ordinal >= step.day.ordinal - program.longest_window]
    target = day_folder(examples, step.day.iso)
    with artifacts.writing(target, stage=STAGE, fingerprint=step.fingerprint, inputs=step.inputs) as output:
        output.rows = artifacts.RowAccount(step.rows, step.rows, 0, 0)
        batches = program.examples(step.day, [day_folder(states, other.day.iso) for other in (*reach, step)])
        output.write_batches(PART, program.example_schema, batches)


def _open_sides(engine: Engine, folder: Path, columns: Columns) -> None:
    """Open users and items under their names. A source without them gets empty tables. Raises DataError where an id has several rows."""
    for name, key, fields in ((USERS, schema.USER_ID, columns.users), (ITEMS, schema.ITEM_ID, columns.items)):
        path = folder / name / PART
        if not path.exists():
            engine.empty(name, fields)
            continue
        engine.files(name, [path])
        table = ibis.table(dict(columns.types("users" if name == USERS else "items")), name=name)
        counted = engine.arrow(table.agg(rows=table.count(), unique=table[key].nunique())).to_pylist()[0]
        if counted["rows"] != counted["unique"]:
            raise data_error(
                Place(path, column=key),
                found=f"{counted['unique']:,} different values",
                expected="one row each",
                bad_rows=counted["rows"] - counted["unique"],
                rows=counted["rows"],
                fix="run ingest again",
            )
