"""The role of each column of the examples in the model, and the conversion of its cells to numpy arrays."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys import schema
from recsys.config import Features
from recsys.errors import ArtifactError

POSITION = schema.BIAS + schema.POSITION
DEVICE = schema.BIAS + schema.DEVICE
HISTORY_ITEM_ID = schema.HISTORY + schema.ITEM_ID
_ID_COLUMNS = (schema.QUERY + schema.ITEM_ID, HISTORY_ITEM_ID)  # read as ids only where features.ids names item_id
_HISTORY_CATEGORIES = (schema.HISTORY + schema.ITEM, schema.HISTORY + schema.CONTEXT)
_PLAIN_PREFIXES = (schema.USER, schema.ITEM, schema.CONTEXT, schema.QUERY, schema.ID, schema.AGGREGATE)


@dataclass(frozen=True)
class Roles:
    """The columns of the examples that the model reads, by role, in their order in the examples."""

    dense: tuple[str, ...]
    categories: tuple[str, ...]
    history_categories: tuple[str, ...]
    history_signals: tuple[str, ...]  # the age of the past impression among them


class Cells(NamedTuple):
    """The values of a column, flattened. `row` is the example that held a value, `place` the value's place within its list."""

    row: NDArray[np.int64]
    place: NDArray[np.int64]
    values: pa.Array


def roles(examples: pa.Schema, features: Features) -> Roles:
    """Find the role of each column: numbers are dense; texts, lists and ids are categories; `history.…` are lists of either.

    Raises ArtifactError for another type.
    """
    dense: list[str] = []
    categories: list[str] = []
    history_categories: list[str] = []
    history_signals: list[str] = []
    for field in examples:
        if field.name in _ID_COLUMNS and schema.ITEM_ID not in features.ids:
            continue
        if field.name.startswith(schema.HISTORY):
            if features.history == 0:
                continue
            is_signal = _is_list(field.type) and pa.types.is_floating(field.type.value_type)  # one may be called item.liked
            is_category = not is_signal and (field.name.startswith(_HISTORY_CATEGORIES) or field.name == HISTORY_ITEM_ID)
            (history_categories if is_category else history_signals).append(field.name)
        elif field.name.startswith(_PLAIN_PREFIXES):
            is_id = field.name.startswith(schema.ID) or field.name in _ID_COLUMNS
            (dense if is_number(field.type) and not is_id else categories).append(field.name)
    found = Roles(tuple(dense), tuple(categories), tuple(history_categories), tuple(history_signals))
    check_types(examples, found, "examples")
    return found


def check_types(examples: pa.Schema, roles: Roles, place: str) -> None:
    """Raise an ArtifactError that names the first column that is absent or of a type that its role cannot have."""
    expected = (
        (roles.dense, is_number, "a number"),
        (roles.categories, _is_category, "a text, an int64 or a list of texts"),
        (roles.history_categories, lambda kind: _is_list(kind) and _is_category(kind.value_type), "a list of such"),
        (roles.history_signals, lambda kind: _is_list(kind) and is_number(kind.value_type), "a list of numbers"),
    )
    for columns, is_right, what in expected:
        _check_type(examples, columns, is_right, what, place)


def check_numbers(examples: pa.Schema, columns: Sequence[str], place: str) -> None:
    """Raise an ArtifactError that names the first column that is absent or holds no numbers."""
    _check_type(examples, columns, is_number, "a number", place)


def _check_type(examples: pa.Schema, columns: Sequence[str], is_right: Callable[[pa.DataType], bool], what: str, place: str) -> None:
    require(examples, columns, place)
    for column in columns:
        if not is_right(examples.field(column).type):
            raise ArtifactError(
                f"{place} column {column}: found type {examples.field(column).type}, expected {what}."
                " Fix: delete the examples and run features and encode again"
            )


def require(examples: pa.Schema, columns: Iterable[str], place: str) -> None:
    """Raise an ArtifactError that names the absent columns."""
    there = set(examples.names)
    absent = [column for column in columns if column not in there]
    if absent:
        raise ArtifactError(
            f"{place} column {', '.join(absent)}: found no such column, expected what the encoder reads."
            " Fix: run features and encode again with one config"
        )


def space_of(column: str) -> str:
    """Return the space of a column: its part of the embedding table. Columns that mean the same thing share a space."""
    if column in _ID_COLUMNS:
        return schema.ITEM_ID
    if column.startswith(schema.ID):
        return schema.strip(column, schema.ID)
    if column.startswith(schema.QUERY):
        return schema.ITEM + schema.strip(column, schema.QUERY)
    if column.startswith(schema.HISTORY):
        return schema.strip(column, schema.HISTORY)
    return column


def array(table: pa.Table, column: str) -> pa.Array:
    return table[column].combine_chunks()


def numbers(column: pa.Array) -> NDArray[np.float64]:
    """Return one float64 per cell; NaN where the cell is null, NaN or infinite."""
    if not pa.types.is_floating(column.type):
        column = pc.cast(column, pa.float64(), safe=False)
    values: NDArray[np.float64] = column.to_numpy(zero_copy_only=False).astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def lengths_of(lists: pa.Array) -> NDArray[np.int64]:
    """Return the length of each list; 0 for a null list."""
    lengths: NDArray[np.int64] = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    return lengths


def elements(lists: pa.Array, most: int) -> Cells:
    """Return the first `most` elements of each list. A null list has none."""
    lengths = np.minimum(lengths_of(lists), most)
    row = np.repeat(np.arange(len(lists)), lengths)
    place = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Cells(row, place, first_elements(lists, most))


def first_elements(lists: pa.Array, most: int) -> pa.Array:
    """Return the first `most` elements of each list, one list after the other."""
    is_longer = (pc.max(pc.list_value_length(lists)).as_py() or 0) > most
    return pc.list_flatten(pc.list_slice(lists, 0, most) if is_longer else lists)


def categories(column: pa.Array, most: int) -> Cells:
    """Return the first `most` values of each cell as strings. A null cell holds one value, null; an empty list holds none."""
    if not _is_list(column.type):
        places = np.zeros(len(column), np.int64)
        return Cells(np.arange(len(column)), places, pc.cast(column, pa.string()))
    row, place, values = elements(column, most)
    null_rows = np.flatnonzero(pc.is_null(column).to_numpy(zero_copy_only=False))
    values = pa.concat_arrays([pc.cast(values, pa.string()), pa.nulls(len(null_rows), pa.string())])
    return Cells(np.concatenate([row, null_rows]), np.concatenate([place, np.zeros_like(null_rows)]), values)


def width_of(kind: pa.DataType, max_values: int) -> int:
    return max_values if _is_list(kind) else 1


def is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _is_category(kind: pa.DataType) -> bool:
    kind = kind.value_type if _is_list(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))
