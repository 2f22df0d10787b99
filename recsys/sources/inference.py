"""The types of text columns, found from all their values. So they depend neither on the order nor on the splitting of the files.

| type | when |
|---|---|
| int64 | every number is a whole number in its usual form, within 64 bits |
| double | at least 90 % of the values are numbers; rows with another value are refused |
| bool, date, timestamp | every value is true/false, an ISO date, or an ISO time, respectively |
| string | otherwise; always where a value has leading zeros or a plus sign (a code, not a number) |

A column that a pipeline calls a category is a number only where every value is a number.
"""

from collections.abc import Collection, Sequence

import duckdb
import pyarrow as pa

from recsys.sources.batch import LOCAL_TIME, UTC_TIME
from recsys.sources.database import one_row
from recsys.sources.instants import iso_micros, local_micros
from recsys.sources.output_columns import Column, Refusal, is_canonical_integer, matches, number
from recsys.sources.staging import Staged

NUMERIC_SHARE = 0.9  # share of a column's values that must be numbers, so that the other values count as mistakes

_CODE = r"[+-]?0\d+|\+\d+"
_WHOLE = r"-?[1-9]\d*"
_DATE = r"\d{4}-\d{2}-\d{2}"


def infer(
    con: duckdb.DuckDBPyConnection, staged: Staged, names: Sequence[str], *, texts: Collection[str], categories: Collection[str], zone: str
) -> dict[str, Column]:
    """Return name → column, each under its own name. `texts` stay text. `categories` are numbers only where every value is a number."""
    open_names = [name for name in names if staged.type(name) is None and name not in texts]
    integers = _all_canonical(con, staged, open_names)
    columns = {}
    for name in names:
        column = staged.column(name)
        kind = staged.type(name)
        if name in texts:
            columns[name] = Column(name, f"CAST({column} AS VARCHAR)", pa.string())
        elif kind is not None:
            columns[name] = _typed(name, column, kind, zone)
        elif name in integers:
            columns[name] = Column(name, f"TRY_CAST({column} AS BIGINT)", pa.int64())
        else:
            columns[name] = _from_text(con, staged, name, 1.0 if name in categories else NUMERIC_SHARE, zone)
    return columns


def _all_canonical(con: duckdb.DuckDBPyConnection, staged: Staged, names: Sequence[str]) -> set[str]:
    """Return the columns whose every value is a canonical integer.

    One pass finds them for all columns, because most columns of a log are such.
    """
    if not names:
        return set()
    counts = ", ".join(f"count({staged.column(name)}), count(*) FILTER ({is_canonical_integer(staged.column(name))})" for name in names)
    row = one_row(con, f"SELECT {counts} FROM {staged.table}")
    return {name for name, values, integers in zip(names, row[::2], row[1::2], strict=True) if values == integers > 0}


def _typed(name: str, column: str, kind: pa.DataType, zone: str) -> Column:
    """Return a column of a parquet file, which already has a type."""
    if kind == pa.float64():
        refusal = Refusal(name, f"{column} IS NOT NULL AND NOT isfinite({column})", "a finite number")
        return Column(name, column, kind, (refusal,))
    if kind in (LOCAL_TIME, UTC_TIME):
        micros = local_micros(column, zone) if kind == LOCAL_TIME else f"epoch_us({column})"
        return Column(name, f"make_timestamp({micros})", LOCAL_TIME)
    return Column(name, column, kind)


def _from_text(con: duckdb.DuckDBPyConnection, staged: Staged, name: str, share: float, zone: str) -> Column:
    column = staged.column(name)
    as_number = number(column, None)
    too_big = f"({matches(column, _WHOLE)} AND TRY_CAST({column} AS BIGINT) IS NULL)"
    values, numbers, integers, codes = one_row(
        con,
        f"""
        SELECT count({column}),
               count(*) FILTER (({as_number}) IS NOT NULL AND NOT {too_big}),
               count(*) FILTER ({is_canonical_integer(column)}),
               count(*) FILTER ({matches(column, _CODE)})
        FROM {staged.table}
        """,
    )
    if values == 0 or codes > 0:
        return Column(name, column, pa.string())
    if numbers >= share * values:
        whole = numbers == integers
        sql = f"CASE WHEN {is_canonical_integer(column)} THEN TRY_CAST({column} AS BIGINT) END" if whole else as_number
        expected = "a whole number" if whole else "a number"
        refusal = Refusal(name, f"{column} IS NOT NULL AND ({sql}) IS NULL", expected, fix="mend the rows or name the column in leave_out")
        return Column(name, sql, pa.int64() if whole else pa.float64(), (refusal,) if numbers < values else ())
    return _not_a_number(con, staged, name, values, zone)


def _not_a_number(con: duckdb.DuckDBPyConnection, staged: Staged, name: str, values: int, zone: str) -> Column:
    column = staged.column(name)
    bools, dates, stamps = one_row(
        con,
        f"""
        SELECT count(*) FILTER (lower({column}) IN ('true', 'false')),
               count(*) FILTER ({matches(column, _DATE)} AND TRY_CAST({column} AS DATE) IS NOT NULL),
               count(*) FILTER (({iso_micros(column, zone)}) IS NOT NULL)
        FROM {staged.table}
        """,
    )
    if bools == values:
        return Column(name, f"lower({column}) = 'true'", pa.bool_())
    if dates == values:
        return Column(name, f"TRY_CAST({column} AS DATE)", pa.date32())
    if stamps == values:
        return Column(name, f"make_timestamp({iso_micros(column, zone)})", LOCAL_TIME)
    return Column(name, column, pa.string())
