"""Thinning of rows that say little: only a share of one objective's zeros is kept, and each kept zero counts that much more.

The weighted sum of the rows' losses then equals the full loss in expectation (Horvitz and Thompson, 1952).
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from recsys.encoding.hashing import mixed
from recsys.encoding.packing import Packed

_FRACTION_BITS = 53  # of a float64; a draw from [0, 1) has all of them


@dataclass(frozen=True)
class Thinning:
    """Rows whose label of an objective is 0 are kept with probability `keep`. All others are kept, also those without that label.

    Whether a row is kept depends only on the seed, the epoch, the row's day and its place in that day. It does not depend on the batch,
    or on other open days. Each epoch draws anew, so that over many epochs every zero is learned.
    """

    objective: int  # its place among the labels
    keep: float  # above 0, at most 1; with 1 every row is kept with its weight
    seed: int

    def kept(self, day: str, places_N: NDArray[np.integer], labels_N: NDArray[np.float32], epoch: int) -> NDArray[np.bool_]:
        """Return [N] whether rows are kept, by their places in a day and their label of the objective (NaN: not observed)."""
        stream = mixed(np.array([date.fromisoformat(day).toordinal()], np.uint64) + mixed(np.array([self.seed])))
        stream = mixed(np.array([epoch], np.uint64) + stream)
        share_N = (mixed(stream + places_N.astype(np.uint64)) >> np.uint64(64 - _FRACTION_BITS)) * 2.0**-_FRACTION_BITS
        kept_N: NDArray[np.bool_] = (labels_N != 0) | (share_N < self.keep)
        return kept_N

    def reweighted(self, packed: Packed) -> Packed:
        """Return kept rows with new weights: each zero counts 1 / keep times."""
        is_zero_N = packed.labels[:, self.objective] == 0
        return packed._replace(weights=np.where(is_zero_N, packed.weights / np.float32(self.keep), packed.weights))
