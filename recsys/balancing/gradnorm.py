"""Gradients of similar length, longer for objectives that learn more slowly.

Shape letters: K objectives.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from recsys.balancing.balancer import Balancer
from recsys.config.balance import GradNormOptions
from recsys.objectives import Objective

MIN_WEIGHT = 1e-3  # lower bound of a weight, so that it can grow again


class GradNorm(Balancer):
    """GradNorm (Chen et al., ICML 2018, Algorithm 1), on the gradients in the weights W of the shared layer, as in the paper.

    Weights descend Σ_k |G_k − Ḡ · r_k^α| with G_k = w_k · ‖g_k‖ and Ḡ the mean of G. r_k is the relative inverse rate of training: L_k in
    units of its first value, over the mean of these ratios. The first value is the best constant's loss, which is 1 by the unit of the
    losses. It is the loss of a fresh model, and has no batch's noise. The target Ḡ · r_k^α is held constant.

    The step is taken on log w in units of Ḡ. So weights stay positive, and an objective with gradients 30 times as long does not jump by 30
    times as much. One backward pass per loss into these weights, one through the trunk; no double backward; no sync.
    """

    acts_on = "gradients"
    scales_first = False
    adds_up = True

    def __init__(self, options: GradNormOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        self.options = options
        self.register_buffer("weights_K", torch.ones(len(objectives), dtype=torch.float64))
        self.weights_K: Tensor  # of all objectives; a step does not change the sum over the present ones

    def _weigh(self, losses_K: Tensor, live_K: Tensor, gramian_KK: Tensor | None) -> Tensor:
        assert gramian_KK is not None
        weights_K = self.weights_K.clone()
        mass = (weights_K * live_K).sum()
        norms_K = gramian_KK.diagonal().clamp(min=0.0).sqrt()
        mean = (weights_K * norms_K * live_K).sum() / live_K.sum()
        slope_K = weights_K * weight_gradient(weights_K, norms_K, losses_K, live_K, alpha=self.options.alpha)  # derivative by log w
        stepped_K = (weights_K * (-self.options.learning_rate * slope_K / mean).exp()).clamp(min=MIN_WEIGHT)
        stepped_K *= mass / (stepped_K * live_K).sum()
        self.weights_K.copy_(torch.where(live_K & (mean > 0), stepped_K, weights_K))
        return weights_K * live_K.sum() / mass


def weight_gradient(weights_K: Tensor, norms_K: Tensor, losses_K: Tensor, live_K: Tensor, *, alpha: float) -> Tensor:
    """Compute ∂/∂w_k of Σ |w_k‖g_k‖ − Ḡ r_k^α| with the targets held constant: ± ‖g_k‖.

    Means are over the objectives that are present.
    """
    lengths_K = weights_K * norms_K
    count = live_K.sum()
    rates_K = losses_K / ((losses_K * live_K).sum() / count)
    targets_K = (lengths_K * live_K).sum() / count * rates_K**alpha
    return (lengths_K - targets_K).sign() * norms_K
