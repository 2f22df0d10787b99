"""The interface of every loss: constants fitted on training labels, the loss of each row, and the way back to an expected value.

Shape letters: B rows, N training rows, J objectives of one loss, A durations.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys.objectives import Objective


class Sample(NamedTuple):
    """The training rows of one objective that count: label known and valid, weight above 0, at least one row."""

    labels_N: NDArray[np.float64]
    weights_N: NDArray[np.float64]
    durations_N: NDArray[np.float64] | None = None  # for an objective that reads a duration; NaN where missing
    given_N: NDArray[np.float64] | None = None  # label of the given objective; NaN where not observed
    known_share: float = 1.0  # share of the weight that has a label, where the given objective happened


class Fitted(NamedTuple):
    """The numbers that one objective's training labels determine."""

    start: float  # output whose prediction is the best constant under the loss
    scale: float  # mean loss of that constant, the unit in which losses are counted
    warnings: tuple[str, ...] = ()


class Loss(nn.Module, ABC):
    """J objectives of one loss at once. Constants are float64 buffers whose shapes depend on the objectives alone.

    Outputs and labels are [B, J], finite. `durations_BA` is in the order of `objectives.durations` of these J; it is
    None where none of all the objectives reads a duration.
    """

    is_smeared: ClassVar[bool] = False  # whether values need `fit_smearing` to be means

    def __init__(self, objectives: Sequence[Objective]) -> None:
        super().__init__()
        self.objectives = tuple(objectives)

    @abstractmethod
    def fit(self, j: int, sample: Sample) -> Fitted:
        """Set the constants of objective j. Raise DataError where nothing can be learned from its labels."""

    @abstractmethod
    def per_row(self, outputs_BJ: Tensor, labels_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        """Return each row's loss, [B, J] of the outputs' dtype, not yet in units of `scale`."""

    @abstractmethod
    def value(self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        """Return the label's expected value in its own unit, [B, J], from float64 outputs."""

    @abstractmethod
    def told_by(self, teacher: Self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        """Return what a teacher's outputs say of each row, [B, J, ...], on this loss's scale. A mean over teachers has the same form.

        The teacher learned the same objectives by the same loss. Its constants may come from other days.
        """

    @abstractmethod
    def per_row_told(self, outputs_BJ: Tensor, told: Tensor, durations_BA: Tensor | None) -> Tensor:
        """Return each row's loss against what it was told, [B, J], in the units of `per_row`: least where the outputs say the same."""

    def fit_smearing(self, outputs_NJ: Tensor, labels_NJ: Tensor, durations_NA: Tensor | None, weights_NJ: Tensor) -> None:
        """Set the constants that make Σ w·value = Σ w·label, from float64 rows. A weight of 0 means a row that is not observed.

        An objective without a row keeps its constant. A loss that is not smeared has nothing to do.
        """

    def _constant(self, name: str, neutral: float) -> None:
        self.register_buffer(name, torch.full((len(self.objectives),), neutral, dtype=torch.float64))


def ratio_of_sums(predictions_NJ: Tensor, labels_NJ: Tensor, weights_NJ: Tensor, otherwise_J: Tensor) -> Tensor:
    """Return the factors Σ w·label / Σ w·prediction, [J], which make sums agree; `otherwise_J` where nothing is predicted."""
    observed_J, predicted_J = (weights_NJ * labels_NJ).sum(0), (weights_NJ * predictions_NJ).sum(0)
    return torch.where(predicted_J > 0, observed_J / predicted_J, otherwise_J)


def weighted_quantiles(values_N: NDArray[np.float64], weights_N: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each level the smallest value at or below which at least a share `level` of the weight lies.

    A quantile is always one of the values.
    """
    order_N = np.argsort(values_N, kind="stable")
    share_N = np.cumsum(weights_N[order_N])
    places = np.searchsorted(share_N, levels * share_N[-1])
    quantiles: NDArray[np.float64] = values_N[order_N[np.minimum(places, len(values_N) - 1)]]
    return quantiles
