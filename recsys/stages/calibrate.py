"""The predictions of a run and of its baselines, calibrated: uncalibrated.parquet → calibration.json, predictions.parquet."""

from collections.abc import Sequence
from pathlib import Path

from recsys import schema
from recsys.config import Pipeline
from recsys.stages.baselines import baseline_run, calibrated_kinds, raw_baseline_run
from recsys.stages.identity import claim, known_config
from recsys.stages.score import FUSED, raw_predictions
from recsys.stages.stage import Job, Part, Stage, contents, timed
from recsys.workspace import CALIBRATION, PREDICTIONS


def _sources(job: Job) -> dict[Path, Path]:
    """Return run → the predictions that it is calibrated from; nothing where no calibration is asked for."""
    if job.pipeline.evaluate.calibrate == "none":
        return {}
    of_baselines = {baseline_run(job, kind): raw_baseline_run(job, kind) / PREDICTIONS for kind in calibrated_kinds(job.pipeline)}
    return {job.run: raw_predictions(job.run, job.pipeline)} | of_baselines


def _parts(job: Job, options: Pipeline) -> list[Part]:
    return [
        CALIBRATE.part(options, f"calibrate {run.name}", [run / PREDICTIONS, run / CALIBRATION], contents([source]))
        for run, source in _sources(job).items()
    ]


def _make(job: Job, options: Pipeline, stale: Sequence[Part]) -> None:
    from recsys.calibration import calibrate_file

    sources = _sources(job)
    method = options.evaluate.calibrate
    assert method != "none", "then there are no parts"
    for part in stale:
        target, maps = part.writes
        if target.parent != job.run:
            claim(target.parent, _identity(target.parent, job), job.pipeline)
        with timed(job, part.name):
            calibrate_file(
                sources[target.parent],
                target,
                maps,
                options.objective,
                method,
                until=options.border_after(schema.VALIDATION),
                origin=part.origin,
                console=job.console,
            )


def _claim(job: Job) -> None:
    """Write down again what a calibrated baseline's folder stands for, where that is gone."""
    for run in _sources(job):
        if run != job.run and known_config(run) is None:
            with job.locked(run):
                claim(run, _identity(run, job), job.pipeline)


def _identity(run: Path, job: Job) -> dict[str, str]:
    return {"baseline": run.name.partition("-")[0], "calibrate": job.pipeline.evaluate.calibrate}


CALIBRATE = Stage(
    name="calibrate",
    summary="Calibrate the predictions on the validation days, where the pipeline asks for it.",
    version=1,
    options=(*FUSED, "evaluate.calibrate", "split", "source.kind", "source.time"),
    reads=lambda job: list(_sources(job).values()),
    writes=lambda job: [run / name for run in _sources(job) for name in (PREDICTIONS, CALIBRATION)],
    parts=_parts,
    make=_make,
    before=_claim,
)
