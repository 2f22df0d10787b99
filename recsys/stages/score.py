"""model/, examples/, encoded/ → the predictions of a run, before any calibration."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc

from recsys import artifacts, schema
from recsys.config import Pipeline
from recsys.errors import ArtifactError
from recsys.stages.stage import Job, Part, Stage, contents, timed
from recsys.stages.train import changed_days
from recsys.workspace import CALIBRATION, MODEL, PART, PREDICTIONS, UNCALIBRATED, day_folder

FUSED = tuple(f"objective.{name}" for name in ("name", "kind", "given", "levels", "better", "fusion_weight"))
PERCENTILES = ("objective.method", "objective.duration")  # they say which of a model's values order impressions; its folder is read


def raw_predictions(run: Path, pipeline: Pipeline) -> Path:
    """Return the file of a run's predictions before calibration; without calibration it is predictions.parquet itself."""
    return run / (PREDICTIONS if pipeline.evaluate.calibrate == "none" else UNCALIBRATED)


def scored_days(job: Job) -> list[Path]:
    """Return the examples and the encoded rows of the days that are scored."""
    days = job.days(schema.VALIDATION, schema.TEST)
    return [day_folder(folder, day) for folder in (job.examples, job.encoded) for day in days]


def _parts(job: Job, options: Pipeline) -> list[Part]:
    return [SCORE.part(options, "score", [raw_predictions(job.run, options)], contents([job.run / MODEL, *scored_days(job)]))]


def _make(job: Job, options: Pipeline, stale: Sequence[Part]) -> None:
    (part,) = stale
    (target,) = part.writes
    artifacts.remove(job.run / CALIBRATION)  # before other predictions stand beside maps that are not theirs
    for standing in (job.run / PREDICTIONS, job.run / UNCALIBRATED):
        if artifacts.is_fresh(standing, part.origin.fingerprint):  # whether they are calibrated afterwards has changed, and nothing else
            artifacts.copy_file(standing, target)
            job.console.say("score: the predictions that stand")
            return
    _require_rows_as_predicted(job)
    from recsys import scoring

    with timed(job, "score"):
        origin = part.origin
        scoring.score(options, job.examples, job.encoded, job.run, target, origin, console=job.console)


def _require_rows_as_predicted(job: Job) -> None:
    """Raise ArtifactError where a validation day, predicted before it was learned, may have other rows now: predictions go by its order.

    Other features or labels of the same impressions do not matter: the day stands as it was predicted.
    """
    changed = changed_days(job) if job.pipeline.train.order == "time" else []
    for day in (day for day in job.days(schema.VALIDATION) if day in changed):
        ids = artifacts.read_table(day_folder(job.examples, day) / PART, [schema.EVENT_ID])[schema.EVENT_ID]
        if not any(_scored_ids(job, path, day) == ids.to_pylist() for path in (job.run / PREDICTIONS, job.run / UNCALIBRATED)):
            raise ArtifactError(
                f"{day_folder(job.examples, day)}: found other rows than the model of {job.run.name} predicted before it learned them,"
                f" expected the same. Fix: recsys run PIPELINE --from {day}"
            )


def _scored_ids(job: Job, path: Path, day: str) -> list[object]:
    """Return the ids of a day's impressions in a file of predictions, in order; none where it is not of the model that stands."""
    manifest = artifacts.manifest(path)
    if manifest is None or not contents([job.run / MODEL]).items() <= manifest.inputs.items():
        return []
    table = artifacts.read_table(path, [schema.EVENT_ID, schema.DAY])
    ids: list[object] = table.filter(pc.equal(table[schema.DAY], day))[schema.EVENT_ID].to_pylist()
    return ids


SCORE = Stage(
    name="score",
    summary="Predict with the model.",
    version=1,
    options=(*FUSED, "split"),
    places=("evaluate.calibrate",),
    free=("train.device", "train.precision", *PERCENTILES),
    reads=lambda job: [job.examples, job.encoded, job.run / MODEL],
    writes=lambda job: [raw_predictions(job.run, job.pipeline)],
    parts=_parts,
    make=_make,
)
