"""What every way of balancing promises."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from recsys.config import Balance
from recsys.objectives import Objective


class Balancer(nn.Module, ABC):
    """K losses (and the K × K Gramian of their gradients, where asked for) to K weights.

    It never sees the model; what it remembers is in buffers or parameters, so that a checkpoint holds it.
    """

    needs_gramian: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, options: Balance, objectives: Sequence[Objective]) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, losses_K: Tensor, gramian_KK: Tensor | None = None) -> Tensor:
        """[K] weights, detached from the losses; the step descends Σ w_k · L_k + penalty."""

    def penalty(self) -> Tensor:
        """A scalar; zero unless the weights are learned."""
        return torch.zeros(())
