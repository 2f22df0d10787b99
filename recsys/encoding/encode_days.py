"""Examples to encoded arrays: an encoder, and days that it has encoded."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path
from threading import Event

import pyarrow as pa

from recsys import artifacts
from recsys.artifacts import Origin
from recsys.config import Pipeline
from recsys.encoding import packing
from recsys.encoding.encoder import Encoder
from recsys.encoding.fitting import Fitting
from recsys.progress import Console
from recsys.threads import most_threads
from recsys.workspace import ENCODED_PART, PART, day_folder

THREADS = 2  # days at a time: numpy and Arrow work without Python's lock, but each day needs its own table in memory
_FIT_ROWS = 4 * packing.BATCH_ROWS  # of a table that is fitted to; sums are added up table by table, so it shapes their last bits
_READ_ROWS = packing.BATCH_ROWS // 4  # of a table that is encoded: a history of lists takes several times its size on the way


def fit_encoder(pipeline: Pipeline, examples: Path, days: Sequence[str], target: Path, origin: Origin) -> None:
    """Fit an encoder on these days of the examples and write it. Raises ArtifactError where examples lack a column."""
    schema = artifacts.read_schema(day_folder(examples, days[0]) / PART)
    columns = Fitting(schema, pipeline).columns  # without the others, a table takes half the memory
    tables = ((day, table) for day in days for table in _tables(day_folder(examples, day), _FIT_ROWS, columns))
    encoder = Encoder.fit(tables, pipeline, schema)
    with origin.writing(target) as output:
        encoder.save(output)
    pa.default_memory_pool().release_unused()  # of the tables: the days need other memory


def encode_days(encoder: Encoder, examples: Path, folder: Path, origins: Mapping[str, Origin], console: Console) -> None:
    """Write `folder`/day=D for each day of `origins`, in the order of the examples' rows; `THREADS` days at a time.

    Where a day cannot be encoded, the days before it stand. Ctrl-C waits for no day.
    """
    stop = Event()
    with (
        console.bar("encode", len(origins)) as advance,
        ThreadPoolExecutor(min(THREADS, most_threads() or THREADS)) as threads,
    ):
        running = {
            threads.submit(_encode_day, encoder, day_folder(examples, day), day_folder(folder, day), origin, stop): day
            for day, origin in origins.items()
        }
        try:
            try:
                for done in as_completed(running):
                    done.result()
                    advance(note=running[done])
            except Exception:
                threads.shutdown(cancel_futures=True)  # it waits for the days that have begun
                raise
        except KeyboardInterrupt:  # it reaches this thread alone
            stop.set()
            threads.shutdown(cancel_futures=True)
            raise


def _encode_day(encoder: Encoder, examples: Path, target: Path, origin: Origin, stop: Event) -> None:
    """Encode one day. Raise KeyboardInterrupt between two tables once `stop` is set."""
    with (
        origin.writing(target) as output,
        pa.OSFile(str(output.path(ENCODED_PART)), "wb") as file,
        pa.ipc.new_file(file, packing.schema(encoder.layout)) as writer,
    ):

        def transformed(table: pa.Table) -> pa.RecordBatch:
            if stop.is_set():
                raise KeyboardInterrupt
            return encoder.transform(table, place=str(examples))

        tables = _tables(examples, _READ_ROWS)
        while encoded := [transformed(table) for table in islice(tables, packing.BATCH_ROWS // _READ_ROWS)]:
            writer.write_table(pa.Table.from_batches(encoded).combine_chunks(), packing.BATCH_ROWS)


def _tables(day: Path, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    return artifacts.read_batches(day / PART, rows, columns)
