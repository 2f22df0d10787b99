"""A run with its page → a run of MLflow, where the pipeline asks for it, and tracked.json, which says where it stands."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from recsys import artifacts
from recsys.artifacts import Origin
from recsys.config import Pipeline
from recsys.stages.stage import Job, Part, Stage, contents, timed
from recsys.workspace import METRICS, MODEL, PROGRESSIVE, REPORT, TRACKED, TRACKING


def require_tracking(job: Job) -> None:
    """Raise ConfigError where runs are to be tracked, and the library is missing."""
    if job.pipeline.tracking.mlflow is not None:
        from recsys.tracking import require_mlflow

        require_mlflow()


def _reads(job: Job) -> list[Path]:
    if job.pipeline.tracking.mlflow is None:
        return []
    names = (METRICS, MODEL, REPORT, *([PROGRESSIVE] if job.pipeline.train.order == "time" else []))
    return [job.run / name for name in names]


def _writes(job: Job) -> list[Path]:
    return [] if job.pipeline.tracking.mlflow is None else [job.run / TRACKED]


def _parts(job: Job, options: Pipeline) -> list[Part]:
    """Return one part; none where nothing is tracked."""
    return [TRACK.part(options, "track", _writes(job), contents(_reads(job)))] if _writes(job) else []


def _make(job: Job, options: Pipeline, stale: Sequence[Part]) -> None:
    from recsys.tracking import track

    (part,) = stale
    with timed(job, "track"):
        where = track(job.run, options, _identity(job))
        text = json.dumps(where, indent=1, ensure_ascii=False) + "\n"
        part.origin.write_file(job.run / TRACKED, lambda draft: draft.write_text(text, encoding="utf-8"))
    job.console.say(f"track: {where['run']} stands in the experiment {where['experiment']} of {where['store']}")


def _identity(job: Job) -> str:
    """Return what stands for the run's folder in a store: its path alone may be that of another machine's run."""
    place = job.folder / TRACKING
    with replace(job, wait=True).locked(place):
        if artifacts.manifest(place) is None:
            text = json.dumps({"id": secrets.token_hex(8)}) + "\n"
            Origin("track", "").write_file(place, lambda draft: draft.write_text(text, encoding="utf-8"))
        return artifacts.fingerprint([artifacts.read_json(place)["id"], str(job.run.resolve())])


def _said(job: Job) -> str:
    return str(artifacts.read_json(job.run / TRACKED)["store"])


TRACK = Stage(
    name="track",
    summary="Write a run into an MLflow store, where the pipeline asks for it.",
    version=2,
    options=("name", "split", "tracking"),
    places=("train.order", "train.refit"),
    reads=_reads,
    writes=_writes,
    parts=_parts,
    make=_make,
    note=_said,
)
