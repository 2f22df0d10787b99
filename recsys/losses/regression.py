"""A number: squared loss on the standardised label."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from recsys.losses.kind import Constants, Fitted, Kind, standardised


class Regression(Kind):
    """The value is a conditional mean, which is what squared loss learns."""

    expected = "a finite number"

    def are_valid(self, labels_N: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.isfinite(labels_N)

    def fit(self, labels_N: NDArray[np.float64]) -> Fitted:
        return standardised(labels_N)

    def loss(self, outputs_BJ: Tensor, labels_BJ: Tensor, constants: Constants) -> Tensor:
        targets_BJ = (labels_BJ - constants.mean.to(labels_BJ.dtype)) / constants.std.to(labels_BJ.dtype)
        return (outputs_BJ - targets_BJ).square()

    def value(self, outputs_BJ: Tensor, constants: Constants) -> Tensor:
        return outputs_BJ * constants.std + constants.mean
