"""Tuned fixed weights: the baseline to beat (Kurin et al., NeurIPS 2022; Xin et al., NeurIPS 2022)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from recsys.balancing.balancer import Balancer
from recsys.config import Balance
from recsys.objectives import Objective


class Fixed(Balancer):
    """Each objective's `loss_weight`, as written: losses come in units of the best constant's, so a weight means the same for all."""

    def __init__(self, options: Balance, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        self.register_buffer("weights_K", torch.tensor([objective.loss_weight for objective in objectives]), persistent=False)
        self.weights_K: Tensor

    def forward(self, losses_K: Tensor, gramian_KK: Tensor | None = None) -> Tensor:
        return self.weights_K.to(losses_K.dtype)
