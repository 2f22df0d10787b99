"""Tuned fixed weights: the baseline to beat (Kurin et al., NeurIPS 2022; Xin et al., NeurIPS 2022)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from recsys.balancing.balancer import Balancer
from recsys.config.balance import FixedOptions
from recsys.objectives import Objective


class Fixed(Balancer):
    """Each objective's `loss_weight`, as written.

    Losses are in units of the best constant's loss, so a weight means the same for all objectives.
    """

    adds_up = True

    def __init__(self, options: FixedOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)

    def _weigh(self, losses_K: Tensor, live_K: Tensor, gramian_KK: Tensor | None) -> Tensor:
        return torch.ones_like(losses_K)
