"""Tables of ascending knots, with as many rows as there are functions: where a value lies between its neighbours, for all rows at once.

Shape letters: T tables, Q knots of each, a power of two less one. Equal knots may stand side by side.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys.calibration import MOST_BINS

MAP_KNOTS = 63  # of a map from an output to a mean label, which has at most MOST_BINS knots and two ends
assert MOST_BINS + 2 <= MAP_KNOTS


def fill(knots_Q: Tensor, found: NDArray[np.float64]) -> None:
    """Set the knots of one table; the last one is repeated where there are fewer."""
    knots_Q.copy_(torch.from_numpy(np.pad(found, (0, len(knots_Q) - len(found)), mode="edge")))


def between(knots_TQ: Tensor, tables: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many of its table's knots lie before each value, and where the value lies between its two neighbouring knots.

    `tables` are the places of the values' tables, of the values' shape. The second number is the part of the way from the last knot before
    the value to the next knot; it is 0 at the ends.
    """
    knots, size = knots_TQ.flatten(), knots_TQ.shape[-1]
    below = count(knots_TQ, tables, values, torch.lt)
    low, high = knots[tables * size + (below - 1).clamp(min=0)], knots[tables * size + below.clamp(max=size - 1)]
    return below, torch.where(high > low, (values - low) / (high - low), 0.0)


def count(knots_TQ: Tensor, tables: Tensor, values: Tensor, is_before: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return how many of its table's knots lie before each value.

    A binary search in all rows at once finds the number, so that the tables are not copied for each row.
    """
    knots, size, found = knots_TQ.flatten(), knots_TQ.shape[-1], torch.zeros_like(tables)
    step = (size + 1) // 2
    while step:
        found = torch.where(is_before(knots[tables * size + found + step - 1], values), found + step, found)
        step //= 2
    return found


def interpolated(at_TQ: Tensor, heights_TQ: Tensor, tables: Tensor, values: Tensor) -> Tensor:
    """Return the heights at the values: on straight lines between the knots `at_TQ` of each value's table, constant beyond the ends."""
    size = at_TQ.shape[-1]
    below, part = between(at_TQ, tables, values)
    heights, first = heights_TQ.flatten(), tables * size
    return torch.lerp(heights[first + (below - 1).clamp(min=0)], heights[first + below.clamp(max=size - 1)], part)
