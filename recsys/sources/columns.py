"""A column on its way from a staged table to its output: how it is typed, and which rows it refuses."""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Refusal:
    """Rows in which `condition` (SQL over the staged columns) holds cannot be used."""

    column: str  # the user's own name of it
    condition: str
    expected: str
    hint_unit: str | None = None  # of a timestamp: the unit it was read in


@dataclass(frozen=True)
class Column:
    name: str  # in the output
    sql: str  # over the staged columns c0, c1, …
    type: pa.DataType
    refusals: tuple[Refusal, ...] = ()
    said: str | None = None  # what the user should know of how it was read


# A number as a person writes it. DuckDB's own casts are wider (0x1F, 1_000, inf) and narrower than nothing else.
_NUMBER = r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*"


def matches(column: str, pattern: str) -> str:
    """`pattern` is one of ours, without a quote in it."""
    return f"regexp_full_match({column}, '{pattern}')"


def number(column: str, kind: pa.DataType | None) -> str:
    """A staged column as DOUBLE; null where it is no finite number. `kind` None: text."""
    if kind is None or kind == pa.string():
        cast = f"TRY_CAST({column} AS DOUBLE)"
        return f"CASE WHEN {matches(column, _NUMBER)} AND isfinite({cast}) THEN {cast} END"
    if kind == pa.float64():
        return f"CASE WHEN isfinite({column}) THEN {column} END"
    return f"CAST({column} AS DOUBLE)"


def is_canonical_integer(column: str) -> str:
    """A text that stands for an int64 and is written just as that int64 would be: "7", not "007", "+7" or "7.0"."""
    return f"CAST(TRY_CAST({column} AS BIGINT) AS VARCHAR) = {column}"
