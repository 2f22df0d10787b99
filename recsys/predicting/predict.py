"""Predictions of candidates: their features as of their moments, the trained model, the run's calibration, the fused score."""

import operator
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys import artifacts, calibration, features, locks, schema, scoring, sources
from recsys.config import Pipeline, TimeOptions
from recsys.days import Day, day_of
from recsys.errors import ArtifactError, ConfigError, data_error, many, naming, one_line, short
from recsys.features.background import Background
from recsys.jobs import job_of
from recsys.predicting.answers import count_repeated, write_answers
from recsys.predictions import assemble
from recsys.progress import Console
from recsys.runs import learned_through, pipeline_of
from recsys.stages import STAGES, Job, bring_states_forward, contents, peak_mib, states_of
from recsys.workspace import CALIBRATION, EVENTS, ITEMS, MODEL, PART, USERS, day_folder, days_in, require_inside

Rows = Callable[[], pa.Table]
_LONGEST = 2**31  # of a list
_NAMED, _SHOWN = 3, 40  # values that a message names, and letters of each


@dataclass(frozen=True)
class Question:
    """Hold what is asked of a run.

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


def predict(run: Path, question: Question, target: Path, console: Console, *, wait: bool = False) -> None:
    """Write the run's predictions of candidates to `target`, parquet or, with the suffix .csv, text.

    Each candidate's features are those of its moment, made from what the log held strictly before it, by the program of the examples. The
    position is missing, as in ranking. States of days that the log has gained are made first. Raises ConfigError for a question that cannot
    be answered, DataError for candidates that cannot be used, ArtifactError where the run has no model or its files are damaged.
    """
    job = _job(run.resolve(), console, wait=wait)
    at = question.moment(job.pipeline.zone)
    _require_target(target, question, job.pipeline)
    if (left_out := sources.said_left_out(question.candidates)) is not None:
        console.say(f"predict: left out {left_out}")
    options = STAGES["features"].receives(job.pipeline)
    with (
        job.at_work(),
        locks.scratch(_scratch_place(job), "predict") as scratch,
        naming(scratch),
    ):
        log = contents(_log(job.folder))
        steps = features.days_with_events(options, job.folder)
        columns = features.read_columns(job.folder, steps[0].day.iso)
        features.require(options, columns)
        needed = {field.name: field.type for field in features.needed_columns(options, columns)}
        file = scratch / "candidates.parquet"
        first = steps[0].day
        _require_begun(at, first)
        last = sources.stage_candidates(job.pipeline, question.candidates, needed, file, at=at, first=first, scratch=scratch)
        bring_states_forward(job, day_of(last, job.pipeline.zone))
        with features.DuckDBEngine(memory_limit=options.features.memory_limit, spill=scratch) as engine:
            candidates = features.Candidates(options, job.folder, columns, engine, file, scratch)
            _require_learned(job, candidates.example_schema)
            days = candidates.days()
            scored, unlearned = _scored(job, candidates, days, steps, scratch)
            if contents(_log(job.folder)) != log:
                raise ArtifactError(f"{job.folder}: the log changed meanwhile, expected it to stay. Fix: run again")
            _say(job, candidates, days, steps[-1].day.iso)
            _say_unlearned(job, unlearned)
            if question.top is not None and (repeated := count_repeated(engine, candidates.rows)):
                what = f"{repeated:,} of {many(sum(days.values()), 'candidate')} name an item that their list has already"
                job.console.say(f"predict: {what}: it may stand there several times")
            with artifacts.drafted(target) as draft:
                write_answers(engine, candidates.rows, scored, draft, top=question.top, as_text=target.suffix == ".csv")
        job.console.event("predict", pipeline=job.pipeline.name, run=job.run.name, days=days, file=target, peak_mib=peak_mib())


def _job(run: Path, console: Console, *, wait: bool) -> Job:
    """Return the job that the run came from. Raise ArtifactError where it has no model, or where it learned other features than today's."""
    pipeline = pipeline_of(run)
    here = pipeline.features.model_copy(update={"engine": "duckdb"})  # engines give the same bytes
    job = job_of(pipeline.model_copy(update={"features": here}), run, console, wait=wait)
    require_inside(job.folder, job.folder.parent)
    if not (run / MODEL).is_dir():
        raise ArtifactError(f"{run}: found no model, expected that of a trained run. Fix: name another run")
    if not days_in(job.examples):
        raise ArtifactError(
            f"{job.examples}: found no examples, expected those that {run.name} learned from: it is of an earlier version, or they are"
            " removed. Fix: run the pipeline again"
        )
    return job


