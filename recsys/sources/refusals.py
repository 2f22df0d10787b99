"""Rows that cannot be used. They go to quarantine, with a reason, and not to the table. Too many of them are an error."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from recsys import schema
from recsys.errors import DataError, data_error
from recsys.sources.batch import SOURCE_ROW
from recsys.sources.input_files import short_names
from recsys.sources.instants import likely_unit
from recsys.sources.output_columns import Column, Refusal
from recsys.sources.staging import SOURCE_FILE, Staged, unbalanced_error

DIGEST = "digest"


@dataclass(frozen=True)
class Typed:
    """A table of the engine: source_file, source_row, a0, a1, … in the order of `columns`, and the digest of a0, a1, …."""

    staged: Staged
    table: str
    columns: tuple[Column, ...]
    quarantined: int

    def column(self, name: str) -> str:
        return f"a{[column.name for column in self.columns].index(name)}"

    def type(self, name: str) -> pa.DataType:
        return next(column.type for column in self.columns if column.name == name)

    def __contains__(self, name: str) -> bool:
        return any(column.name == name for column in self.columns)


def typed(con: duckdb.DuckDBPyConnection, staged: Staged, columns: Sequence[Column], *, max_bad: float) -> tuple[Typed, pa.Table]:
    """Return the usable rows with their types, and the quarantine of the others (schema.QUARANTINE).

    Raises DataError where more than the share `max_bad` of the rows is refused, naming the most common reason, or where no row is usable.
    """
    refusals = [refusal for column in columns for refusal in column.refusals]
    torn = sum(len(bad.rows) for bad in staged.unbalanced)
    counts = _counts(con, staged, refusals)
    quarantined = sum(counts.values()) + torn
    if quarantined > max_bad * staged.rows:
        raise _too_many(con, staged, refusals, counts, torn, max_bad)
    if quarantined == staged.rows > 0:
        raise data_error(
            str(staged.files[0].path),
            found="no usable row",
            expected="at least one",
            bad_rows=quarantined,
            rows=staged.rows,
            fix="mend the rows",
        )
    refusals = refusals if counts else []  # most logs are clean: their rows need no second check
    quarantine = _quarantine(con, staged, refusals)
    name = staged.table.replace("staged", "typed", 1)
    usable = "" if not refusals else f"WHERE ({_code(refusals)}) = 0"
    values = ", ".join(f"{column.sql} AS a{place}" for place, column in enumerate(columns))
    con.execute(
        f"""
        CREATE TABLE {name} AS
        SELECT *, md5_number({_content(columns)}) AS {DIGEST}
        FROM (SELECT {SOURCE_FILE}, {SOURCE_ROW}, {values} FROM {staged.table} {usable})
        """
    )
    con.execute(f"DROP TABLE {staged.table}")
    return Typed(staged, name, tuple(columns), quarantined), quarantine


def _content(columns: Sequence[Column]) -> str:
    """Return SQL for a text that two rows share only if all their typed values are equal, compared by column name.

    Null is "-", and a text carries its length. A whole double is written like an integer. So a row keeps its id when another file brings
    fractions.
    """
    parts = []
    for place, column in sorted(enumerate(columns), key=lambda entry: entry[1].name):
        alias = f"a{place}"
        if column.type == pa.string():
            text = f"strlen({alias}) || ':' || {alias}"
        elif column.type == pa.float64():
            is_whole = f"{alias} = trunc({alias}) AND abs({alias}) < 1e15"
            text = f"CASE WHEN {is_whole} THEN CAST(CAST({alias} AS BIGINT) AS VARCHAR) ELSE CAST({alias} AS VARCHAR) END"
        else:
            text = f"CAST({alias} AS VARCHAR)"
        parts.append(f"coalesce({text}, '-')")
    return f"concat_ws(',', {', '.join(parts)})"


def _code(refusals: Sequence[Refusal]) -> str:
    """Return SQL that gives 0 for a usable row, else 1 + the place of the first refusal that holds."""
    return "CASE " + " ".join(f"WHEN {refusal.condition} THEN {place + 1}" for place, refusal in enumerate(refusals)) + " ELSE 0 END"


def _counts(con: duckdb.DuckDBPyConnection, staged: Staged, refusals: Sequence[Refusal]) -> dict[int, int]:
    """Return place of a refusal → number of rows that it refuses."""
    if not refusals:
        return {}
    rows = con.execute(
        f"SELECT code, count(*) FROM (SELECT {_code(refusals)} AS code FROM {staged.table}) WHERE code > 0 GROUP BY code"
    ).fetchall()
    return {code - 1: count for code, count in rows}


def _refused(con: duckdb.DuckDBPyConnection, staged: Staged, refusals: Sequence[Refusal], which: str) -> pa.Table:
    """Return refused rows as they were staged. `which` is the SQL that selects and orders them."""
    columns = ", ".join(f"c{place}" for place in range(len(staged.names)))
    rows = f"SELECT {_code(refusals)} AS code, {SOURCE_FILE}, {SOURCE_ROW}, {columns} FROM {staged.table}"
    return con.sql(f"SELECT * FROM ({rows}) WHERE {which}").to_arrow_table()


def _quarantine(con: duckdb.DuckDBPyConnection, staged: Staged, refusals: Sequence[Refusal]) -> pa.Table:
    files = short_names(staged.files)
    rows = []
    if refusals:
        refused = _refused(con, staged, refusals, "code > 0 ORDER BY source_file, source_row")
        rows += [_entry(staged, files, refusals, row) for row in refused.to_pylist()]
    for file, bad in zip(files, staged.unbalanced, strict=True):
        for row, fields, line in zip(bad.rows, bad.fields, bad.lines, strict=True):
            reason = f"found {fields} fields, expected {len(staged.names)}, as in the header"
            rows.append({"source_file": file, "source_row": row, "reason": reason, "raw": json.dumps(line, ensure_ascii=False)})
    return pa.Table.from_pylist(rows, schema=schema.QUARANTINE)


def _entry(staged: Staged, files: Sequence[str], refusals: Sequence[Refusal], row: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: row[f"c{place}"] for place, name in enumerate(staged.names)}
    refusal = refusals[row["code"] - 1]
    found = values[refusal.column]
    unit = _likely_unit(refusal, found)
    hint = f" (the unit seems to be {unit})" if unit else ""
    reason = f"column {refusal.column}: found {_shown(found)}, expected {refusal.expected}{hint}"
    raw = json.dumps(values, ensure_ascii=False, default=str)
    return {"source_file": files[row[SOURCE_FILE]], "source_row": row[SOURCE_ROW], "reason": reason, "raw": raw}


def _shown(value: object) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _likely_unit(refusal: Refusal, found: object) -> str | None:
    return likely_unit(found, refusal.hint_unit) if refusal.hint_unit and found is not None else None


def _too_many(
    con: duckdb.DuckDBPyConnection, staged: Staged, refusals: Sequence[Refusal], counts: Mapping[int, int], torn: int, max_bad: float
) -> DataError:
    """Return the error about the most common reason; of two equally common ones, about that of the first column."""
    if torn >= max(counts.values(), default=0):
        file, bad = max(zip(staged.files, staged.unbalanced, strict=True), key=lambda pair: len(pair[1].rows))
        return unbalanced_error(file, len(staged.names), bad, torn, staged.rows)
    worst = min(counts, key=lambda place: (-counts[place], place))
    refusal = refusals[worst]
    example = _refused(con, staged, refusals, f"code = {worst + 1} ORDER BY {SOURCE_FILE}, {SOURCE_ROW} LIMIT 1").to_pylist()[0]
    found = example[staged.column(refusal.column)]
    unit = _likely_unit(refusal, found)
    fix = f"mend the rows, or raise source.max_bad (now {max_bad:g}; {sum(counts.values()) + torn:,} rows refused in all)"
    if unit:
        fix = f'the unit seems to be {unit}: set source.time.unit = "{unit}"'
    place = staged.place(example[SOURCE_FILE], example[SOURCE_ROW], refusal.column)
    return data_error(place, found=_shown(found), expected=refusal.expected, bad_rows=counts[worst], rows=staged.rows, fix=fix)
