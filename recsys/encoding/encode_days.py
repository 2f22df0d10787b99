"""Examples to encoded arrays: an encoder, and days that it has encoded."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.artifacts import Origin
from recsys.config import Pipeline
from recsys.encoding import packing
from recsys.encoding.encoder import Encoder
from recsys.errors import ArtifactError
from recsys.progress import Console
from recsys.workspace import ENCODED_PART, PART, day_folder

_READ_ROWS = 4 * packing.BATCH_ROWS  # of a table: a look-up hashes the whole vocabulary once per table, and memory holds one table


def fit_encoder(pipeline: Pipeline, examples: Path, days: Sequence[str], target: Path, origin: Origin) -> None:
    """Fit an encoder on these days of the examples and write it. Raises ArtifactError where examples lack a column."""
    encoder = Encoder.fit(((day, table) for day in days for table in _tables(day_folder(examples, day))), pipeline)
    with origin.writing(target) as output:
        encoder.save(output)


def encode_days(encoder: Encoder, examples: Path, folder: Path, origins: Mapping[str, Origin], console: Console) -> None:
    """Write `folder`/day=D for each day of `origins`, in the order of the examples' rows."""
    with console.bar("encode", len(origins)) as advance:
        for day, origin in origins.items():
            _encode_day(encoder, day_folder(examples, day), day_folder(folder, day), origin)
            advance(note=day)


def _encode_day(encoder: Encoder, examples: Path, target: Path, origin: Origin) -> None:
    with (
        origin.writing(target) as output,
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
