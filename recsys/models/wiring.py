"""The meaning of the axes of a ranker's tensors, and the places along them that hold the same in another ranker.

A tensor has a word per axis; further axes are `*`. A word is the size of the axis as factors joined by `.`, the outermost first. A factor
is a sum of blocks joined by `+`:

- `k`   one block per objective, in their order; `2k` two neighbouring ones
- `g`   likewise per group of objectives, sorted; `d` per code of a device; `r` per row of the vocabulary; others: `Architecture.axis_names`
- `3`   so many blocks that belong to nobody
- `*`   as many blocks as fit; once in a word

`* * k.*` are gates [1, D, K·N]: N weights of the first objective, N of the second, …. `k * 2k+*` are gates [K, D, 2·K + S]: each
objective's gate over two own experts of every objective and S shared ones.

An architecture has words for its own tensors (`Architecture.axes`), the frame for the others (`Ranker.axes`). A tensor without words holds
nothing that has a name.
"""

from collections.abc import Hashable, Mapping, Sequence
from functools import reduce
from math import prod
from string import digits
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Match(NamedTuple):
    """The places of another axis that hold the same as N places of this one."""

    there_N: NDArray[np.int64]  # −1 where the other axis has no such place
    size: int  # of the other axis


def by_place(size: int) -> Match:
    return Match(np.arange(size), size)


def by_name(names: Sequence[Hashable], there: Sequence[Hashable]) -> Match:
    places = {name: place for place, name in enumerate(there)}
    return Match(np.array([places.get(name, -1) for name in names], np.int64), len(there))


def matched(word: str, size: int, named: Mapping[str, Match]) -> Match:
    """Match an axis of `size` places. `named` has the match of each name in the word."""
    factors = word.split(".")
    known = prod(len(_factor(factor, 0, named).there_N) for factor in factors if "*" not in factor)
    found = reduce(_within, (_factor(factor, size // known, named) for factor in factors))
    assert len(found.there_N) == size, f"{word}: found an axis of {size}, expected {len(found.there_N)} places"
    return found


def _factor(factor: str, size: int, named: Mapping[str, Match]) -> Match:
    """Match the blocks of one factor; a `*` in it takes what the others leave of `size`."""
    blocks = {part: _blocks(part, named) for part in factor.split("+") if part != "*"}
    rest = by_place(size - sum(len(block.there_N) for block in blocks.values()))
    return reduce(_beside, (blocks.get(part, rest) for part in factor.split("+")))


def _blocks(part: str, named: Mapping[str, Match]) -> Match:
    name = part.lstrip(digits)
    blocks = by_place(int(part.removesuffix(name) or 1))
    return _within(named[name], blocks) if name else blocks


def _within(outer: Match, inner: Match) -> Match:
    there = np.where((outer.there_N[:, None] < 0) | (inner.there_N < 0), -1, outer.there_N[:, None] * inner.size + inner.there_N)
    return Match(there.ravel(), outer.size * inner.size)


def _beside(first: Match, second: Match) -> Match:
    moved = np.where(second.there_N < 0, -1, second.there_N + first.size)
    return Match(np.concatenate([first.there_N, moved]), first.size + second.size)
