"""Balancing methods from TorchJD's scalarizers: the weights are the gradient of the scalarized loss by the losses.

TorchJD is imported where a balancer is built. It brings a convex solver and takes 0.9 s, and training with fixed weights need not wait for
this.

Shape letters: K objectives, P of them present.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from recsys.balancing.balancer import Balancer
from recsys.config.balance import GeometricMeanOptions, IMTLLOptions, RandomOptions, STCHOptions
from recsys.objectives import Objective

SMALLEST_LOSS = 1e-8  # lower bound of the losses whose logarithm is taken


def gradient(scalarizer: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Compute the gradient of the scalarized value by the values."""
    with torch.enable_grad():
        leaf = values.detach().requires_grad_()
        return torch.autograd.grad(scalarizer(leaf), leaf)[0]


class STCH(Balancer):
    """Smooth Tchebycheff scalarization (Lin et al., ICML 2024): μ · log Σ exp(L_k / μ), a smooth form of the largest loss.

    Its gradient is softmax(L / μ); weights add up to the number of objectives present. A `loss_weight` is the paper's λ. One backward pass;
    no sync.
    """

    adds_up = True

    def __init__(self, options: STCHOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.scalarization

        self.scalarizer = torchjd.scalarization.STCH(options.mu, weights=torch.ones(()))

    def _weigh(self, losses_K: Tensor, live_K: Tensor, gramian_KK: Tensor | None) -> Tensor:
        self.scalarizer.weights = torch.ones_like(losses_K)
        return live_K.sum() * gradient(self.scalarizer, torch.where(live_K, losses_K, -torch.inf))


class GeometricMean(Balancer):
    """The geometric mean of the losses (Chennupati et al., CVPR Workshops 2019), times their number: weights GM / L_k, whose product is 1.

    One backward pass. It syncs with the device, because TorchJD refuses negative losses.
    """

    waits = True
    scales_first = False
    evens_out = True

    def __init__(self, options: GeometricMeanOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.scalarization

        self.scalarizer = torchjd.scalarization.GeometricMean()

    def _weigh(self, losses_K: Tensor, live_K: Tensor, gramian_KK: Tensor | None) -> Tensor:
        losses_P = losses_K[live_K].clamp(min=SMALLEST_LOSS)
        weights_K = torch.zeros_like(losses_K)
        weights_K[live_K] = len(losses_P) * gradient(self.scalarizer, losses_P)
        return weights_K


class Random(Balancer):
    """Random loss weighting (Lin et al., TMLR 2022): the softmax of normal draws, new in each step. Every method has to beat it.

    Weights add up to the number of objectives present. They are drawn from torch's generator of the CPU, which a checkpoint holds. One
    backward pass; no sync.
    """

    adds_up = True

    def __init__(self, options: RandomOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.scalarization

        self.scalarizer = torchjd.scalarization.Random()

    def _weigh(self, losses_K: Tensor, live_K: Tensor, gramian_KK: Tensor | None) -> Tensor:
        drawn_K = gradient(self.scalarizer, torch.ones(self.num_objectives, dtype=torch.float64))
        share_K = drawn_K.to(losses_K.device, non_blocking=True) * live_K
        return live_K.sum() * share_K / share_K.sum()


class IMTLL(Balancer):
    """IMTL-L (Liu et al., ICLR 2021): Σ exp(s_k) · L_k − s_k. The weights are exp(s_k), at the optimum 1 / L_k.

    The scales s take one gradient step per batch, at their own learning rate, within bounds on the weights. The weights begin at 1 and have
    no fixed sum. One backward pass; no sync.
    """

    scales_first = False
    evens_out = True

    def __init__(self, options: IMTLLOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.scalarization

        self.options = options
        self.scalarizer = torchjd.scalarization.IMTLL(len(objectives)).double()

    def _weigh(self, losses_K: Tensor, live_K: Tensor, gramian_KK: Tensor | None) -> Tensor:
        scales_K = self.scalarizer.log_scale
        with torch.enable_grad():
            leaf_K = losses_K.requires_grad_()
            weights_K, slope_K = torch.autograd.grad(self.scalarizer(leaf_K), (leaf_K, scales_K))
        low, high = math.log(self.options.min_weight), math.log(self.options.max_weight)
        scales_K.copy_(torch.where(live_K, (scales_K - self.options.learning_rate * slope_K).clamp(low, high), scales_K))
        return weights_K
