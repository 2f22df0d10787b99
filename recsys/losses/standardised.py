"""The common part of squared and Huber losses on a number: a scale on which training labels have mean 0 and deviation 1.

Shape letters: B rows, N training rows, J objectives of one loss.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from torch import Tensor

from recsys.losses.loss import Fitted, Loss, Sample
from recsys.objectives import Objective


class Standardised(Loss):
    """Objectives with a standardised label. The best constant is an output of 0, and its squared loss is 1."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        super().__init__(objectives)
        self._constant("mean_J", 0.0)
        self._constant("std_J", 1.0)
        self.mean_J: Tensor  # of the label, on the scale that is learned
        self.std_J: Tensor  # likewise, divided by n (not n − 1); 1 where the label never varies

    def fit(self, j: int, sample: Sample) -> Fitted:
        labels_N, weights_N = sample.labels_N, sample.weights_N
        mean = np.average(labels_N, weights=weights_N)
        self.mean_J[j] = mean
        varies = labels_N.min() < labels_N.max()  # a constant's std is not always 0: its mean is rounded
        self.std_J[j] = np.sqrt(np.average((labels_N - mean) ** 2, weights=weights_N)) if varies else 1.0
        return Fitted(start=0.0, scale=1.0)

    def told_by(self, teacher: Self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        """Return the teacher's outputs [B, J] on this loss's standardised scale."""
        return self._standardise(teacher._in_label_units(outputs_BJ)).to(outputs_BJ.dtype)

    def _standardise(self, labels_BJ: Tensor) -> Tensor:
        return (labels_BJ - self.mean_J.to(labels_BJ.dtype)) / self.std_J.to(labels_BJ.dtype)

    def _in_label_units(self, outputs_BJ: Tensor) -> Tensor:
        return outputs_BJ * self.std_J + self.mean_J
