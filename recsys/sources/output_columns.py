"""A column on its way from a staged table to its output: its type, and the rows that it refuses."""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Refusal:
    """A reason to refuse rows: those in which `condition` (SQL over the staged columns) holds cannot be used."""

    column: str  # its name in the user's file
    condition: str
    expected: str
    hint_unit: str | None = None  # for a timestamp: the unit in which it was read
    fix: str | None = None  # what to do besides mending the rows


@dataclass(frozen=True)
class Column:
    name: str  # in the output
    sql: str  # over the staged columns c0, c1, …
    type: pa.DataType
    refusals: tuple[Refusal, ...] = ()
    said: str | None = None  # a message to the user about how the column was read


# A number as a person writes it. DuckDB's own casts accept all of these, and also 0x1F, 1_000 and inf.
_NUMBER = r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*"


def matches(column: str, pattern: str) -> str:
    """Return SQL for whether the whole text of a column matches `pattern`, which is one of ours and has no quote in it."""
    return f"regexp_full_match({column}, '{pattern}')"


def number(column: str, kind: pa.DataType | None) -> str:
    """Return SQL for a staged column as DOUBLE, null where the value is not a finite number. `kind` is None for text."""
    if kind is None or kind == pa.string():
        cast = f"TRY_CAST({column} AS DOUBLE)"
        return f"CASE WHEN {matches(column, _NUMBER)} AND isfinite({cast}) THEN {cast} END"
    if kind == pa.float64():
        return f"CASE WHEN isfinite({column}) THEN {column} END"
    return f"CAST({column} AS DOUBLE)"


def is_canonical_integer(column: str) -> str:
    """Return SQL for whether a text is an int64, written in its usual form: "7", not "007", "+7" or "7.0"."""
    return f"CAST(TRY_CAST({column} AS BIGINT) AS VARCHAR) = {column}"