def _scratch_place(job: Job) -> Path:
    """Return the folder for files in between: the pipeline's, or one that can be written."""
    if os.access(job.folder, os.W_OK):
        return job.folder
    place = Path(tempfile.gettempdir())
    job.console.say(f"predict: {job.folder} cannot be written, so files in between go to {place}")
    return place


def _log(folder: Path) -> list[Path]:
    return [folder / name for name in (EVENTS, USERS, ITEMS)]


def _require_target(target: Path, question: Question, pipeline: Pipeline) -> None:
    """Raise ConfigError where the answers would have no form or no place, or would take that of candidates or of the log."""
    if target.suffix not in (".parquet", ".csv"):
        raise ConfigError(f'--out: found "{target}", expected a file that ends in .parquet or .csv')
    if target.is_dir():
        raise ConfigError(f"--out: found a folder ({target}), expected a file for what is predicted")
    if not os.access(target.parent, os.W_OK):
        raise ConfigError(f"--out: found {target.parent}, which cannot be written, expected a folder that can. Fix: name another place")
    _require_length(question.top)
    given = sources.files_of(question.candidates)
    if target.resolve() in [file.resolve() for file in given] or question.candidates.resolve() in target.resolve().parents:
        raise ConfigError(f"--out: found {target}, which is one of the candidates or lies among them, expected a file elsewhere")
    if sources.is_raw(pipeline, target):
        raise ConfigError(f"--out: found {target}, which the pipeline's source reads, expected a file elsewhere")
    place = target.resolve()  # the folders of a relative path, or behind a link, may be those of an artifact
    if (made := artifacts.artifact_of(place)) is not None:
        raise ConfigError(
            f"--out: found {target}, which {'is' if made == place else f'lies in {made},'} made by a stage, expected another place"
        )


def _require_length(top: Any) -> None:
    """Raise ConfigError where this is no length of a list. From Python it may be anything."""
    try:
        length = 1 if top is None else operator.index(top)
    except TypeError:
        length = 0
    if isinstance(top, bool) or not 1 <= length < _LONGEST:
        raise ConfigError(f"--top: found {top}, expected a whole number from 1 to {_LONGEST - 1:,}")


def _require_begun(at: int | None, first: Day) -> None:
    if at is not None and at < first.start:
        raise data_error(
            "--at",
            found=f"a moment on {day_of(at, first.zone)}",
            expected=f"a moment from {first.iso} on, where the log begins",
            fix="ask for a later moment",
        )


def _require_learned(job: Job, columns: pa.Schema) -> None:
    """Raise ArtifactError where a feature has another type now than in the examples: users or items have come with other values."""
    learned = artifacts.read_schema(day_folder(job.examples, days_in(job.examples)[0]) / PART)
    for field in columns:
        was = learned.field(field.name).type if field.name in learned.names else field.type
        if was != field.type:
            raise ArtifactError(
                f"{job.folder} column {field.name}: found type {field.type}, expected {was}, which {job.run.name} has learned."
                " Fix: mend the column in the source and ingest again, or train another run"
            )


