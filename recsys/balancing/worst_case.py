"""The objective that is worst off counts most.

Shape letters: K objectives.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from recsys.balancing.balancer import Balancer
from recsys.balancing.baseline import losses_of
from recsys.config.balance import WorstCaseOptions
from recsys.objectives import Objective


class WorstCase(Balancer):
    """Weights by excess: a loss, smoothed over batches, minus its expected loss. So the noisiest does not take all weight.

    The expected loss is the best constant's (1), or with `baseline` the loss that a run has reached, such as a run of single tasks.

    - "min_max": all weight is on the largest excess.
    - "group_dro": q_k ∝ q_k · exp(η · excess_k) in each step, then a step with q (Sagawa et al., ICLR 2020, Algorithm 1).

    Weights add up to the number of objectives present. A `loss_weight` multiplies them and does not change which objective is worst off.
    One backward pass; no sync.
    """

    scales_first = False
    adds_up = True

    def __init__(self, options: WorstCaseOptions, objectives: Sequence[Objective]) -> None:
        """Read `options.baseline`. Raise ConfigError where it is no run's folder or has no loss of some objective."""
        super().__init__(options, objectives)
        self.options = options
        expected = [1.0] * len(objectives) if options.baseline is None else losses_of(options.baseline, objectives)
        self.register_buffer("expected_K", torch.tensor(expected, dtype=torch.float64))
        self.register_buffer("smooth_K", torch.zeros(len(objectives), dtype=torch.float64))
        self.register_buffer("seen_K", torch.zeros(len(objectives), dtype=torch.bool))
        self.register_buffer("log_q_K", torch.zeros(len(objectives), dtype=torch.float64))
        self.expected_K: Tensor  # saved, so that a resumed run goes on with the numbers that it began with
        self.smooth_K: Tensor
        self.seen_K: Tensor  # whether `smooth_K` has begun
        self.log_q_K: Tensor  # up to a constant; a step does not change the sum of q over the present ones

    def _weigh(self, losses_K: Tensor, live_K: Tensor, gramian_KK: Tensor | None) -> Tensor:
        averaged_K = torch.lerp(losses_K, self.smooth_K, self.options.smoothing)
        smooth_K = torch.where(self.seen_K, averaged_K, losses_K)
        self.smooth_K.copy_(torch.where(live_K, smooth_K, self.smooth_K))
        self.seen_K.logical_or_(live_K)
        excess_K = torch.where(live_K, smooth_K - self.expected_K, -torch.inf)
        if self.options.form == "min_max":
            worst_K = (excess_K == excess_K.max()) & live_K
            return live_K.sum() * worst_K / worst_K.sum()
        return live_K.sum() * self._drifted(excess_K, live_K)

    def _drifted(self, excess_K: Tensor, live_K: Tensor) -> Tensor:
        """Return [K] q after its step; it adds up to 1 over the objectives that are present."""
        before_K = torch.where(live_K, self.log_q_K, -torch.inf)
        after_K = before_K + self.options.rate * excess_K
        kept_K = after_K + before_K.logsumexp(0) - after_K.logsumexp(0)
        self.log_q_K.copy_(torch.where(live_K, kept_K, self.log_q_K))
        return after_K.softmax(0)
