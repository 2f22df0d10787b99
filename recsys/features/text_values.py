"""Words for an expression that reads text as a number: which column, which values it holds, and how to write it instead."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys import schema
from recsys.errors import one_line, short
from recsys.features.feature_columns import Columns
from recsys.features.operands import TextError, shortened
from recsys.workspace import EVENTS, day_of

_SHOWN = 4  # values in a message
_LONGEST = 30  # letters of one of them


def text_problem(error: TextError, columns: Columns) -> str:
    """Return the words of the error, with the first column of text, its values and what to write; without them where none is at hand."""
    if columns.folder is None or not error.columns:
        return str(error)
    stored = error.columns[0]
    name = one_line(shortened(schema.strip(stored, schema.LOG)))
    files = sorted((columns.folder / EVENTS).rglob("*.parquet"))
    values = next(filter(None, (_values(file, stored) for file in files)), [])
    if not values:
        return f"found no value in the column {name}, expected some: so it is read as text. Fix: mend the column, or name another one"
    fix = f"name its values in quotes, such as {name} = {_quoted(values)[-1]}"
    is_alike = next((form for form in (_is_number, _is_truth) if all(map(form, values))), None)
    other = None if is_alike is None else _first_other(files, stored, is_alike)
    if other is None:
        return f"{error}; the column {name} holds {_listed(values)}. Fix: {fix}"
    day, words = other
    return (
        f"{error}; the column {name} holds {_listed(values)}, and on {day} also {_listed(words)}."
        f" Fix: write that day as the days before it; if all of it is meant as text, {fix}"
    )


def _first_other(files: Sequence[Path], stored: str, is_alike: Callable[[str], bool]) -> tuple[str, list[str]] | None:
    """Return the first day with values of another form, and these values; None where there is none, or a file is of no day."""
    for file in files:
        if (day := day_of(file.parent.name)) and (words := [value for value in _values(file, stored) if not is_alike(value)]):
            return day, words
    return None


def _values(file: Path, stored: str) -> list[str]:
    """Return the different values of a column in order."""
    found: list[str] = pc.unique(pq.read_table(file, columns=[stored])[stored].combine_chunks()).drop_null().to_pylist()
    return sorted(found)


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _is_truth(value: str) -> bool:
    return value.lower() in ("true", "false")


def _listed(values: Sequence[str]) -> str:
    return ", ".join(_quoted(values)[:_SHOWN]) + (", …" if len(values) > _SHOWN else "")


def _quoted(values: Sequence[str]) -> list[str]:
    """Return the first values as SQL writes them, one more than a message shows."""
    return ["'" + one_line(short(value, _LONGEST)).replace("'", "''") + "'" for value in values[: _SHOWN + 1]]
