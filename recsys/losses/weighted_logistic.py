"""A duration ≥ 0 on a feed where most impressions are not watched: logistic regression weighted by watch time.

Covington et al. (RecSys 2016), section 4.2. A watched impression (y > 0) is a positive of weight y/u; any other is a negative of weight 1.
u is the mean watch time of the watched impressions, so that positives weigh 1 on average and gradients stay moderate:

    loss = −[(y/u) · log σ(o) + 1{y = 0} · log(1 − σ(o))]

The learned odds are Σ (y/u) over the number of unwatched rows, Σy / (u·(N − k)) = E[y] / (u·(1 − P)), where P = k/N is the share watched.
So u·exp(o) overstates E[y] by the factor 1 / (1 − P): hardly where few impressions are watched, without bound where all are.

Shape letters: B rows, N training rows, J objectives of this loss.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from recsys import schema
from recsys.errors import data_error
from recsys.losses.loss import Fitted, Loss, Sample, ratio_of_sums
from recsys.objectives import Objective

_NEARLY_ALL = 0.95  # share of the impressions watched at which odds overstate 20-fold


class WeightedLogistic(Loss):
    """Watch times learned as odds. The value is smear · u · exp(o).

    The factor `smear` makes sums agree, as 1 − P does where P is the same everywhere.
    """

    is_smeared = True

    def __init__(self, objectives: Sequence[Objective]) -> None:
        super().__init__(objectives)
        self._constant("unit_J", 1.0)
        self._constant("smear_J", 1.0)
        self.unit_J: Tensor  # u
        self.smear_J: Tensor

    def fit(self, j: int, sample: Sample) -> Fitted:
        watched_N = sample.labels_N > 0
        share = float(np.average(watched_N, weights=sample.weights_N))
        if watched_N.all() or not watched_N.any():
            raise self._no_odds(j, len(watched_N), watched=bool(watched_N[0]))
        self.unit_J[j] = np.average(sample.labels_N[watched_N], weights=sample.weights_N[watched_N])
        # Positives weigh 1 on average. So the best constant's odds are share : 1 − share, and its mean loss is the entropy of `share`.
        entropy = -(share * np.log(share) + (1.0 - share) * np.log1p(-share))
        warnings = (self._overstated(j, share),) if share >= _NEARLY_ALL else ()
        return Fitted(start=float(np.log(share) - np.log1p(-share)), scale=float(entropy), warnings=warnings)

    def per_row(self, outputs_BJ: Tensor, labels_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        watched_BJ = labels_BJ / self.unit_J.to(labels_BJ.dtype)
        return watched_BJ * F.softplus(-outputs_BJ) + (labels_BJ == 0).to(outputs_BJ.dtype) * F.softplus(outputs_BJ)

    def told_by(self, teacher: Self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        """Return σ of the teacher's output, [B, J], its odds counted in this loss's u.

        A mean over teachers is a mean of σ, while an ensemble predicts the mean of odds. Each row counts alike, whatever was watched.
        """
        return (outputs_BJ + (teacher.unit_J / self.unit_J).log().to(outputs_BJ.dtype)).sigmoid()

    def per_row_told(self, outputs_BJ: Tensor, told: Tensor, durations_BA: Tensor | None) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs_BJ, told, reduction="none")

    def value(self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        return self.smear_J * self._odds(outputs_BJ)

    def fit_smearing(self, outputs_NJ: Tensor, labels_NJ: Tensor, durations_NA: Tensor | None, weights_NJ: Tensor) -> None:
        self.smear_J.copy_(ratio_of_sums(self._odds(outputs_NJ), labels_NJ, weights_NJ, self.smear_J))

    def _odds(self, outputs_BJ: Tensor) -> Tensor:
        return self.unit_J * outputs_BJ.exp()

    def _overstated(self, j: int, share: float) -> str:
        return (
            f"{self.objectives[j].name}: found {share:.1%} of the training impressions watched; weighted_logistic learns odds, which are"
            f" {1.0 / (1.0 - share):,.0f} times the expected watch time there. Sums are mended, the order is not;"
            ' method = "distribution" or "d2q" fits such a feed'
        )

    def _no_odds(self, j: int, rows: int, *, watched: bool) -> Exception:
        return data_error(
            f"column {schema.label_column(self.objectives[j].name)}",
            found="every training impression watched (above 0)" if watched else "no training impression watched (above 0)",
            expected="watched and unwatched ones, between which weighted_logistic learns odds",
            bad_rows=rows,
            rows=rows,
            fix='method = "distribution" or "d2q"' if watched else "widen split.train, or mend the objective's label or observed",
        )
