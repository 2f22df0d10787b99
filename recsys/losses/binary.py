"""A yes or no: cross-entropy on a logit."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from recsys.losses.kind import Constants, Fitted, Kind


class Binary(Kind):
    """The value is a probability. Half a row of each class is added to the base rate: a label of one class has a finite logit."""

    expected = "0 or 1"

    def are_valid(self, labels_N: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.isin(labels_N, (0.0, 1.0))

    def fit(self, labels_N: NDArray[np.float64]) -> Fitted:
        rate = (float(labels_N.sum()) + 0.5) / (len(labels_N) + 1.0)
        entropy = -(rate * np.log(rate) + (1.0 - rate) * np.log1p(-rate))
        return Fitted(start=float(np.log(rate) - np.log1p(-rate)), scale=float(entropy))

    def loss(self, outputs_BJ: Tensor, labels_BJ: Tensor, constants: Constants) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs_BJ, labels_BJ, reduction="none")

    def value(self, outputs_BJ: Tensor, constants: Constants) -> Tensor:
        return outputs_BJ.sigmoid()
