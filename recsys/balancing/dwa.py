"""Dynamic weight average, from TorchJD, with its own memory: a mean over the batches in which an objective was present.

Shape letters: K objectives.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from recsys.balancing.balancer import Balancer
from recsys.balancing.scalarizers import SMALLEST_LOSS, gradient
from recsys.config.balance import DWAOptions
from recsys.objectives import Objective


class DWA(Balancer):
    """Losses that fall more slowly count more (Liu et al., CVPR 2019, eq. 7): w = K · softmax(r / T), r_k = L_k(t − 1) / L_k(t − 2).

    L(t) are means over a round: a day in time order, otherwise a pass. In the first two rounds weights are 1. The rate r_k of an objective
    without two rounds of its own is 1 too. So the method does nothing in a training of one or two rounds. Weights add up to the number of
    objectives present. One backward pass; no sync.
    """

    adds_up = True

    def __init__(self, options: DWAOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        self.options = options
        for name, start in (("sum_K", 0.0), ("count_K", 0.0), ("older_K", 1.0), ("newer_K", 1.0), ("weights_K", 1.0)):
            self.register_buffer(name, torch.full((len(objectives),), start, dtype=torch.float64))
        self.register_buffer("known_K", torch.zeros(len(objectives), dtype=torch.bool))
        self.sum_K: Tensor  # of this round's losses
        self.count_K: Tensor  # of this round's batches with a label
        self.older_K: Tensor
        self.newer_K: Tensor
        self.known_K: Tensor  # whether `newer_K` is a round's mean
        self.weights_K: Tensor  # of this round

    def _weigh(self, losses_K: Tensor, live_K: Tensor, gramian_KK: Tensor | None) -> Tensor:
        self.sum_K += torch.where(live_K, losses_K, 0.0)
        self.count_K += live_K
        share_K = self.weights_K * live_K
        return live_K.sum() * share_K / share_K.sum()

    @torch.no_grad()
    def end_round(self) -> None:
        """End the round. An objective that the round did not meet keeps its mean, and so has a rate of 1."""
        import torchjd.scalarization

        mean_K = torch.where(self.count_K > 0, (self.sum_K / self.count_K).clamp(min=SMALLEST_LOSS), self.newer_K)
        self.older_K.copy_(torch.where(self.known_K, self.newer_K, mean_K))
        self.newer_K.copy_(mean_K)
        self.known_K.logical_or_(self.count_K > 0)
        self.sum_K.zero_()
        self.count_K.zero_()
        scalarizer = torchjd.scalarization.DWA(self.options.temperature)
        for mean_K in (self.older_K, self.newer_K):
            scalarizer(mean_K)
            scalarizer.step()
        self.weights_K.copy_(gradient(scalarizer, torch.ones_like(mean_K)))
