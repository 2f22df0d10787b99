"""learned/, examples/ → progressive.parquet: how well each day was predicted before it was learned. Only in time order.

The numbers of a day are an artifact of their own, which all runs of the same training share: a night judges its new day alone.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys import artifacts, schema
from recsys.artifacts import Origin
from recsys.config import Pipeline
from recsys.judge import metrics_of
from recsys.stages.score import FUSED, PERCENTILES
from recsys.stages.stage import Job, Part, Stage, described, timed
from recsys.stages.train import changed_days, learned_states
from recsys.workspace import JOURNALS, JUDGED, PART, PREDICTED, PROGRESSIVE, day_folder, days_in

_PROGRESSIVE = "progressive"  # the part of these rows, and the run of a day's numbers, which belong to many runs


def predicted_days(job: Job) -> list[str]:
    """Return the days up to the run's last learned one that were predicted before they were learned. The warm days were not.

    Days that have changed since are left out: what was predicted is of other rows.
    """
    found, left_out = _predicted_days(job), _left_out(job)
    return [day for day in found if day not in left_out]


def _predicted_days(job: Job) -> list[str]:
    """Return the days that were predicted, of which what every member predicted is there."""
    return [day for day in _days_begun(job) if _members(job, day) and not _lost_members(job, day)]


def _days_begun(job: Job) -> list[str]:
    """Return the days that are predicted. The warm days are not.

    Where one of them is there, an earlier version, which had other warm days where the log lacks some, predicted it by other scales.
    """
    folder, last = learned_states(job) / PREDICTED, job.pipeline.learned_through
    days = [day for day in days_in(folder) if day <= last and day_folder(job.examples, day).exists()]
    warm = job.pipeline.split.warm(job.days(schema.TRAIN), job.pipeline.train.warm_days)
    return [day for day in days if day not in warm]


def _lost_members(job: Job, day: str) -> set[str]:
    """Return the members whose journal tells of a day, and whose predictions of it are not there: they were damaged and removed."""
    journals = day_folder(learned_states(job) / JOURNALS, day).glob("member-*.jsonl")
    return {path.stem for path in journals} - {path.stem for path in _members(job, day)}


def _left_out(job: Job) -> list[str]:
    found = _predicted_days(job)
    return [day for day in changed_days(job) if day in found] if found else []


def _members(job: Job, day: str) -> list[Path]:
    return sorted(day_folder(learned_states(job) / PREDICTED, day).glob("member-*.parquet"))


def _parts(job: Job, options: Pipeline) -> list[Part]:
    """Return a part per day, and one that puts the days together for this run; none in shuffled order."""
    if options.train.order != "time":
        return []
    parts = []
    for day in predicted_days(job):
        inputs = described([*_members(job, day), day_folder(job.examples, day)])
        parts.append(PROGRESSIVE_STAGE.part(options, day, [learned_states(job) / JUDGED / f"{day}.parquet"], inputs))
    together = {part.name: part.origin.fingerprint for part in parts} | {"run": job.run.name}
    return [*parts, PROGRESSIVE_STAGE.part(options, _PROGRESSIVE, [job.run / PROGRESSIVE], together)]


def _make(job: Job, options: Pipeline, stale: Sequence[Part]) -> None:
    with timed(job, _PROGRESSIVE):
        for part in stale:
            (target,) = part.writes
            rows = _together(job) if part.name == _PROGRESSIVE else _judged(job, options, part.name)
            _write(target, rows, part.origin)


def predicted_before(job: Job, options: Pipeline, day: str) -> pa.Table:
    """Return what was predicted of a day before it was learned, in the form of predictions.parquet without slices, as if it were tested.

    Labels are those that are there now.
    """
    from recsys.predictions import assemble, ranking_names, value_names

    examples = artifacts.read_table(day_folder(job.examples, day) / PART)
    examples = examples.drop_columns([name for name in examples.column_names if name.startswith(schema.SLICE)])
    members = [artifacts.read_table(path) for path in _members(job, day)]

    def mean(columns: Sequence[str]) -> NDArray[np.float64]:
        values_NV: NDArray[np.float64] = np.mean([np.column_stack([member[name].to_numpy() for name in columns]) for member in members], 0)
        return values_NV

    ranks = [schema.rank_column(name) for name in ranking_names(options.objective)]
    return assemble(
        examples,
        day=day,
        split=schema.TEST,
        objectives=options.objective,
        predicted_NV=mean([schema.prediction_column(name) for name in value_names(options.objective)]),
        ranking_NR=mean(ranks) if ranks[0] in members[0].column_names else None,
        train_means={},
    )


def _judged(job: Job, options: Pipeline, day: str) -> pa.Table:
    """Return the main metrics of a day, as it was predicted before it was learned, by the labels that are there now."""
    from recsys.evaluation import POOLED, WITHIN

    table = predicted_before(job, options, day)
    rows = metrics_of(options, table, run=_PROGRESSIVE, against={}, metrics=[*POOLED, *WITHIN, "calibration"])
    columns = {schema.DAY: pa.array([day] * len(rows), pa.string()), schema.SPLIT: pa.array([_PROGRESSIVE] * len(rows), pa.string())}
    for name, column in columns.items():
        rows = rows.set_column(rows.column_names.index(name), name, column)
    return rows.filter(pc.equal(rows["slice"], schema.ALL))


def _together(job: Job) -> pa.Table:
    paths = [learned_states(job) / JUDGED / f"{day}.parquet" for day in predicted_days(job)]
    rows = pa.concat_tables([artifacts.read_table(path, form=schema.METRICS) for path in paths]) if paths else schema.METRICS.empty_table()
    return rows.set_column(rows.column_names.index("run"), "run", pa.array([job.run.name] * len(rows), pa.string()))


def _write(target: Path, rows: pa.Table, origin: Origin) -> None:
    origin.write_file(target, lambda draft: pq.write_table(rows, draft))


def _before(job: Job) -> None:
    """Say which days are left out: they have changed, or what was predicted of them is gone."""
    if not _in_time(job):
        return
    if left_out := _left_out(job):
        job.console.say(f"progressive: left out, because they have other rows than were learned: {', '.join(left_out)}")
    found = _predicted_days(job)
    if gone := [day for day in _days_begun(job) if day not in found]:
        job.console.say(f"progressive: left out, because what was predicted of them is no longer there: {', '.join(gone)}")


def _in_time(job: Job) -> bool:
    return job.pipeline.train.order == "time"


PROGRESSIVE_STAGE = Stage(
    name="progressive",
    summary="Judge each day as it was predicted before it was learned, in time order.",
    version=1,
    options=(
        "seed",
        *(f"objective.{name}" for name in ("name", "kind", "given", "levels", "group", "better")),
        *(f"evaluate.{name}" for name in ("bootstrap", "confidence", "list_k", "top_percent", "target_temperature")),
    ),
    places=("train.order",),
    free=(*FUSED, *PERCENTILES),
    reads=lambda job: [learned_states(job), job.examples] if _in_time(job) else [],
    writes=lambda job: [learned_states(job) / JUDGED, job.run / PROGRESSIVE] if _in_time(job) else [],
    parts=_parts,
    make=_make,
    before=_before,
    unit="part",  # a day, or the table of all days
)
