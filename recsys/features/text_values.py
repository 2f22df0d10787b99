"""Words for an expression that reads text as a number: which column, which values it holds, and how to write it instead."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys import schema
from recsys.errors import one_line, short
from recsys.features.feature_columns import Columns
from recsys.features.operands import TextError, shortened
from recsys.workspace import EVENTS

_SHOWN = 4  # values in a message
_LONGEST = 30  # letters of one of them


def text_problem(error: TextError, columns: Columns) -> str:
    """Return the words of the error, with the first column of text, its values and what to write; without them where none is at hand."""
    if columns.folder is None or not error.columns:
        return str(error)
    stored = error.columns[0]
    name = one_line(shortened(schema.strip(stored, schema.LOG)))
    values = _first_values(sorted((columns.folder / EVENTS).rglob("*.parquet")), stored)
    if not values:
        return f"found no value in the column {name}, expected some: so it is read as text. Fix: mend the column, or name another one"
    shown = ", ".join(values[:_SHOWN]) + (", …" if len(values) > _SHOWN else "")
    return f"{error}; the column {name} holds {shown}. Fix: name its values in quotes, such as {name} = {values[-1]}"


def _first_values(files: Sequence[Path], stored: str) -> list[str]:
    """Return different values in order, as SQL writes them, of the first file that has some."""
    for file in files:
        found = pc.unique(pq.read_table(file, columns=[stored])[stored].combine_chunks()).drop_null().to_pylist()
        if found:
            return ["'" + one_line(short(value, _LONGEST)).replace("'", "''") + "'" for value in sorted(found)[: _SHOWN + 1]]
    return []
