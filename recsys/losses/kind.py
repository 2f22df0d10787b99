"""What every kind of label promises: constants fitted on training labels, and two maps from a model's output."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Constants(NamedTuple):
    """Of J objectives of one kind, each [J] and float64."""

    mean: Tensor  # of the label, on the scale that is learned
    std: Tensor  # likewise, of all rows (not n − 1); 1 where the label never varies
    smear: Tensor  # factor from a typical value back to an expected one


class Fitted(NamedTuple):
    """What one objective's training labels say."""

    start: float  # output whose prediction is the best constant
    scale: float  # loss of that constant, in whose units losses are counted
    mean: float = 0.0
    std: float = 1.0


class Kind(ABC):
    """Stateless. Labels and outputs are [B, J], finite; J objectives of this kind."""

    expected: ClassVar[str]  # what a label must be, for an error

    @abstractmethod
    def are_valid(self, labels_N: NDArray[np.float64]) -> NDArray[np.bool_]: ...

    @abstractmethod
    def fit(self, labels_N: NDArray[np.float64]) -> Fitted:
        """From one objective's observed, valid training labels, at least one."""

    @abstractmethod
    def loss(self, outputs_BJ: Tensor, labels_BJ: Tensor, constants: Constants) -> Tensor:
        """[B, J], a row's loss, not yet in units of `scale`."""

    @abstractmethod
    def value(self, outputs_BJ: Tensor, constants: Constants) -> Tensor:
        """[B, J], the label's expected value in its own unit."""


def standardised(values_N: NDArray[np.float64]) -> Fitted:
    """Mean and deviation, so that the best constant is an output of 0 and its squared loss is 1."""
    varies = values_N.min() < values_N.max()  # a constant's std is not always 0: its mean is rounded
    return Fitted(start=0.0, scale=1.0, mean=float(values_N.mean()), std=float(values_N.std()) if varies else 1.0)
