"""A label that is one of a few ascending numbers, such as stars: cumulative logits (`cumulative`).

The thresholds are the same on every row. The loss is −log P(level of y), and the value is the expected level.

Shape letters: B rows, N training rows, J objectives of this loss, C cuts, L = C + 1 levels of the objective that has most.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from recsys.losses.cumulative import cross_entropy, log_probabilities, parameters_at
from recsys.losses.loss import Fitted, Loss, Sample
from recsys.objectives import Objective


class Ordinal(Loss):
    """Ordinal objectives. Thresholds start where an output of 0 predicts the levels' base rates.

    Half a row of mean weight is added to each.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        super().__init__(objectives)
        most = max(len(objective.levels) for objective in objectives)
        padded = [[*objective.levels, *[torch.inf] * (most - len(objective.levels))] for objective in objectives]
        self.register_buffer("levels_JL", torch.tensor(padded, dtype=torch.float64), persistent=False)
        self.levels_JL: Tensor  # inf beyond the last
        self.cuts_JC = nn.Parameter(torch.zeros(len(objectives), most - 1))

    def fit(self, j: int, sample: Sample) -> Fitted:
        levels = np.array(self.objectives[j].levels)
        places_N = np.abs(sample.labels_N[:, None] - levels).argmin(1)
        counts = np.bincount(places_N, weights=sample.weights_N, minlength=len(levels)) + sample.weights_N.mean() / 2
        rates = counts / counts.sum()
        with torch.no_grad():
            self.cuts_JC[j, : len(levels) - 1] = torch.from_numpy(parameters_at(rates))
        return Fitted(start=0.0, scale=float(-(rates @ np.log(rates))))

    def per_row(self, outputs_BJ: Tensor, labels_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        distance_BJL = (labels_BJ[..., None] - self.levels_JL.to(labels_BJ.dtype)).abs()
        return -self._log_probabilities(outputs_BJ).gather(-1, distance_BJL.argmin(-1, keepdim=True)).squeeze(-1)

    def told_by(self, teacher: Self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        """Return the teacher's probabilities of the levels, [B, J, L]; 0 beyond an objective's last level."""
        return teacher._log_probabilities(outputs_BJ).exp()

    def per_row_told(self, outputs_BJ: Tensor, told: Tensor, durations_BA: Tensor | None) -> Tensor:
        return cross_entropy(told, self._log_probabilities(outputs_BJ))

    def value(self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        levels_JL = self.levels_JL.masked_fill(self.levels_JL.isinf(), 0.0)
        return (self._log_probabilities(outputs_BJ).exp() * levels_JL).sum(-1)

    def level_probabilities(self, outputs_BJ: Tensor) -> Tensor:
        """Return [B, levels of all J]: the first objective's levels, then the next one's, and so on."""
        return self._log_probabilities(outputs_BJ).exp()[:, self.levels_JL.isfinite()]

    def _log_probabilities(self, outputs_BJ: Tensor) -> Tensor:
        """Return [B, J, L], −inf beyond an objective's last level."""
        return log_probabilities(outputs_BJ, self.cuts_JC, self.levels_JL.isfinite())
