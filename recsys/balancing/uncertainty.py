"""One noise scale per objective, learned beside the model.

Shape letters: K objectives.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from recsys.balancing.balancer import Balancer
from recsys.config.balance import UncertaintyOptions
from recsys.objectives import LOSSES, Objective


class Uncertainty(Balancer):
    """Homoscedastic uncertainty (Kendall, Gal & Cipolla, CVPR 2018, eq. 7 and 10), twice the paper's sum, so that weights begin at 1.

    Squared losses are a Gaussian's, L/σ² + log σ². Log losses are a tempered Bernoulli's or softmax's, 2L/σ² + log σ². The method learns s
    = log σ² by the closed form of its gradient, 1 − w·L with w = 1/σ² or 2/σ². It takes one step per batch, at its own learning rate and
    without weight decay. s begins at the optimum of the best constant, whose loss is 1. At the optimum σ² = L (Gaussian) or σ² = 2L (log
    loss), and in both cases w = 1/L. So the two forms differ in the meaning of σ and not in the weights. IMTL-L gives the same weights
    again.

    Weights are bounded. Without bounds, an objective whose loss goes to 0 would take all the weight. Weights have no fixed sum. One
    backward pass; no sync.
    """

    scales_first = False
    evens_out = True

    def __init__(self, options: UncertaintyOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        self.options = options
        factor_K = torch.tensor([2.0 if has_log_loss(objective) else 1.0 for objective in objectives], dtype=torch.float64)
        self.register_buffer("factor_K", factor_K, persistent=False)
        self.register_buffer("log_variance_K", factor_K.log())
        self.factor_K: Tensor
        self.log_variance_K: Tensor

    def _weigh(self, losses_K: Tensor, live_K: Tensor, gramian_KK: Tensor | None) -> Tensor:
        weights_K = self.factor_K * (-self.log_variance_K).exp()
        stepped_K = self.log_variance_K - self.options.learning_rate * (1.0 - weights_K * losses_K)
        low_K = self.factor_K.log() - math.log(self.options.max_weight)
        high_K = self.factor_K.log() - math.log(self.options.min_weight)
        self.log_variance_K.copy_(torch.where(live_K, stepped_K.clamp(low_K, high_K), self.log_variance_K))
        return weights_K


def has_log_loss(objective: Objective) -> bool:
    """Return whether the loss is a log likelihood of classes (binary, ordinal, distribution, weighted logistic); else it is a distance."""
    return LOSSES[objective.learned_by].is_log_likelihood
