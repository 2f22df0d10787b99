"""Call functions on Spark's executors, with some keys at a time, and set columns side by side there.

The functions are those of this package. So executors need it in the driver's version, with all that it needs.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from importlib.metadata import version
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.artifacts import GROUP_ROWS
from recsys.features.engine import Answers, arrow_schema, in_groups
from recsys.features.impressions import ROW

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, GroupedData

_BUCKET_ROWS = 1 << 18  # a bucket has on average at most so many asks, and at most so many rows of the past
_BUCKET, _PIECE = "bucket", "piece"
OTHER_VERSIONS = "found the versions"  # how the error of an executor with other versions begins


def answered(answers: Answers[Any], select: Callable[[ir.Table], "DataFrame"], at_least: int) -> "DataFrame":
    """Return what the function answers: all rows of a key are in one of at least `at_least` buckets, and a call gets one bucket."""
    from pyspark.sql import functions
    from pyspark.sql.pandas.types import from_arrow_schema

    asks, past = answers.asks, answers.past
    buckets = max(at_least, *(-(-select(rows).count() // _BUCKET_ROWS) for rows in (asks, past.rows)))

    def by_bucket(rows: ir.Table, without_key: str | None = None) -> "GroupedData":
        """Group rows by the bucket of their key. Those without a key, which meet no past, are dealt by another column."""
        numbered = dict(zip(rows.columns, _numbered(rows.columns), strict=True))
        bucket = functions.hash(*(numbered[key] for key in past.keys))
        if without_key is not None:
            lacks_key = reduce(or_, (functions.col(numbered[key]).isNull() for key in past.keys))
            bucket = functions.when(lacks_key, functions.hash(numbered[without_key])).otherwise(bucket)
        named = select(rows).toDF(*numbered.values())
        return named.withColumn(_BUCKET, functions.pmod(bucket, functions.lit(buckets))).groupBy(_BUCKET)

    call = _call(answers, _versions())
    return by_bucket(asks, ROW).cogroup(by_bucket(past.rows)).applyInArrow(call, from_arrow_schema(answers.columns))


def _call(answers: Answers[Any], expected: Mapping[str, str]) -> Callable[[pa.Table, pa.Table], pa.Table]:
    """Return what answers the asks of a bucket. An executor gets it by value; what it calls is the package that the executor has."""
    of_asks, of_past = arrow_schema(answers.asks), arrow_schema(answers.past.rows)
    prepare, order, answer, columns = answers.past.prepare, answers.past.order, answers.answer, answers.columns

    def call(asks: pa.Table, past: pa.Table) -> pa.Table:
        if (found := _versions()) != expected:
            raise ValueError(f"{OTHER_VERSIONS} {found} on an executor, expected {expected}, as on the driver")
        pa.default_memory_pool().release_unused()  # Spark keeps this process, which would keep the memory of the bucket before
        past = _as(past, of_past)
        if order:
            past = past.sort_by([(name, "ascending") for name in order])
        return answer(prepare(past), _as(asks, of_asks).sort_by(ROW)).cast(columns)  # Spark takes exactly these types

    return call


def _versions() -> dict[str, str]:
    """Return the versions of what computes answers."""
    return {name: version(name) for name in ("recsys", "pyarrow", "numpy")}


def _numbered(names: Sequence[str]) -> list[str]:
    """Return other names: those with a dot are refused where functions are applied to groups."""
    return [f"c{place}" for place in range(len(names))]


def _as(table: pa.Table, columns: pa.Schema) -> pa.Table:
    """Return the rows of a group under their own names, without their bucket."""
    return table.select(_numbered(columns.names)).rename_columns(columns.names).cast(columns)


def write_pieces(parts: Sequence["DataFrame"], size: int, target: str) -> None:
    """Set parts with one row per `ROW` side by side, and write each `size` rows of them to a folder of its own."""
    from pyspark.sql import functions

    first, *others = parts
    for other in others:
        first = first.join(other, ROW)
    placed = first.withColumn(_PIECE, functions.expr(f"{ROW} div {size}"))
    in_order = placed.repartition(_PIECE).sortWithinPartitions(_PIECE, ROW)  # so that a piece is one file, in order
    in_order.write.option("maxRecordsPerFile", 0).partitionBy(_PIECE).parquet(target)


def read_piece(folder: Path, piece: int, columns: pa.Schema, first_row: int, rows: int) -> pa.Table:
    """Read what `write_pieces` has written, and remove it."""
    files = [*(folder / f"{_PIECE}={piece}").glob("*.parquet")]
    assert len(files) == 1, f"{folder}, piece {piece}: {len(files)} files"
    table = pq.read_table(files[0], partitioning=None)
    assert table[ROW].to_pylist() == [*range(first_row, first_row + rows)], f"{files[0]}: {table.num_rows} rows, of {rows} from {first_row}"
    shutil.rmtree(files[0].parent)
    return table.select(columns.names).cast(columns).combine_chunks()


def read_in_order(folder: Path, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows that a sorted expression has written, in its order. Without `pre_buffer` no file is kept in memory as a whole."""
    files = sorted(folder.glob("part-*.parquet"))  # one per part of the order
    return in_groups((batch for file in files for batch in pq.ParquetFile(file, pre_buffer=False).iter_batches(GROUP_ROWS)), columns)
