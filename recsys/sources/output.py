"""The writing of sorted rows of the engine as parquet files whose bytes depend on the rows alone."""

from collections.abc import Iterable, Iterator
from itertools import chain, groupby, pairwise
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import schema
from recsys.artifacts import Output
from recsys.workspace import PART, day_folder

_ROW_GROUP = 131_072


def write_unique(output: Output, con: duckdb.DuckDBPyConnection, query: str, key: str, columns: pa.Schema, name: str) -> None:
    """Write the rows of `query`, which is sorted by `key`, to the file `name`. Of rows with the same key the first stays."""
    output.write_batches(name, columns, _row_groups(_unique(con, query, key), columns))


def write_days(output: Output, con: duckdb.DuckDBPyConnection, query: str, columns: pa.Schema) -> list[str]:
    """Write `day=D/part-0.parquet` for each day of `query`, which is sorted by (day, timestamp, event_id). Return the days."""
    days: list[str] = []
    for day, batches in groupby(_by_day(_unique(con, query, schema.EVENT_ID)), key=lambda entry: entry[0]):
        assert day > max(days, default=""), f"the rows of {day} come after those of {days[-1]}"
        output.write_batches(str(day_folder(Path(), day) / PART), columns, _row_groups((batch for _, batch in batches), columns))
        days.append(day)
    return days


def _unique(con: duckdb.DuckDBPyConnection, query: str, key: str) -> Iterator[pa.RecordBatch]:
    """Yield the first row of each key.

    Equal rows are neighbours in a sorted query. So one pass drops the others, and no column has to be hashed.
    """
    last: pa.Scalar | None = None
    for batch in con.sql(query).to_arrow_reader(_ROW_GROUP):
        keys = batch.column(key)
        is_new = np.ones(len(batch), dtype=bool)
        is_new[1:] = pc.not_equal(keys[1:], keys[:-1]).to_numpy(zero_copy_only=False)
        is_new[0] = keys[0] != last
        last = keys[-1]
        yield batch if is_new.all() else batch.filter(pa.array(is_new))


def _by_day(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Cut batches where the day changes, and drop the day's column: the day is only in the path."""
    for batch in batches:
        days = batch.column(schema.DAY)
        rest = batch.drop_columns([schema.DAY])
        numbers = days.cast(pa.int32()).to_numpy()
        cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(batch)]
        for start, end in pairwise(cuts):
            if end > start:
                yield days[start].as_py().isoformat(), rest.slice(start, end - start)


def _row_groups(batches: Iterable[pa.RecordBatch], columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in batches of one size. The sizes of the engine's own batches depend on its threads."""
    held: list[pa.Table] = []
    for table in chain((pa.Table.from_batches([batch]) for batch in batches), (None,)):
        if table is not None:
            held.append(table.rename_columns(columns.names).cast(columns))
        rows = sum(len(part) for part in held)
        if rows < _ROW_GROUP and (table is not None or rows == 0):
            continue
        whole = pa.concat_tables(held).combine_chunks()
        full = len(whole) if table is None else len(whole) // _ROW_GROUP * _ROW_GROUP
        yield from whole.slice(0, full).to_batches(max_chunksize=_ROW_GROUP)
        held = [whole.slice(full)]
