"""A past that Spark's executors hold: functions answer asks there, some keys at a time, and columns are set side by side there too.

Executors call functions of this package. So they need it in the driver's version, beside PySpark, and all that it needs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.artifacts.manifests import versions
from recsys.features.engine import GROUP_ROWS, Answers, Past, Ready, arrow_schema, batches
from recsys.features.impressions import ROW

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, GroupedData

_ASKS = 1 << 15  # of some keys, that a function is called with at once, on average
_BUCKET, _PIECE = "bucket", "piece"
OTHER_VERSIONS = "found the versions"  # how the error of an executor with other versions begins


@dataclass(frozen=True)
class Spread(Past[Ready], Generic[Ready]):
    """The past as an expression, and what makes its rows ready where they are needed."""

    rows: ir.Table
    keys: tuple[str, ...]
    ready: Callable[[pa.Table], Ready]
    order: tuple[str, ...]


def answered(answers: Answers[Any], select: Callable[[ir.Table], "DataFrame"], at_least: int) -> "DataFrame":
    """Return what is answered: all rows of a key meet in a bucket, of which there are `at_least` so many."""
    from pyspark.sql import functions
    from pyspark.sql.pandas.types import from_arrow_schema

    past = answers.past
    assert isinstance(past, Spread)
    buckets = max(at_least, -(-select(answers.asks).count() // _ASKS))

    def parted(rows: ir.Table) -> "GroupedData":
        keys = functions.hash(*(_numbered(rows.columns)[rows.columns.index(key)] for key in past.keys))
        named = select(rows).toDF(*_numbered(rows.columns))
        return named.withColumn(_BUCKET, functions.pmod(keys, functions.lit(buckets))).groupBy(_BUCKET)

    asks, gone = parted(answers.asks), parted(past.rows)
    return asks.cogroup(gone).applyInArrow(_in_bucket(past, answers, _versions()), from_arrow_schema(answers.columns))


def _in_bucket(past: Spread[Any], answers: Answers[Any], expected: Mapping[str, str]) -> Callable[[pa.Table, pa.Table], pa.Table]:
    """Return what answers the asks of a bucket. An executor gets it by value; what it calls is the package that the executor has."""
    of_asks, of_past = arrow_schema(answers.asks), arrow_schema(past.rows)
    ready, order, answer, columns = past.ready, past.order, answers.answer, answers.columns

    def in_bucket(asks: pa.Table, gone: pa.Table) -> pa.Table:
        if (found := _versions()) != expected:
            raise ValueError(f"{OTHER_VERSIONS} {found} on an executor, expected {expected}, as on the driver")
        gone = _as(gone, of_past)
        if order:
            gone = gone.sort_by([(name, "ascending") for name in order])
        return answer(ready(gone), _as(asks, of_asks).sort_by(ROW)).cast(columns)

    return in_bucket


def _versions() -> dict[str, str]:
    """Return the versions of what shapes the bytes of answers."""
    return {name: version for name, version in versions().items() if name in ("recsys", "pyarrow")}


def _numbered(names: Sequence[str]) -> list[str]:
    """Return other names: those with a dot are refused where functions are applied to groups."""
    return [f"c{place}" for place in range(len(names))]


def _as(table: pa.Table, columns: pa.Schema) -> pa.Table:
    """Return the rows of a group under their own names, without their bucket."""
    return table.select(_numbered(columns.names)).rename_columns(columns.names).cast(columns)


def write_pieces(parts: Sequence["DataFrame"], size: int, target: str) -> None:
    """Set parts with one row per `ROW` side by side, and write each `size` rows of them to a folder of its own, in their order."""
    from pyspark.sql import functions

    first, *others = parts
    for other in others:
        first = first.join(other, ROW)
    placed = first.withColumn(_PIECE, functions.expr(f"{ROW} div {size}"))
    placed.repartition(_PIECE).sortWithinPartitions(_PIECE, ROW).write.partitionBy(_PIECE).parquet(target)


def read_piece(folder: Path, piece: int, columns: pa.Schema, rows: int) -> pa.Table:
    """Read what `write_pieces` has written, and remove it."""
    (file,) = (folder / f"{_PIECE}={piece}").glob("*.parquet")
    table = pq.read_table(file, partitioning=None)
    assert table[ROW].to_pylist() == list(range(table[ROW][0].as_py(), table[ROW][0].as_py() + rows)), f"{file}: {table.num_rows} rows"
    file.unlink()
    return table.select(columns.names).cast(columns).combine_chunks()


def read_in_order(folder: Path, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows that a sorted expression has written, in its order, in batches as `engine.batches` makes them."""
    held, some = columns.empty_table(), False
    for file in sorted(folder.glob("part-*.parquet")):  # one per part of the order
        for batch in pq.ParquetFile(file).iter_batches(GROUP_ROWS):
            held = pa.concat_tables([held, pa.table(batch).cast(columns)])
            if len(held) >= GROUP_ROWS:
                yield from batches(held.slice(0, GROUP_ROWS))
                held, some = held.slice(GROUP_ROWS), True
    if len(held) or not some:
        yield from batches(held)
