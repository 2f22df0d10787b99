"""Ids: int64 where every value is written as an int64, else string, never float."""

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from recsys.errors import DataError, data_error
from recsys.sources.batch import SOURCE_ROW
from recsys.sources.database import one_row
from recsys.sources.output_columns import Column, Refusal, is_canonical_integer, matches
from recsys.sources.staging import EXACT, SOURCE_FILE, Staged

INTEGRAL = r"-?(0|[1-9]\d*)\.0+"
_SCIENTIFIC = r"\d(\.\d+)?[eE]\+?\d+"


def id_columns(
    con: duckdb.DuckDBPyConnection, staged: Staged, names: Mapping[str, str], as_type: pa.DataType | None = None
) -> list[Column]:
    """Return the columns of ids that share one type, such as item_id and query_item_id. `names` is our name → the file's name.

    The type is `as_type`, or found from the values. Whole numbers that were written as doubles become int64 where no digit can be lost.
    Raises DataError where a digit may be lost.
    """
    forms = {ours: _form(con, staged, theirs) for ours, theirs in names.items()}
    common = as_type or (pa.int64() if all(kind == pa.int64() for kind, _ in forms.values()) else pa.string())
    return [_column(staged, ours, theirs, common, doubles=forms[ours][1]) for ours, theirs in names.items()]


def refuse_null(column: Column, theirs: str) -> Column:
    """Return the same column, but refuse rows without a value."""
    refusal = Refusal(theirs, f"({column.sql}) IS NULL", f"an id ({column.type})")
    return Column(column.name, column.sql, column.type, (refusal,), column.said)


def _form(con: duckdb.DuckDBPyConnection, staged: Staged, name: str) -> tuple[pa.DataType, bool]:
    """Return an id's type, int64 or string, and whether its values were written as doubles."""
    kind, column = staged.type(name), staged.column(name)
    if kind in (pa.int64(), pa.string()):
        return kind, False
    if kind == pa.float64():
        _refuse_where(con, staged, name, f"{column} <> trunc({column})", "an id with a fraction")
        written, exact = staged.exact_below(name)
        _refuse_where(con, staged, name, f"abs({column}) >= {exact}", f"a {written} that has lost digits")
        return pa.int64(), True
    if kind is not None:
        raise data_error(
            staged.place(0, 1, name),
            found=f"values of type {kind}",
            expected="ids (int64 or string)",
            fix="name another column in [source.columns]",
        )
    values, integers = _counted(con, staged, f"{column} IS NOT NULL", is_canonical_integer(column))
    if values == integers > 0:
        return pa.int64(), False
    integral_form, scientific_form = matches(column, INTEGRAL), matches(column, _SCIENTIFIC)
    integral, scientific = _counted(con, staged, integral_form, scientific_form)
    if scientific > 0 and integers + integral + scientific == values:
        _refuse_where(con, staged, name, scientific_form, "a number that has lost digits")
    if integral > 0 and integers + integral == values:
        lost = f"{integral_form} AND abs(TRY_CAST({column} AS DOUBLE)) >= {EXACT}"
        _refuse_where(con, staged, name, lost, "a double that has lost digits")
        return pa.int64(), True
    return pa.string(), False


def _counted(con: duckdb.DuckDBPyConnection, staged: Staged, *conditions: str) -> tuple[int, ...]:
    """Return the number of rows in which each condition holds."""
    counts = ", ".join(f"count(*) FILTER ({condition})" for condition in conditions)
    return one_row(con, f"SELECT {counts} FROM {staged.table}")


def _refuse_where(con: duckdb.DuckDBPyConnection, staged: Staged, name: str, condition: str, found: str) -> None:
    """Raise DataError where `condition` holds in any row.

    Leaving out rows cannot mend a lost digit: another id may have become this one.
    """
    first = f"min(({SOURCE_FILE}, {SOURCE_ROW}, CAST({staged.column(name)} AS VARCHAR)))"
    count, place = one_row(con, f"SELECT count(*), {first} FROM {staged.table} WHERE {condition}")
    if count:
        raise _lost(staged, name, found, count, place)


def _lost(staged: Staged, name: str, found: str, count: int, first: tuple[int, int, str]) -> DataError:
    file, line, value = first
    return data_error(
        staged.place(file, line, name), found=f"{found} ({value})", expected="an id (int64 or string), never a float",
        bad_rows=count, rows=staged.rows, fix="export ids as integers or as text",
    )  # fmt: skip


def _column(staged: Staged, ours: str, theirs: str, kind: pa.DataType, *, doubles: bool) -> Column:
    column, staged_kind = staged.column(theirs), staged.type(theirs)
    said = f"{staged.role}: {theirs} was written as whole doubles and is read as int64" if doubles else None
    if staged_kind == pa.float64():
        sql = f"CAST({column} AS BIGINT)"
    elif staged_kind is None and doubles:
        sql = f"TRY_CAST(regexp_replace({column}, '\\.0+$', '') AS BIGINT)"
    elif kind == pa.int64() and staged_kind != pa.int64():
        sql = f"CASE WHEN {is_canonical_integer(column)} THEN TRY_CAST({column} AS BIGINT) END"
    else:
        sql = column
    if kind == pa.string():
        sql = f"CAST({sql} AS VARCHAR)"
    refusal = Refusal(theirs, f"{column} IS NOT NULL AND ({sql}) IS NULL", f"an id ({kind})")
    return Column(ours, sql, kind, (refusal,) if kind == pa.int64() else (), said)
