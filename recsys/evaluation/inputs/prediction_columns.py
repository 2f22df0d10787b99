"""Columns of a table of predictions as arrays, each checked for its type."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import schema
from recsys.errors import Place, data_error
from recsys.evaluation.inputs.groups import codes
from recsys.evaluation.inputs.rows import FloatArray, IntArray

_SECONDS = range(10**9, 42 * 10**8)  # 2001 to 2103 in seconds
_LATEST = 42 * 10**11  # 2103 in milliseconds


def place(run: str, column: str | None = None) -> Place:
    """Return the place that an error message names."""
    return Place(f"predictions of run {run}", column=column)


def require(table: pa.Table, columns: Sequence[str], run: str) -> None:
    """Raise DataError if a column is missing. The error names every missing column, and the columns that are there."""
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise data_error(
            place(run),
            found=f"the columns {', '.join(table.column_names)}",
            expected=f"also {', '.join(missing)}",
            fix="add the missing columns, or leave out the objectives they belong to",
        )


def plain(table: pa.Table, column: str) -> pa.Array:
    """Return a column as one array of its values, whatever its chunks and encoding."""
    values = table[column]
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if values.num_chunks == 1:
        return values.chunk(0)
    return pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)


def numbers(table: pa.Table, column: str, run: str) -> FloatArray:
    """Return a numeric or boolean column as float64, null as NaN. Raises DataError for any other type."""
    values = plain(table, column)
    kind = values.type
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if not (numeric or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
        raise data_error(place(run, column), found=f"values of type {kind}", expected="numbers", fix="write the column as numbers")
    # A whole number beyond 2⁵³ becomes the nearest float64, as in any arithmetic.
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def ids(table: pa.Table, column: str, run: str) -> pa.Array:
    """Return ids as int64 (uint64 stays) or large text, however wide they were written. Raises DataError for nulls and other types."""
    values = plain(table, column)
    no_nulls(values, place(run, column))
    kind = values.type
    if pa.types.is_integer(kind):
        return values if pa.types.is_uint64(kind) else values.cast(pa.int64())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.large_string())
    raise data_error(
        place(run, column),
        found=f"values of type {kind}",
        expected="int64 or string",
        fix="keep ids as integers or text: a float loses digits",
    )


def milliseconds(table: pa.Table, run: str) -> IntArray:
    """Return the times of a table with rows as int64 milliseconds since 1970 UTC.

    Raises DataError for nulls, fractions and text, and for times in another unit: lists without a request are parted by pauses.
    """
    times = plain(table, schema.TIMESTAMP)
    no_nulls(times, place(run, schema.TIMESTAMP))
    if pa.types.is_timestamp(times.type):
        times = times.cast(pa.timestamp("ms", times.type.tz), safe=False).cast(pa.int64())
    if not pa.types.is_integer(times.type):
        raise data_error(
            place(run, schema.TIMESTAMP),
            found=f"values of type {times.type}",
            expected="int64 milliseconds since 1970 UTC",
            fix="convert the column",
        )
    first, last = pc.min_max(times).as_py().values()
    is_late = first > _LATEST or last > np.iinfo(np.int64).max
    if is_late or (first in _SECONDS and last in _SECONDS):
        raise data_error(
            place(run, schema.TIMESTAMP),
            found=f"{first} to {last}, which lie {'after 2103' if is_late else 'in the first weeks of 1970'} in milliseconds",
            expected="milliseconds since 1970 UTC",
            fix="convert the column",
        )
    return np.asarray(times.cast(pa.int64()).to_numpy())


def texts(table: pa.Table, column: str, run: str) -> tuple[IntArray, list[str]]:
    """Return a column of names as codes in ascending order of the names (−1: null), and the names.

    Raises DataError for values that cannot be written as text.
    """
    values = plain(table, column)
    try:
        code_N, names = codes(values.cast(pa.string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise data_error(
            place(run, column), found=f"values of type {values.type}", expected="text, or what can be written as text", fix="write names"
        ) from error
    return code_N, names.to_pylist()


def no_nulls(values: pa.Array, where: Place) -> None:
    """Raise DataError with the number of nulls, if there are any."""
    if values.null_count:
        raise data_error(
            where,
            found="null",
            expected="a value in every row",
            bad_rows=values.null_count,
            rows=len(values),
            fix="fill or leave out these rows",
        )
