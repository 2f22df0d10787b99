"""Fewer of the rows that say little: of one objective's zeros a share is kept, and each kept one counts so much more.

In expectation a loss that is a sum of weights times rows' losses is the full one's (Horvitz and Thompson, 1952).
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from recsys.encoding.hashing import mixed
from recsys.encoding.packing import Packed

_FRACTION_BITS = 53  # of a float64, all of which a draw from [0, 1) has


@dataclass(frozen=True)
class Thinning:
    """Rows whose label of an objective is 0 are kept with probability `keep`; rows without that label always.

    Whether a row is kept depends on the seed, the epoch, its day and its place in the day, and on nothing else: not on the batch, or the
    days that are opened beside it. Each epoch draws anew, so that over many of them every zero is learned.
    """

    objective: int  # its place among the labels
    keep: float  # above 0, at most 1; with 1 every row is kept and counts as it did
    seed: int

    def kept(self, day: str, places_N: NDArray[np.integer], labels_N: NDArray[np.float32], epoch: int) -> NDArray[np.bool_]:
        """[N] of rows by their places in a day and their label of the objective, NaN where not observed."""
        stream = mixed(np.array([date.fromisoformat(day).toordinal()], np.uint64) + mixed(np.array([self.seed])))
        stream = mixed(np.array([epoch], np.uint64) + stream)
        share_N = (mixed(stream + places_N.astype(np.uint64)) >> np.uint64(64 - _FRACTION_BITS)) * 2.0**-_FRACTION_BITS
        kept_N: NDArray[np.bool_] = (labels_N != 0) | (share_N < self.keep)
        return kept_N

    def reweighted(self, packed: Packed) -> Packed:
        """Kept rows, each zero counting 1 / keep times."""
        is_zero_N = packed.labels[:, self.objective] == 0
        return packed._replace(weights=np.where(is_zero_N, packed.weights / np.float32(self.keep), packed.weights))
