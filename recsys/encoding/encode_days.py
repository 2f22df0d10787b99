"""Examples to encoded arrays: an encoder, and days that it has encoded."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from hashlib import sha256
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from recsys import artifacts
from recsys.artifacts import Origin
from recsys.config import Pipeline
from recsys.days import iso_day, ordinal
from recsys.encoding import packing
from recsys.encoding.encoder import Encoder
from recsys.encoding.fitting import Fitting
from recsys.encoding.packing import Packed
from recsys.lineage import LATE_FILE, OWN_FILE
from recsys.progress import Console
from recsys.signals import deferred_interrupt
from recsys.threads import most_threads
from recsys.workspace import ENCODED_PART, PART, day_folder

THREADS = 2  # days at a time: numpy and Arrow work without Python's lock, but each day needs its own table in memory
# Of a table that is fitted to. Only long days would fill a larger one, so the peak would grow with the log. Sums are added up table by
# table: the number shapes their last bits.
_FIT_ROWS = 2 * packing.BATCH_ROWS
COUNTS_FILE = "counts.parquet"  # values that have no row of the vocabulary yet, and how many rows have held each
_READ_ROWS = packing.BATCH_ROWS // 4  # of a table that is encoded: a history of lists takes several times its size on the way


class ToEncode(NamedTuple):
    """A day, the encoder that knows its values, and tables that are written beside its rows: file → table.

    `is_in_time`: whether hashes of what was known of the day when it ended, and on each later day, are written, too (recsys/lineage.py).
    """

    day: str
    encoder: Encoder
    beside: Mapping[str, pa.Table]
    is_in_time: bool = False


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
                    with deferred_interrupt():
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
    hashes, rows = _Hashes(ordinal(one.day)), 0
    with (
        origin.writing(day_folder(folder, one.day)) as output,
        pa.OSFile(str(output.path(ENCODED_PART)), "wb") as file,
        pa.ipc.new_file(file, packing.schema(encoder.layout)) as writer,
    ):

        def transformed(table: pa.Table) -> pa.RecordBatch:
            if stop.is_set():
                raise KeyboardInterrupt
            batch = encoder.transform(table, place=str(place))
            if one.is_in_time:
                hashes.add(packing.unpack(batch, encoder.layout))
            return batch

        tables = artifacts.read_batches(place / PART, _READ_ROWS, None)
        while encoded := [transformed(table) for table in islice(tables, packing.BATCH_ROWS // _READ_ROWS)]:
            writer.write_table(pa.Table.from_batches(encoded).combine_chunks(), packing.BATCH_ROWS)
            rows += sum(map(len, encoded))
        for name, table in one.beside.items():
            output.write_table(name, table)
        if one.is_in_time:
            output.write_json(OWN_FILE, {"sha256": hashes.own.hexdigest()})
            if late := hashes.late():
                output.write_json(LATE_FILE, late)
        output.rows = artifacts.RowAccount(rows, rows, 0, 0)


class _Hashes:
    """Hash what is known of a day when it ends, and its labels that become known on each later day. Days are counted from 1970-01-01."""

    def __init__(self, day: int) -> None:
        self.own = sha256()
        self._day, self._rows = day, 0
        self._late: dict[int, Any] = {}

    def add(self, packed: Packed) -> None:
        late_NK = packed.known > self._day
        hidden = packed._replace(labels=np.where(late_NK, np.float32(np.nan), packed.labels), known=np.where(late_NK, 0, packed.known))
        for values in hidden:
            self.own.update(np.ascontiguousarray(values).data)
        late_NK &= ~np.isnan(packed.labels)
        for known in np.unique(packed.known[late_NK]).tolist():
            rows, objectives = np.nonzero(late_NK & (packed.known == known))
            content = self._late.setdefault(known, sha256())
            content.update(np.stack([rows + self._rows, objectives]).data)
            content.update(packed.labels[rows, objectives].data)
        self._rows += len(packed.labels)

    def late(self) -> dict[str, str]:
        """Return later ISO day → the hash of the labels that become known on it."""
        return {iso_day(known): content.hexdigest() for known, content in sorted(self._late.items())}


def tables_of(day: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield these columns of a day's examples, in tables that an encoder is fitted to."""
    return artifacts.read_batches(day / PART, _FIT_ROWS, columns)
