"""A run's files → report.html, and its main numbers in the terminal."""

from collections.abc import Sequence
from pathlib import Path

from recsys import artifacts, schema
from recsys.config import Pipeline
from recsys.stages.evaluate import compared_with
from recsys.stages.ingest import row_account
from recsys.stages.score import raw_predictions
from recsys.stages.stage import Job, Part, Stage, contents, timed
from recsys.workspace import CALIBRATION, CALIBRATION_CHANGE, IMPORTANCE, METRICS, MODEL, PREDICTIONS, PROGRESSIVE, REPORT


def _reads(job: Job) -> list[Path]:
    evaluate = job.pipeline.evaluate
    names = [METRICS, PREDICTIONS, MODEL, *([IMPORTANCE] if evaluate.importance else [])]
    names += [PROGRESSIVE] if job.pipeline.train.order == "time" else []
    names += [CALIBRATION, CALIBRATION_CHANGE] if evaluate.calibrate != "none" else []
    return [job.run / name for name in names]


def _against(job: Job) -> list[Path]:
    return [run for run in compared_with(job) if artifacts.manifest(run / PREDICTIONS) is not None]


def _parts(job: Job, options: Pipeline) -> list[Part]:
    """Return one part. The page shows the items' features, which count by what the predictions were made from."""
    inputs = contents([*_reads(job), *(run / PREDICTIONS for run in _against(job))])
    scored = artifacts.manifest(raw_predictions(job.run, job.pipeline))
    inputs |= {"scored from": scored.fingerprint if scored else "", "rows": artifacts.fingerprint(row_account(job))}
    return [REPORT_STAGE.part(options, "report", [job.run / REPORT], inputs)]


def _make(job: Job, options: Pipeline, stale: Sequence[Part]) -> None:
    from recsys import report

    (part,) = stale
    with timed(job, "report"):
        report.write_report(
            job.run,
            options,
            account=row_account(job),
            origin=part.origin,
            console=job.console,
            against=_against(job),
            examples=job.examples if job.examples.is_dir() else None,
        )


def _show(job: Job) -> None:
    from recsys import report

    report.terminal_table(artifacts.read_table(job.run / METRICS, form=schema.METRICS), job.console)
    job.console.result(f"report: {job.run / REPORT}")


REPORT_STAGE = Stage(
    name="report",
    summary="Write the report page of a run.",
    version=11,
    options=(
        *("name", "seed", "source.kind", "source.time", "split", "objective", "fuse.maximise", "fuse.metric"),
        *("model.budget_macs", "balance.method", "train.order", "train.averaging", "train.refit"),
        *("train.init_from", "train.freeze", "train.distil_from"),
        *(f"evaluate.{name}" for name in ("bootstrap", "confidence", "importance", "list_k", "top_percent", "calibrate")),
        *("evaluate.baseline_refit_days", "evaluate.baseline_window_days"),
    ),
    places=("evaluate.baselines", "evaluate.against", "model.architecture"),
    reads=_reads,
    writes=lambda job: [job.run / REPORT],
    parts=_parts,
    make=_make,
    always=_show,
)
