"""Predictions of candidates: their features as of their moments, the trained model, the run's calibration, the fused score."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsys import calibration, features, schema, scoring, sources
from recsys.config import Pipeline, TimeOptions
from recsys.days import Day
from recsys.errors import ArtifactError, ConfigError, data_error, naming, one_line
from recsys.features.background import Background
from recsys.predicting.answers import write_answers
from recsys.predictions import assemble
from recsys.progress import Console
from recsys.runs import pipeline_of
from recsys.stages import STAGES, Job, bring_states_forward, encoded_of, examples_of, states_of
from recsys.workspace import CALIBRATION, EVENTS, MODEL

Rows = Callable[[], pa.Table]


@dataclass(frozen=True)
class Question:
    """What is asked of a run.

    - `candidates`: a file of them: text with a header, or parquet.
    - `at`: the moment of all of them, an ISO date and time or whole ms UTC; None: each has its own `timestamp`.
    - `top`: the length of ranked lists; None: all candidates, in their order.
    """

    candidates: Path
    at: str | None = None
    top: int | None = None

    def moment(self, zone: str) -> int | None:
        """Return `at` in ms UTC. A time without an offset is on the clock of `zone`. Raises ConfigError where it is no time."""
        if self.at is None:
            return None
        text = pa.array([self.at.strip()])
        readings = (TimeOptions(unit="ms", zone=zone), TimeOptions(unit="iso", zone=zone))
        found = [moment for form in readings if (moment := sources.moments_or_null(text, form)[0].as_py()) is not None]
        if not found:
            raise ConfigError(
                f'--at: found "{one_line(self.at)}", expected an ISO date and time such as 2022-05-04T18:00 (on the clock of {zone}),'
                " or whole milliseconds since 1970-01-01 UTC"
            )
        return int(found[0])


def predict(run: Path, question: Question, target: Path, console: Console) -> None:
    """Write the run's predictions of candidates to `target`, parquet or, with the suffix .csv, text.

    Each candidate's features are those of its moment, made from what the log held strictly before it, by the program of the examples. The
    position is missing, as in ranking. States of days that the log has gained are made first. Raises ConfigError for a question that cannot
    be answered, DataError for candidates that cannot be used, ArtifactError where the run has no model or its files are damaged.
    """
    _require_target(target, question)
    job = _job(run.resolve(), console)
    options = STAGES["features"].receives(job.pipeline)
    at = question.moment(job.pipeline.zone)
    target.parent.mkdir(parents=True, exist_ok=True)
    with job.at_work(), tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=".draft", dir=target.parent) as name:
        scratch = Path(name)
        steps = features.days_with_events(options, job.folder)
        columns = features.read_columns(job.folder, steps[0].day.iso)
        features.require(options, columns)
        needed = {field.name: field.type for field in features.needed_columns(options, columns)}
        file = scratch / "candidates.parquet"
        sources.stage_candidates(job.pipeline, question.candidates, needed, file, at=at, scratch=scratch)
        with features.Engine(memory_limit=options.features.memory_limit, spill=scratch) as engine:
            candidates = features.Candidates(options, job.folder, columns, engine, file, scratch)
            days = candidates.days()
            _require_reached(min(days), steps[0].day, question, job.folder)
            today = {step.day.iso: step for step in steps}
            scored = _scored(job, candidates, days, today, scratch)
            draft = scratch / f"answers{target.suffix}"
            write_answers(engine, candidates.rows, scored, draft, top=question.top)
        _say(job, candidates, days, steps[-1].day.iso)
        with naming(target):
            os.replace(draft, target)


def _job(run: Path, console: Console) -> Job:
    """Return the job that the run came from. Raise ArtifactError where the features of this version are not those that it learned from."""
    pipeline = pipeline_of(run)
    folder = run.parent.parent
    examples = examples_of(pipeline, folder)
    if not examples.is_dir():
        raise ArtifactError(
            f"{examples}: found no examples, expected those that {run.name} learned from: it is of an earlier version, or they are removed."
            " Fix: run the pipeline again"
        )
    return Job(pipeline, folder, run, examples, encoded_of(pipeline, folder, examples), console)


def _require_target(target: Path, question: Question) -> None:
    if target.suffix not in (".parquet", ".csv"):
        raise ConfigError(f'--out: found "{target}", expected a file that ends in .parquet or .csv')
    if target.is_dir() or target.resolve() == question.candidates.resolve():
        what = "a folder" if target.is_dir() else "the candidates themselves"
        raise ConfigError(f"--out: found {what} ({target}), expected another file for what is predicted")
    if question.top is not None and question.top < 1:
        raise ConfigError(f"--top: found {question.top}, expected 1 or more")


def _require_reached(asked: str, first: Day, question: Question, folder: Path) -> None:
    if asked < first.iso:
        raise data_error(
            question.candidates if question.at is None else "--at",
            found=f"a moment on {asked}",
            expected=f"moments from {first.iso} on, where the log in {folder / EVENTS} begins",
            fix="ask for a later moment",
        )


def _scored(
    job: Job, candidates: features.Candidates, days: Mapping[str, int], with_events: Mapping[str, features.Step], scratch: Path
) -> list[Path]:
    """Predict the candidates of each day, and return the files of their predictions."""
    steps = bring_states_forward(job, max(days))
    scorer = scoring.load(job.run / MODEL, job.pipeline.train)
    maps = calibration.read(job.run / CALIBRATION) if job.pipeline.evaluate.calibrate != "none" else None
    answer = partial(_answered, scorer, job.pipeline, maps)
    files = []
    with job.console.bar("predict", len(days)) as advance, Background[Rows]() as background:
        for iso, count in days.items():
            day = Day(iso, job.pipeline.zone)
            files.append(scratch / f"scored.{iso}.parquet")
            earlier = [step for step in steps if step.day.iso < iso]
            chunks = candidates.examples(day, earlier, with_events.get(iso), states_of(job))
            background.stream(chunks, partial(_write, answer=partial(answer, iso), target=files[-1]))
            advance(note=f"{iso}, {count:,} candidates")
    return files


def _answered(scorer: scoring.Scorer, pipeline: Pipeline, maps: calibration.Calibration | None, day: str, rows: Rows) -> pa.Table:
    """Predict some candidates of a day, calibrate the predictions, and fuse them."""
    examples = rows()
    ids = examples.select([schema.EVENT_ID, schema.USER_ID, schema.ITEM_ID, schema.TIMESTAMP])
    predicted_NV = scorer.predict(examples, "missing")
    table = assemble(ids, day=day, split="", objectives=pipeline.objective, predicted_NV=predicted_NV, train_means=scorer.model.train_means)
    if maps is not None:
        table = maps.applied(table, pipeline.objective, run=day)
    return table.drop_columns([name for name in table.column_names if name == schema.SPLIT or name.startswith(schema.RAW)])


def _write(chunks: Iterator[Rows], *, answer: Callable[[Rows], pa.Table], target: Path) -> None:
    writer = None
    try:
        for rows in chunks:
            table = answer(rows)
            writer = writer or pq.ParquetWriter(target, table.schema, compression="zstd")
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _say(job: Job, candidates: features.Candidates, days: Mapping[str, int], last: str) -> None:
    """Say how many candidates there were, what of them the log does not know, and what makes their predictions no forecasts."""
    console, unknown = job.console, candidates.unknown
    rows = unknown.pop("rows")
    spans = features.spans(list(days))
    console.say(f"predict: {rows:,} candidates on {spans}; the log has impressions through {last}")
    words = {schema.USER_ID: "a user whom the log does not know before that day", schema.ITEM_ID: "an item that it does not know"}
    for name, count in unknown.items():
        if count:
            what = words.get(name, f"no {schema.strip(name, schema.CONTEXT)}" if name.startswith(schema.CONTEXT) else name)
            console.say(f"predict: {count:,} of {rows:,} have {what}: predicted as in training")
    learned = job.pipeline.learned_through
    if seen := sum(count for day, count in days.items() if day <= learned):
        console.say(
            f"predict: warning: found {seen:,} of {rows:,} on days that the model has learned from (through {learned}),"
            " expected later ones: these predictions are no forecasts"
        )
