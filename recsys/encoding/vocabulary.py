"""One append-only map (space, value) → row of the embedding table.

Row 0 is padding. Then comes the unknown row of each space, then the values in (day, space, value) order. A value gets its row
on the day on which it has been seen in `min_count` training rows. More days append rows and move none.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.encoding.roles import Cells

_COUNTS = pa.schema([("value", pa.string()), ("rows", pa.int64())])
_SPACE = pa.field("space", pa.string())


INIT_ROWS = 1 << 16  # rows whose start is drawn at a time


@dataclass(frozen=True)
class Vocabulary:
    """The values of each space and their rows, side by side and in the order of the rows. A null may be a value."""

    unknown_rows: Mapping[str, int]
    values: Mapping[str, pa.Array]  # strings
    rows: Mapping[str, NDArray[np.int32]]

    @property
    def num_rows(self) -> int:
        return 1 + len(self.unknown_rows) + sum(len(rows) for rows in self.rows.values())

    def lookup(self, space: str, values: pa.Array) -> NDArray[np.int32]:
        """Return the row of each value; the space's unknown row where a value has none."""
        found: NDArray[np.int32] = pc.fill_null(pc.index_in(values, value_set=self.values[space]), -1).to_numpy()
        rows = np.append(self.rows[space], np.int32(self.unknown_rows[space]))
        return rows[found]  # −1 (not found) takes the last row, the unknown one

    def table(self) -> pa.Table:
        """Return the columns space, value, row, ordered by row. Padding and unknown rows are not among them."""
        spaces = [pa.array([space] * len(rows), pa.string()) for space, rows in self.rows.items()]
        columns = {
            "space": pa.chunked_array(spaces, pa.string()),
            "value": pa.chunked_array(list(self.values.values()), pa.string()),
            "row": pa.chunked_array([pa.array(rows) for rows in self.rows.values()], pa.int32()),
        }
        return pa.table(columns).sort_by("row").combine_chunks()

    def since(self, num_rows: int) -> pa.Table:
        """Return the part of `table` with the rows that a vocabulary of `num_rows` did not have."""
        table = self.table()
        return table.filter(pc.greater_equal(table["row"], num_rows))

    def with_rows(self, table: pa.Table) -> "Vocabulary":
        """Return a vocabulary that also has the values of `table`, which come after its own rows."""
        return Vocabulary.from_table(pa.concat_tables([self.table(), table]), self.unknown_rows)

    @staticmethod
    def from_table(table: pa.Table, unknown_rows: Mapping[str, int]) -> "Vocabulary":
        parts = {space: table.filter(pc.equal(table["space"], space)) for space in unknown_rows}
        values = {space: part["value"].combine_chunks() for space, part in parts.items()}
        rows = {space: part["row"].to_numpy().astype(np.int32) for space, part in parts.items()}
        return Vocabulary(dict(unknown_rows), values, rows)


class VocabularyFitter:
    """Counts values day by day. Memory holds the vocabulary and the rarer values' counts, never the rows."""

    def __init__(self, spaces: Iterable[str], min_count: int) -> None:
        self._min_count = min_count
        self._spaces = sorted(set(spaces))
        self._values: dict[str, list[pa.Array]] = {space: [pa.array([], pa.string())] for space in self._spaces}
        self._rows: dict[str, list[NDArray[np.int32]]] = {space: [np.zeros(0, np.int32)] for space in self._spaces}
        self._rare: dict[str, pa.Table] = {space: _COUNTS.empty_table() for space in self._spaces}
        self._today: dict[str, list[pa.Table]] = {space: [] for space in self._spaces}
        self._next_row = 1 + len(self._spaces)

    @staticmethod
    def going_on(vocabulary: Vocabulary, counts: pa.Table, min_count: int) -> "VocabularyFitter":
        """Return a fitter that goes on where another one ended: with its `vocabulary()` and its `counts()`."""
        fitter = VocabularyFitter(vocabulary.unknown_rows, min_count)
        for space in fitter._spaces:
            fitter._values[space] = [vocabulary.values[space]]
            fitter._rows[space] = [vocabulary.rows[space]]
            fitter._rare[space] = counts.filter(pc.equal(counts[_SPACE.name], space)).select(_COUNTS.names)
        fitter._next_row = vocabulary.num_rows
        return fitter

    def counts(self) -> pa.Table:
        """Return the columns space, value, rows: the values that have no row yet, and how many rows of past days have held each."""
        parts = []
        for space in self._spaces:
            rare = self._rare[space].sort_by("value")
            parts.append(rare.add_column(0, _SPACE, pa.array([space] * len(rare), pa.string())))
        return pa.concat_tables(parts) if parts else pa.schema([_SPACE, *_COUNTS]).empty_table()

    def add(self, space: str, columns: Sequence[Cells]) -> None:
        """Count the values of one space's columns in some rows of the day. A row that holds a value several times counts once."""
        self._today[space].append(_rows_per_value(columns))

    def end_day(self) -> None:
        """Give rows to the values that have now been seen often enough."""
        for space in self._spaces:
            known = pa.concat_arrays(self._values[space])
            today = [counts.filter(pc.invert(pc.is_in(counts["value"], value_set=known))) for counts in self._today[space]]
            seen = pa.concat_tables([self._rare[space], *today]).group_by("value").aggregate([("rows", "sum")])
            is_frequent = pc.greater_equal(seen["rows_sum"], self._min_count)
            self._append(space, seen.filter(is_frequent)["value"].combine_chunks())
            self._rare[space] = seen.filter(pc.invert(is_frequent)).rename_columns({"rows_sum": "rows"}).select(_COUNTS.names)
            self._today[space] = []

    def vocabulary(self) -> Vocabulary:
        unknown_rows = {space: 1 + place for place, space in enumerate(self._spaces)}
        values = {space: pa.concat_arrays(parts) for space, parts in self._values.items()}
        rows = {space: np.concatenate(parts) for space, parts in self._rows.items()}
        return Vocabulary(unknown_rows, values, rows)

    def _append(self, space: str, values: pa.Array) -> None:
        self._values[space].append(values.take(pc.array_sort_indices(values)))
        self._rows[space].append(np.arange(self._next_row, self._next_row + len(values), dtype=np.int32))
        self._next_row += len(values)


def _rows_per_value(columns: Sequence[Cells]) -> pa.Table:
    """Count, per value, the rows that hold it in any of the columns."""
    row = np.concatenate([cells.row for cells in columns])
    codes = pa.concat_arrays([cells.values for cells in columns]).dictionary_encode(null_encoding="encode")
    num_values = len(codes.dictionary)
    code = codes.indices.to_numpy()
    if not (row[1:] > row[:-1]).all():  # else no row comes twice
        pairs = np.sort(row * num_values + code)  # `np.unique` hashes them, which takes many times as long
        code = pairs[np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)]] % num_values
    rows = np.bincount(code, minlength=num_values)
    return pa.table({"value": codes.dictionary, "rows": rows}, schema=_COUNTS)


def embedding_init(num_rows: int, dim: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Draw a standard normal [num_rows, dim] with a padding row of zeros, and yield it in pieces of at most `INIT_ROWS` rows.

    A longer table of the same seed and dim starts with the shorter one.
    """
    draws = np.random.default_rng(seed)
    for start in range(0, num_rows, INIT_ROWS):
        piece = draws.standard_normal((min(INIT_ROWS, num_rows - start), dim), dtype=np.float32)
        if start == 0:
            piece[:1] = 0.0
        yield piece
