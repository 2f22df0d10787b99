"""The stage from examples/ to encoded/. It makes an encoder and the days of the split, each an artifact that is made once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys import artifacts, schema
from recsys.config import Pipeline
from recsys.encoding import packing
from recsys.encoding.encoder import Encoder
from recsys.encoding.fitting import duration_columns
from recsys.errors import ArtifactError
from recsys.progress import Console
from recsys.workspace import ENCODED_PART, ENCODER, PART, day_folder, days_of

_STAGE = "encode"
_READ_ROWS = 4 * packing.BATCH_ROWS  # of a table: a look-up hashes the whole vocabulary once per table, and memory holds one table
_OPTIONS = ("ids", "min_count", "max_values", "history", "bias")  # of [features]; all others show in the examples' bytes


@dataclass(frozen=True)
class Encoded:
    """The result of `encode`: `folder` holds encoder/ and a day=D/ for each of `days`."""

    folder: Path
    fingerprint: str
    encoder: Encoder
    days: tuple[str, ...]


def fingerprint_of(pipeline: Pipeline, examples: Path) -> str:
    """Return the fingerprint of what the encoder depends on: its options and the bytes of the training days only."""
    return artifacts.fingerprint([_config(pipeline), _contents(examples, days_of(pipeline.split, examples, schema.TRAIN))])


def encode(pipeline: Pipeline, examples: Path, encoded_root: Path, *, console: Console) -> Encoded:
    """Fit an encoder on the training days and encode all days of the split that have examples. Fresh artifacts stay.

    Rows keep the order of the examples. Raises ArtifactError where there is no training day, or examples lack a column.
    """
    train = days_of(pipeline.split, examples, schema.TRAIN)
    if not train:
        first, last = pipeline.split.train
        raise ArtifactError(f"{examples}: found no day from {first} to {last} (split.train), expected the examples. Fix: run features")
    days = days_of(pipeline.split, examples, *schema.SPLITS)
    contents = _contents(examples, days)
    fingerprint = fingerprint_of(pipeline, examples)
    folder = encoded_root / fingerprint
    encoder, was_fresh = _encoder(pipeline, examples, folder, fingerprint, {day: contents[day] for day in train})
    stale = [day for day in days if not artifacts.is_fresh(day_folder(folder, day), _day_fingerprint(fingerprint, contents[day]))]
    if was_fresh and not stale:
        console.say(f"{_STAGE}: fresh ({len(days)} days)")
    else:
        console.say(f"{_STAGE}: encoder {'fresh' if was_fresh else 'fitted'}, {len(days) - len(stale)} of {len(days)} days fresh")
    if stale:
        with console.bar(_STAGE, len(stale)) as advance:
            for day in stale:
                _encode_day(encoder, day_folder(examples, day), day_folder(folder, day), fingerprint, contents[day])
                advance(note=day)
    return Encoded(folder, fingerprint, encoder, tuple(days))


def _encoder(pipeline: Pipeline, examples: Path, folder: Path, fingerprint: str, inputs: Mapping[str, str]) -> tuple[Encoder, bool]:
    target = folder / ENCODER
    if artifacts.is_fresh(target, fingerprint):
        return Encoder.load(target), True
    encoder = Encoder.fit(((day, table) for day in inputs for table in _tables(day_folder(examples, day))), pipeline)
    with artifacts.writing(target, stage=_STAGE, fingerprint=fingerprint, inputs=inputs, config=_config(pipeline)) as output:
        encoder.save(output)
    return encoder, False


def _encode_day(encoder: Encoder, examples: Path, target: Path, fingerprint: str, content: str) -> None:
    inputs = {"encoder": fingerprint, "examples": content}
    with (
        artifacts.writing(target, stage=_STAGE, fingerprint=_day_fingerprint(fingerprint, content), inputs=inputs) as output,
        pa.OSFile(str(output.path(ENCODED_PART)), "wb") as file,
        pa.ipc.new_file(file, packing.schema(encoder.layout)) as writer,
    ):
        for table in _tables(examples):
            encoded = encoder.transform(table, place=str(examples))
            writer.write_table(pa.Table.from_batches([encoded]), packing.BATCH_ROWS)


def _tables(day: Path) -> Iterator[pa.Table]:
    """Yield a day's examples in tables of a bounded size. A day without rows yields one empty table."""
    path = day / PART
    try:
        with pq.ParquetFile(path) as file:
            rows = 0
            for batch in file.iter_batches(_READ_ROWS):
                rows += len(batch)
                yield pa.Table.from_batches([batch])
            if not rows:
                yield file.schema_arrow.empty_table()
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path}: cannot be read as parquet ({error}). Fix: delete {day} and run features again") from error


def _config(pipeline: Pipeline) -> dict[str, Any]:
    """Return the options that the encoder depends on.

    Some options are included only where they are set, so that the encoders of all other pipelines stay fresh.
    """
    options = pipeline.features.model_dump(mode="json", include=set(_OPTIONS))
    options["objectives"] = [objective.name for objective in pipeline.objective]
    options["zone"] = pipeline.zone
    if durations := duration_columns(pipeline):
        options["durations"] = list(durations)
    if pipeline.train.weight is not None:
        options["weighted"] = True  # the column itself shows in the examples' bytes
    return options


def _contents(examples: Path, days: Sequence[str]) -> dict[str, str]:
    contents = {}
    for day in days:
        manifest = artifacts.manifest(folder := day_folder(examples, day))
        if manifest is None:
            raise ArtifactError(f"{folder}: found no manifest, expected whole examples. Fix: delete it and run features")
        contents[day] = manifest.content
    return contents


def _day_fingerprint(encoder: str, content: str) -> str:
    return artifacts.fingerprint([encoder, content])
