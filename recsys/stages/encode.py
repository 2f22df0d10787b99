"""examples/ → encoded/: an encoder that is fitted on the training days, and all days of the split."""

from collections.abc import Sequence
from pathlib import Path

from recsys import artifacts, schema
from recsys.config import Pipeline
from recsys.errors import ArtifactError
from recsys.stages import room
from recsys.stages.stage import Job, Part, Stage
from recsys.workspace import ENCODED, ENCODER, day_folder

_BYTES_PER_BYTE = 5.0  # encoded days over their examples (docs/reliability.md, "Room on the disk")


def encoded_of(pipeline: Pipeline, folder: Path, examples: Path) -> Path:
    """Return where the encoded days of a pipeline lie; `folder` is the pipeline's in the workspace, `examples` its examples'."""
    return folder / ENCODED / artifacts.fingerprint([ENCODE.place(pipeline), examples.name])


def _parts(job: Job, options: Pipeline) -> list[Part]:
    """Return the encoder, which is made of the training days and of no other, and each day, which is made of it and of its examples."""
    content = {day: _content(day_folder(job.examples, day)) for day in job.days(*schema.SPLITS)}
    train = {day: content[day] for day in job.days(schema.TRAIN)}
    if not train:
        first, last = options.split.train
        raise ArtifactError(f"{job.examples}: found no day from {first} to {last} (split.train), expected the examples. Fix: run features")
    encoder = ENCODE.part(options, ENCODER, [job.encoded / ENCODER], train)
    days = [
        ENCODE.part(options, day, [day_folder(job.encoded, day)], {"encoder": encoder.origin.fingerprint, "examples": content[day]})
        for day in content
    ]
    return [encoder, *days]


def _content(examples: Path) -> str:
    manifest = artifacts.manifest(examples)
    if manifest is None:
        raise ArtifactError(f"{examples}: found no manifest, expected whole examples. Fix: delete it and run features")
    return manifest.content


def _make(job: Job, options: Pipeline, stale: Sequence[Part]) -> None:
    from recsys import encoding

    origins = {part.name: part.origin for part in stale}
    target = job.encoded / ENCODER
    if (origin := origins.pop(ENCODER, None)) is not None:
        encoding.fit_encoder(options, job.examples, list(origin.inputs), target, origin)
        job.console.say("encode: encoder fitted")
    encoding.encode_days(encoding.Encoder.load(target), job.examples, job.encoded, origins, job.console)


def _room(job: Job, options: Pipeline, stale: Sequence[Part]) -> room.Room:
    days = [part.name for part in stale if part.name != ENCODER]
    return room.by_day(room.sizes(job.examples), room.sizes(job.encoded), days, _BYTES_PER_BYTE)


ENCODE = Stage(
    name="encode",
    summary="Turn examples into packed arrays for the trainer.",
    version=2,
    options=(
        *(f"features.{name}" for name in ("user", "item", "context", "ids", "min_count", "max_values", "history", "bias")),
        *(f"objective.{name}" for name in ("name", "duration")),
        *("source.kind", "source.time", "split.train", "train.weight"),
    ),
    places=("split",),
    reads=lambda job: [job.examples],
    writes=lambda job: [job.encoded],
    parts=_parts,
    make=_make,
    room=_room,
    unit="parts",
)
