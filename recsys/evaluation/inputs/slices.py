"""The parts of the scored impressions that numbers are computed on: splits, their days, and the values of slices."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recsys import schema
from recsys.evaluation.inputs.rows import IntArray
from recsys.evaluation.inputs.scored_impressions import Impressions

MOST_VALUES = 200  # values of a slice that have numbers of their own
OTHERS = "(other values)"


@dataclass(frozen=True)
class Cell:
    """The rows that one number is computed on: a whole split, one of its days, or one value of a slice (None: its null values).

    The value OTHERS stands for all values of a slice behind its MOST_VALUES most frequent ones.
    """

    at_N: IntArray
    day: str | None = None
    slice: str = schema.ALL
    slice_value: str | None = None

    @property
    def is_whole(self) -> bool:
        return self.day is None and self.slice == schema.ALL


def splits(impressions: Impressions) -> Iterator[tuple[str, IntArray]]:
    """Yield each split with its rows. The known splits come in the order of time, then splits of other names."""
    split_N, names = impressions.split
    for name in sorted(names, key=lambda name: (schema.SPLITS.index(name) if name in schema.SPLITS else len(schema.SPLITS), name)):
        yield name, np.flatnonzero(split_N == names.index(name))


def cells(impressions: Impressions, at_N: IntArray) -> Iterator[Cell]:
    """Yield one cell of all these rows, one cell per day if there are several days, and one cell per value of each slice.

    Of a slice with more than MOST_VALUES values, the most frequent ones get a cell each, and the others one cell together. So a column of
    ids or of measured numbers costs a bounded time and gives a bounded table.
    """
    yield Cell(at_N)
    day_N, days = impressions.day
    by_day = [(code, part_N) for code, part_N in _parts(day_N[at_N], at_N) if code >= 0] if days else []
    if len(by_day) > 1:
        yield from (Cell(part_N, day=days[code]) for code, part_N in by_day)
    for name, (value_N, values) in impressions.slices.items():
        parts = _parts(value_N[at_N], at_N)
        yield from (Cell(part_N, slice=name) for code, part_N in parts if code < 0)
        known = [(values[code], part_N) for code, part_N in parts if code >= 0]
        yield from (Cell(part_N, slice=name, slice_value=value) for value, part_N in _most_frequent(known))


def _most_frequent(parts: list[tuple[str, IntArray]]) -> list[tuple[str, IntArray]]:
    """Return the MOST_VALUES largest parts in their order, of equally large ones the first, and one more part of all other rows.

    A value that is itself written as OTHERS is then one of the others, so that no two parts have one name.
    """
    if len(parts) <= MOST_VALUES:
        return parts
    largest_first = sorted(range(len(parts)), key=lambda at: (parts[at][0] == OTHERS, -len(parts[at][1])))
    others_N = np.sort(np.concatenate([parts[at][1] for at in largest_first[MOST_VALUES:]]))
    return [parts[at] for at in sorted(largest_first[:MOST_VALUES])] + [(OTHERS, others_N)]


def _parts(code_N: IntArray, at_N: IntArray) -> list[tuple[int, IntArray]]:
    """Group the rows by code, both ascending. This takes one sort, however many codes there are."""
    order = np.argsort(code_N, kind="stable")
    found, starts = np.unique(code_N[order], return_index=True)
    return list(zip(found.tolist(), np.split(at_N[order], starts[1:]), strict=True))
