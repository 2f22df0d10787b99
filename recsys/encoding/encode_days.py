"""Examples to encoded arrays: an encoder, and days that it has encoded."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from threading import Event
from typing import NamedTuple

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
COUNTS_FILE = "counts.parquet"  # values that have no row of the vocabulary yet, and how many rows have held each
_READ_ROWS = packing.BATCH_ROWS // 4  # of a table that is encoded: a history of lists takes several times its size on the way


class ToEncode(NamedTuple):
    """A day, the encoder that knows its values, and tables that are written beside its rows: file → table."""

    day: str
    encoder: Encoder
    beside: Mapping[str, pa.Table]


def fit_encoder(pipeline: Pipeline, examples: Path, days: Sequence[str], target: Path, origin: Origin) -> None:
    """Fit an encoder on these days of the examples and write it, with the counts of the values that have no row.

    Raises ArtifactError where examples lack a column.
    """
    fitting = Fitting(artifacts.read_schema(day_folder(examples, days[0]) / PART), pipeline)
    columns = fitting.columns  # without the others, a table takes half the memory
    tables = ((day, table) for day in days for table in tables_of(day_folder(examples, day), columns))
    encoder = Encoder.fit(tables, pipeline, fitting)
    with origin.writing(target) as output:
        encoder.save(output)
        output.write_table(COUNTS_FILE, fitting.counts())
    pa.default_memory_pool().release_unused()  # of the tables: the days need other memory


def encode_days(todo: Iterable[ToEncode], examples: Path, folder: Path, origins: Mapping[str, Origin], console: Console) -> None:
    """Write `folder`/day=D for each day of `todo`, in the order of the examples' rows; `THREADS` days at a time.

    Each day has its origin in `origins`. Where a day cannot be encoded, the days before it stand. Ctrl-C waits for no day.
    """
    stop, at_once = Event(), min(THREADS, most_threads() or THREADS)
    with console.bar("encode", len(origins)) as advance, ThreadPoolExecutor(at_once) as threads:
        running: dict[Future[None], str] = {}

        def leave(most: int) -> None:
            while len(running) > most:
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    day = running.pop(done)
                    done.result()
                    advance(note=day)

        try:
            try:
                for one in todo:
                    leave(at_once - 1)  # so that no more encoders are in memory than are at work
                    running[threads.submit(_encode_day, one, examples, folder, origins[one.day], stop)] = one.day
                leave(0)
            except Exception:
                threads.shutdown(cancel_futures=True)  # it waits for the days that have begun
                raise
        except KeyboardInterrupt:  # it reaches this thread alone
            stop.set()
            threads.shutdown(cancel_futures=True)
            raise


def _encode_day(one: ToEncode, examples: Path, folder: Path, origin: Origin, stop: Event) -> None:
    """Encode one day. Raise KeyboardInterrupt between two tables once `stop` is set."""
    place, encoder = day_folder(examples, one.day), one.encoder
    with (
        origin.writing(day_folder(folder, one.day)) as output,
        pa.OSFile(str(output.path(ENCODED_PART)), "wb") as file,
        pa.ipc.new_file(file, packing.schema(encoder.layout)) as writer,
    ):

        def transformed(table: pa.Table) -> pa.RecordBatch:
            if stop.is_set():
                raise KeyboardInterrupt
            return encoder.transform(table, place=str(place))

        tables = artifacts.read_batches(place / PART, _READ_ROWS, None)
        while encoded := [transformed(table) for table in islice(tables, packing.BATCH_ROWS // _READ_ROWS)]:
            writer.write_table(pa.Table.from_batches(encoded).combine_chunks(), packing.BATCH_ROWS)
        for name, table in one.beside.items():
            output.write_table(name, table)


def tables_of(day: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield these columns of a day's examples, in tables that an encoder is fitted to."""
    return artifacts.read_batches(day / PART, _FIT_ROWS, columns)
