"""The parts of the scored impressions that numbers are computed on: splits, their days, and the values of slices."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recsys import schema
from recsys.evaluation.inputs.rows import IntArray
from recsys.evaluation.inputs.scored_impressions import Impressions


@dataclass(frozen=True)
class Cell:
    """The rows that one number is computed on: a whole split, one of its days, or one value of a slice (None: its null values)."""

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
    """Yield one cell of all these rows, one cell per day if there are several days, and one cell per value of each slice."""
    yield Cell(at_N)
    day_N, days = impressions.day
    by_day = [(code, part_N) for code, part_N in _parts(day_N[at_N], at_N) if code >= 0] if days else []
    if len(by_day) > 1:
        yield from (Cell(part_N, day=days[code]) for code, part_N in by_day)
    for name, (value_N, values) in impressions.slices.items():
        for code, part_N in _parts(value_N[at_N], at_N):
            yield Cell(part_N, slice=name, slice_value=values[code] if code >= 0 else None)


def _parts(code_N: IntArray, at_N: IntArray) -> list[tuple[int, IntArray]]:
    """Group the rows by code, both ascending. This takes one sort, however many codes there are."""
    order = np.argsort(code_N, kind="stable")
    found, starts = np.unique(code_N[order], return_index=True)
    return list(zip(found.tolist(), np.split(at_N[order], starts[1:]), strict=True))
