"""A duration ≥ 0: squared loss on z = log(1 + y), standardised; the value is an expected duration all the same."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from recsys.losses.kind import Constants, Fitted, Kind, standardised


class WatchTime(Kind):
    """What is learned is the mean of z, and expm1 of a mean lies below the mean; E[y] = max(smear · exp(ẑ) − 1, 0)."""

    expected = "a finite number ≥ 0"

    def are_valid(self, labels_N: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.isfinite(labels_N) & (labels_N >= 0)

    def fit(self, labels_N: NDArray[np.float64]) -> Fitted:
        return standardised(np.log1p(labels_N))

    def loss(self, outputs_BJ: Tensor, labels_BJ: Tensor, constants: Constants) -> Tensor:
        targets_BJ = (labels_BJ.log1p() - constants.mean.to(labels_BJ.dtype)) / constants.std.to(labels_BJ.dtype)
        return (outputs_BJ - targets_BJ).square()

    def value(self, outputs_BJ: Tensor, constants: Constants) -> Tensor:
        typical_BJ = (outputs_BJ * constants.std + constants.mean).exp()
        return (constants.smear * typical_BJ - 1.0).clamp(min=0.0)


def smearing(log_predictions_N: NDArray[np.float64], labels_N: NDArray[np.float64]) -> float:
    """The factor s for which Σ max(s · exp(ẑ) − 1, 0) = Σ y: predicted watch time adds up to what was observed.

    The smearing estimate (Duan, JASA 1983) as a ratio of sums, Σ exp(z) / Σ exp(ẑ), not the mean of exp(z − ẑ): equal
    for residuals that do not depend on ẑ, and the only one that keeps the sum when they do. `log_predictions_N` are ẑ;
    both arrays of the same N ≥ 1 rows. Raises ValueError where N is 0.
    """
    if not len(labels_N):
        raise ValueError("found no observed row to fit the smearing factor on, expected at least one")
    falling_N = np.sort(np.exp(log_predictions_N))[::-1]
    # Were the m largest the only ones above 0, s would be (Σy + m) / Σ of them; the true m is the last that agrees with itself.
    factors_N = (labels_N.sum() + np.arange(1, len(falling_N) + 1)) / np.cumsum(falling_N)
    above_zero = int(np.count_nonzero(factors_N * falling_N > 1.0))
    return float(factors_N[above_zero - 1]) if above_zero else float(1.0 / falling_N[0])
