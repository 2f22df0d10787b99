"""Raw files → events/, users/, items/, quarantine/."""

from collections.abc import Sequence
from pathlib import Path

from recsys import artifacts, schema
from recsys.config import Pipeline
from recsys.stages.room import Room
from recsys.stages.stage import Job, Part, Stage, timed
from recsys.workspace import EVENTS, ITEMS, QUARANTINE, RAW, USERS


def _writes(job: Job) -> list[Path]:
    """Return what is written last, and the simulated raw files that it is made from, where the source makes them."""
    raw = [job.folder / RAW] if job.pipeline.source.kind == "world" else []
    return [*raw, *_made(job)]


def _made(job: Job) -> list[Path]:
    return [job.folder / name for name in (USERS, ITEMS, QUARANTINE, EVENTS)]


def _parts(job: Job, options: Pipeline) -> list[Part]:
    """Return one part. Raw files are no artifacts: their names, sizes and times of change count. Of a simulated source the seed counts."""
    from recsys import sources

    writes = [*_made(job), *_absent_truth(job)]
    return [INGEST.part(options, "ingest", writes, {"raw": artifacts.fingerprint(sources.raw_states(options))})]


def _absent_truth(job: Job) -> list[Path]:
    """Return the simulated raw files where they are gone and the baseline "truth" reads them. Nothing else needs them once events stand."""
    raw = job.folder / RAW
    manifest = artifacts.manifest(raw)
    is_whole = manifest is not None and all((raw / name).exists() for name in manifest.files)
    return [raw] if schema.TRUTH in job.pipeline.evaluate.baselines and not is_whole else []


def _make(job: Job, options: Pipeline, parts: Sequence[Part]) -> None:
    from recsys import sources

    with timed(job, "ingest"):
        of_options = INGEST.place(options)
        sources.ingest(options, job.folder, options=of_options, fingerprint=parts[0].origin.fingerprint, console=job.console)


def _room(job: Job, options: Pipeline, stale: Sequence[Part]) -> Room:
    from recsys import sources

    return Room(sources.expected_bytes(options))


def row_account(job: Job) -> dict[str, int] | None:
    """Return what became of the log's rows, where that is known."""
    manifest = artifacts.manifest(job.folder / EVENTS)
    return dict(manifest.rows) if manifest and manifest.rows else None


def _account(job: Job) -> str:
    rows = row_account(job)
    return str(artifacts.RowAccount(**rows)) if rows else "no row account"


INGEST = Stage(
    name="ingest",
    summary="Turn raw files into events, users, items and quarantine.",
    version=6,
    options=("source", "features.multi", "features.category", "features.ids"),
    free=("seed", "features.memory_limit", "source.grace"),
    reads=lambda job: [],
    writes=_writes,
    parts=_parts,
    make=_make,
    room=_room,
    note=_account,
)