def _scored(
    job: Job, candidates: features.Candidates, days: Mapping[str, int], steps: Sequence[features.Step], scratch: Path
) -> tuple[list[Path], dict[str, Counter[str]]]:
    """Predict the candidates of each day. `steps` are all days with events.

    Return the files of the predictions, and for each column of the context how often it has which value that the model has not learned.
    """
    with_events = {step.day.iso: step for step in steps}
    scorer = scoring.load(job.run / MODEL, job.pipeline.train)
    maps = calibration.read(job.run / CALIBRATION) if job.pipeline.evaluate.calibrate != "none" else None
    unlearned: dict[str, Counter[str]] = {}
    answer = partial(_answered, scorer, job, maps, unlearned)
    files = []
    with job.console.bar("predict", len(days)) as advance, Background[Rows]() as background:
        for iso, count in days.items():
            day = Day(iso, job.pipeline.zone)
            files.append(scratch / f"scored.{iso}.parquet")
            earlier = [step for step in steps if step.day.iso < iso]
            chunks = candidates.examples(day, count, earlier, with_events.get(iso), states_of(job))
            background.stream(chunks, partial(_write, answer=partial(answer, iso), target=files[-1]))
            advance(note=f"{iso}, {many(count, 'candidate')}")
    return files, unlearned


def _answered(
    scorer: scoring.Scorer, job: Job, maps: calibration.Calibration | None, unlearned: dict[str, Counter[str]], day: str, rows: Rows
) -> pa.Table:
    """Predict some candidates of a day, calibrate the predictions, and fuse them. Count in `unlearned` what the model has not learned."""
    objectives = job.pipeline.objective
    examples = rows()
    given = [f"{schema.CONTEXT}{name}" for name in job.pipeline.features.context]
    for name, values in scorer.model.encoder.unknown_values(examples, given).items():
        unlearned.setdefault(name, Counter()).update(values)
    ids = examples.select([schema.EVENT_ID, schema.USER_ID, schema.ITEM_ID, schema.TIMESTAMP])
    predicted_NV = scorer.predict(examples, "missing")
    table = assemble(ids, day=day, split="", objectives=objectives, predicted_NV=predicted_NV, train_means=scorer.model.train_means)
    if maps is not None:
        table = maps.applied(table, objectives, run=job.run.name)
    return table.drop_columns([name for name in table.column_names if name == schema.SPLIT or name.startswith(schema.RAW)])


def _say_unlearned(job: Job, unlearned: Mapping[str, Counter[str]]) -> None:
    """Name the values of the context that the model has not learned: they may be written in another way than in the log."""
    for name, counts in unlearned.items():
        if counts:
            column = schema.strip(name, schema.CONTEXT)
            such = ", ".join(f"{one_line(short(value, _SHOWN))} ({count:,})" for value, count in counts.most_common(_NAMED))
            what = f"{many(counts.total(), 'value')} of {column} that the model has not learned, such as {such}"
            job.console.say(f"predict: {what}: predicted as unknown in training")


def _learned_through(run: Path) -> str:
    """Return the last day that the run has learned, as far as the runs that it started from are still there."""
    try:
        return learned_through(run)
    except ConfigError:
        return pipeline_of(run).learned_through


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
    console, rows = job.console, candidates.unknown["rows"]
    console.say(f"predict: {many(rows, 'candidate')} on {features.spans(list(days))}; the log has impressions through {last}")
    words = {
        schema.USER_ID: "a user whom the log does not know before that day",
        schema.ITEM_ID: "an item that the log does not know before that day",
    }
    for name, count in candidates.unknown.items():
        if count and name != "rows":
            what = words[name] if name in words else f"no {schema.strip(name, schema.CONTEXT)}"
            console.say(f"predict: {count:,} of {rows:,} have {what}: predicted as in training")
    learned = _learned_through(job.run)
    if seen := sum(count for day, count in days.items() if day <= learned):
        console.say(
            f"predict: warning: found {seen:,} of {rows:,} on days that the model has learned from (through {learned}),"
            " expected later ones: these predictions are no forecasts"
        )
