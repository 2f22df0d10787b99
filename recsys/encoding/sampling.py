"""Batches of one objective each: the choice of a step's objective, and of the rows for it.

Temperature sampling draws an objective with a probability proportional to n^exponent, where n rows have its label. Stickland &
Murray (ICML 2019) write α for the exponent, Arivazhagan et al. (2019) write 1 / T. Take a survey that one impression in a
hundred has. With all labels in one batch, it is learned from ten rows of a thousand. When drawn, it has a whole batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.encoding.packing import Packed

# Legend: K objectives, W windows, S steps, R rows of an objective in a window.


@dataclass(frozen=True)
class Sampling:
    """A step draws an objective and a batch of rows with its label. The batch hides the labels of other objectives."""

    exponent: float  # 0: all objectives alike; 1: in proportion to rows; between them, small ones more often than in proportion
    objectives: tuple[int, ...]  # those that may be drawn, by their places among the labels

    def shares(self, counts_K: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return [K] the probability of each objective, by its number of rows. All are 0 where there is nothing to draw."""
        may_K = np.zeros(len(counts_K), bool)
        may_K[list(self.objectives)] = True
        sizes_K = np.where(may_K & (counts_K > 0), np.maximum(counts_K, 1) ** self.exponent, 0.0)
        return sizes_K / sizes_K.sum() if sizes_K.any() else sizes_K

    def plan(self, counts_WK: NDArray[np.integer], steps: int, key: Sequence[int]) -> list[NDArray[np.intp]]:
        """Draw the objectives of each window's steps, `steps` in all. The result is a pure function of the arguments.

        Every step is an independent draw by the shares over all windows. An objective's steps then go to the windows in
        proportion to its rows there (systematic sampling). So each of its rows has the same weight in its steps, in any window.
        """
        counts_K = counts_WK.sum(axis=0)
        shares_K = self.shares(counts_K)
        if not shares_K.any():
            return [np.empty(0, np.intp) for _ in counts_WK]
        rng = _generator(key, 0)
        steps_K = rng.multinomial(steps, shares_K)
        steps_WK = np.zeros_like(counts_WK)
        for k in np.flatnonzero(steps_K):
            evenly_S = (np.arange(steps_K[k]) + rng.random()) * (counts_K[k] / steps_K[k])
            rows_S = np.minimum(evenly_S.astype(np.int64), counts_K[k] - 1)
            windows_S = np.searchsorted(counts_WK[:, k].cumsum(), rows_S, side="right")
            steps_WK[:, k] = np.bincount(windows_S, minlength=len(counts_WK))
        return [rng.permutation(np.repeat(np.arange(len(of_K)), of_K)) for of_K in steps_WK]

    def only(self, packed: Packed, objective: int) -> Packed:
        """Hide all labels of the rows but those of one objective."""
        hidden = np.full_like(packed.labels, np.nan)
        hidden[:, objective] = packed.labels[:, objective]
        return packed._replace(labels=hidden)


class OwnRows:
    """An objective's rows of a window, again and again, each time in a new order.

    Each time they are cut into the fewest parts of at most `batch_size` rows, equal to within one row. So no row is twice in a
    batch, and each row comes once before any row comes again. No batch is a remainder of a few rows, because the gradient of a
    few rows would be noise.
    """

    def __init__(self, places_R: NDArray[np.intp], batch_size: int, key: Sequence[int], window: int, objective: int) -> None:
        self.places_R = places_R
        self.parts = -(-len(places_R) // batch_size)
        self._stream = (key, window, objective)
        self._time = -1
        self._order_R = places_R

    def part(self, number: int) -> NDArray[np.intp]:
        """Return the places in batch `number` (from 0) of this objective in this window: a pure function of the number."""
        time, part = divmod(number, self.parts)
        if time != self._time:
            self._time, self._order_R = time, _generator(*self._stream, time).permutation(self.places_R)
        rows = len(self.places_R)
        return self._order_R[part * rows // self.parts : (part + 1) * rows // self.parts]


def _generator(key: Sequence[int], *branch: int) -> np.random.Generator:
    """Make a stream of its own for each branch: 0 is the plan, (window from 1, objective, time) an order of rows."""
    return np.random.default_rng(np.random.SeedSequence(list(key), spawn_key=branch))
