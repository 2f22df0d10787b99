"""A duration ≥ 0: squared loss on z = log(1 + y), standardised. The value is still an expected duration.

Shape letters: B rows, N training rows, J objectives of this loss.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys.losses.loss import Fitted, Sample
from recsys.losses.standardised import Standardised
from recsys.objectives import Objective


class LogSquared(Standardised):
    """Durations learned as logs, with E[y] = max(smear · exp(min(ẑ, z_max)) − 1, 0).

    The net learns the mean of z, and expm1 of this mean lies below the mean of y. The factor `smear` corrects this. z_max is the largest
    training label: a few rows of which the net says more would outweigh the squared error of all others, as exp makes hours of them.
    """

    is_smeared = True

    def __init__(self, objectives: Sequence[Objective]) -> None:
        super().__init__(objectives)
        self._constant("smear_J", 1.0)
        self._constant("most_J", torch.inf)
        self.smear_J: Tensor
        self.most_J: Tensor  # z_max

    def fit(self, j: int, sample: Sample) -> Fitted:
        logs_N = np.log1p(sample.labels_N)
        self.most_J[j] = logs_N.max()
        return super().fit(j, sample._replace(labels_N=logs_N))

    def per_row(self, outputs_BJ: Tensor, labels_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        return self.per_row_told(outputs_BJ, self._standardise(labels_BJ.log1p()), durations_BA)

    def per_row_told(self, outputs_BJ: Tensor, told: Tensor, durations_BA: Tensor | None) -> Tensor:
        return (outputs_BJ - told).square()

    def value(self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        return (self.smear_J * self._log_predictions(outputs_BJ).exp() - 1.0).clamp(min=0.0)

    def fit_smearing(self, outputs_NJ: Tensor, labels_NJ: Tensor, durations_NA: Tensor | None, weights_NJ: Tensor) -> None:
        log_predictions_NJ = self._log_predictions(outputs_NJ)
        for j in range(len(self.objectives)):
            counts = weights_NJ[:, j] > 0
            if counts.any():
                columns = (log_predictions_NJ, labels_NJ, weights_NJ)
                self.smear_J[j] = smearing(*(column_NJ[counts, j].cpu().numpy() for column_NJ in columns))

    def _log_predictions(self, outputs_BJ: Tensor) -> Tensor:
        return torch.minimum(self._in_label_units(outputs_BJ), self.most_J)


def smearing(log_predictions_N: NDArray[np.float64], labels_N: NDArray[np.float64], weights_N: NDArray[np.float64] | None = None) -> float:
    """Return the factor s for which Σ w·max(s · exp(ẑ) − 1, 0) = Σ w·y: predicted watch time adds up to the observed one.

    This is the smearing estimate (Duan, JASA 1983) as a ratio of sums, Σ exp(z) / Σ exp(ẑ), not as the mean of exp(z − ẑ). The two are
    equal for residuals that do not depend on ẑ. Where residuals depend on ẑ, only the ratio keeps the sum. `log_predictions_N` are ẑ. All
    arrays have the same N ≥ 1 rows; weights are above 0. Raise ValueError where N is 0.
    """
    if not len(labels_N):
        raise ValueError("found no observed row to fit the smearing factor on, expected at least one")
    weights_N = np.ones(len(labels_N)) if weights_N is None else weights_N
    order_N = np.argsort(log_predictions_N)[::-1]
    falling_N, weights_N, labels_N = np.exp(log_predictions_N[order_N]), weights_N[order_N], labels_N[order_N]
    # If only the m largest predictions were above 0, s would be (Σwy + Σw) / Σ w·exp(ẑ), with the last two sums over these m. The true m
    # is the largest for which this s leaves the m-th prediction above 0.
    factors_N = (weights_N @ labels_N + np.cumsum(weights_N)) / np.cumsum(weights_N * falling_N)
    above_zero = int(np.count_nonzero(factors_N * falling_N > 1.0))
    return float(factors_N[above_zero - 1]) if above_zero else float(1.0 / falling_N[0])
