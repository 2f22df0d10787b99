"""examples/ → encoded/: an encoder that is fitted on the training days, and all days of the split.

For a training in time order the encoder is fitted on the warm days alone, and the vocabulary grows from day to day (encoding/growth.py).
"""

from collections.abc import Sequence
from itertools import chain
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
    """Return the encoder, which is made of training days and of no other, and each day, which is made of it and of its examples.

    In time order a day after the warm ones is also made of the day before it, whose vocabulary it goes on with.
    """
    content = {day: _content(day_folder(job.examples, day)) for day in job.days(*schema.SPLITS)}
    train = {day: content[day] for day in _fitted(job, options)}
    if not train:
        first, last = options.split.train
        raise ArtifactError(f"{job.examples}: found no day from {first} to {last} (split.train), expected the examples. Fix: run features")
    encoder = ENCODE.part(options, ENCODER, [job.encoded / ENCODER], train)
    parts = [encoder]
    for day in content:
        inputs = {"encoder": encoder.origin.fingerprint, "examples": content[day]}
        if options.train.order == "time" and day not in train:
            inputs["before"] = parts[-1].origin.fingerprint
        parts.append(ENCODE.part(options, day, [day_folder(job.encoded, day)], inputs))
    return parts


def _fitted(job: Job, options: Pipeline) -> list[str]:
    """Return the days that the encoder is fitted on."""
    train = job.days(schema.TRAIN)
    return options.split.warm(train, options.train.warm_days) if options.train.order == "time" else train


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
    if not origins:
        return
    fitted = _fitted(job, options)
    later = [day for day in job.days(*schema.SPLITS) if day not in fitted] if options.train.order == "time" else []
    encoder = encoding.Encoder.load(target)
    in_time = options.train.order == "time"
    todo = (encoding.ToEncode(day, encoder, {}, in_time) for day in origins if day not in later)
    grown = encoding.growing(job.examples, job.encoded, later, origins, options.features.min_count)
    encoding.encode_days(chain(todo, grown), job.examples, job.encoded, origins, job.console)


def _room(job: Job, options: Pipeline, stale: Sequence[Part]) -> room.Room:
    days = [part.name for part in stale if part.name != ENCODER]
    return room.by_day(room.sizes(job.examples), room.sizes(job.encoded), days, _BYTES_PER_BYTE)


def _counted_as(options: Pipeline) -> Pipeline:
    """Return the options without those that shape nothing.

    In time order it does not matter where the split ends, only which days lie between its parts: these are not encoded yet. Of fewer
    training days than `warm_days` all are warm: the encoder is another one, with a place of its own. In shuffled order no day is warm.
    """
    first, last = options.split.train
    if options.train.order == "shuffled":
        split = options.split.model_copy(update={"train": (first, last), "validation": None, "test": None})
        return options.model_copy(update={"split": split, "train": options.train.model_copy(update={"warm_days": 0})})
    moved, before = {}, last
    for part, (begin, end) in options.split.parts().items():
        if part != schema.TRAIN:
            moved[part] = (first + (begin - before), first + (begin - before))
        before = end
    split = options.split.model_copy(update={"train": (first, first), "validation": None, "test": None, **moved})
    train = options.train.model_copy(update={"warm_days": min(options.train.warm_days, (last - first).days + 1)})
    return options.model_copy(update={"split": split, "train": train})


ENCODE = Stage(
    name="encode",
    summary="Turn examples into packed arrays for the trainer.",
    version=4,
    options=(
        *(f"features.{name}" for name in ("user", "item", "context", "ids", "min_count", "max_values", "history", "bias")),
        *(f"objective.{name}" for name in ("name", "duration")),
        *("source.kind", "source.time", "split", "train.weight", "train.order", "train.warm_days"),
    ),
    counted_as=_counted_as,
    places=("split",),
    reads=lambda job: [job.examples],
    writes=lambda job: [job.encoded],
    parts=_parts,
    make=_make,
    room=_room,
    unit="part",
)
