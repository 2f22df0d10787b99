"""A number with far outliers: Huber's loss on the standardised label.

Shape letters: B rows, N training rows, J objectives of this loss.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from recsys.losses.loss import Fitted, Sample
from recsys.losses.standardised import Standardised
from recsys.objectives import Objective

_DELTA = 1.0  # standard deviations of the label beyond which an error counts by its size, not its square


class Huber(Standardised):
    """The loss r²/2 where |r| ≤ 1, |r| − 1/2 beyond, with r = o − z and z the standardised label (Huber 1964, k = 1).

    The learned number lies between a mean and a median. Where errors lean to one side, it is not the mean. `shift` is the mean error over
    training rows, added to every value. So sums agree, but a row whose errors lean more than others' is still off.
    """

    is_smeared = True

    def __init__(self, objectives: Sequence[Objective]) -> None:
        super().__init__(objectives)
        self._constant("shift_J", 0.0)
        self.shift_J: Tensor  # in the label's unit

    def fit(self, j: int, sample: Sample) -> Fitted:
        super().fit(j, sample)
        z_N = (sample.labels_N - self.mean_J[j].item()) / self.std_J[j].item()
        start = best_constant(z_N, sample.weights_N)
        error_N = np.abs(z_N - start)
        rows_N = np.where(error_N <= _DELTA, error_N**2 / 2, _DELTA * (error_N - _DELTA / 2))
        return Fitted(start=start, scale=float(np.average(rows_N, weights=sample.weights_N)) or 1.0)

    def per_row(self, outputs_BJ: Tensor, labels_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        return self.per_row_told(outputs_BJ, self._standardise(labels_BJ), durations_BA)

    def per_row_told(self, outputs_BJ: Tensor, told: Tensor, durations_BA: Tensor | None) -> Tensor:
        return F.huber_loss(outputs_BJ, told, reduction="none", delta=_DELTA)

    def value(self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        return self._in_label_units(outputs_BJ) + self.shift_J

    def fit_smearing(self, outputs_NJ: Tensor, labels_NJ: Tensor, durations_NA: Tensor | None, weights_NJ: Tensor) -> None:
        errors_NJ = labels_NJ - self._in_label_units(outputs_NJ)
        total_J = weights_NJ.sum(0)
        self.shift_J.copy_(((weights_NJ * errors_NJ).sum(0) / total_J).where(total_J > 0, self.shift_J))


def best_constant(z_N: NDArray[np.float64], weights_N: NDArray[np.float64]) -> float:
    """Return the c with the least Σ w·huber(z − c). There Σ w·clip(z − c, −1, 1), which only falls with c, crosses 0.

    Bisection finds c. With cumulative sums over sorted rows each of its 60 steps costs almost nothing.
    """
    order_N = np.argsort(z_N)
    z_N, weights_N = z_N[order_N], weights_N[order_N]
    share, sums = (np.concatenate([[0.0], np.cumsum(values_N)]) for values_N in (weights_N, weights_N * z_N))

    def pull(c: float) -> float:
        below, until = np.searchsorted(z_N, [c - _DELTA, c + _DELTA])
        near = sums[until] - sums[below] - c * (share[until] - share[below])
        return float(near + _DELTA * (share[-1] - share[until] - share[below]))

    low, high = float(z_N[0]), float(z_N[-1])
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if pull(middle) > 0 else (low, middle)
    return (low + high) / 2
