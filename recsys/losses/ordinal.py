"""A label that is one of a few ascending numbers, such as stars: cumulative logits.

McCullagh (JRSS B 1980), the proportional-odds model: the thresholds θ_1 < … < θ_C are learned and the same on every row. They cut the line
on which the output lies into C + 1 levels,

    P(y > level_c) = σ(o − θ_c),   P(level_l) = σ(o − θ_l) − σ(o − θ_{l+1}),   loss = −log P(level of y),

with θ_0 = −∞ and θ_{C+1} = ∞. The value is the expected level.

Shape letters: B rows, N training rows, J objectives of this loss, C cuts, L = C + 1 levels of the objective that has most.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys.losses.loss import Fitted, Loss, Sample
from recsys.objectives import Objective

_NARROW = -10.0  # log of a gap


class Ordinal(Loss):
    """Ordinal objectives, with thresholds as a parameter: the first one, then the logs of the gaps between neighbours.

    So the thresholds stay in order. They start where an output of 0 predicts the levels' base rates, to each of which half a row is added.
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
        counts = np.bincount(places_N, weights=sample.weights_N, minlength=len(levels)) + 0.5
        rates = counts / counts.sum()
        until, beyond = np.cumsum(rates)[:-1], np.cumsum(rates[::-1])[::-1][1:]
        cuts = np.log(until) - np.log(beyond)
        with torch.no_grad():
            self.cuts_JC[j, : len(cuts)] = torch.from_numpy(np.concatenate([cuts[:1], np.log(np.diff(cuts))]))
        return Fitted(start=0.0, scale=float(-(rates @ np.log(rates))))

    def per_row(self, outputs_BJ: Tensor, labels_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        distance_BJL = (labels_BJ[..., None] - self.levels_JL.to(labels_BJ.dtype)).abs()
        return -self._log_probabilities(outputs_BJ).gather(-1, distance_BJL.argmin(-1, keepdim=True)).squeeze(-1)

    def value(self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        levels_JL = self.levels_JL.masked_fill(self.levels_JL.isinf(), 0.0)
        return (self._log_probabilities(outputs_BJ).exp() * levels_JL).sum(-1)

    def level_probabilities(self, outputs_BJ: Tensor) -> Tensor:
        """Return [B, levels of all J]: the first objective's levels, then the next one's, and so on."""
        return self._log_probabilities(outputs_BJ).exp()[:, self.levels_JL.isfinite()]

    def _log_probabilities(self, outputs_BJ: Tensor) -> Tensor:
        """Return [B, J, L], −inf beyond an objective's last level.

        σ(a) − σ(b) = σ(a) · σ(−b) · (1 − exp(−(a − b))): this avoids the difference of two numbers near 1. The last factor depends only on
        the gap.
        """
        beyond_JL = self.levels_JL.isinf()
        cuts_JC = self.cuts_JC.to(outputs_BJ.dtype)
        gaps_JC = cuts_JC[:, 1:].exp()
        above_BJC = outputs_BJ[..., None] - torch.cat([cuts_JC[:, :1], gaps_JC], 1).cumsum(1)
        over_BJL = F.pad(F.logsigmoid(above_BJC), (1, 0))
        under_BJL = F.pad(F.logsigmoid(-above_BJC).masked_fill(beyond_JL[:, 1:], 0.0), (0, 1))
        between_JL = F.pad(_log1mexp_of_exp(cuts_JC[:, 1:]).masked_fill(beyond_JL[:, 2:], 0.0), (1, 1))
        return (over_BJL + under_BJL + between_JL).masked_fill(beyond_JL, -torch.inf)


def _log1mexp_of_exp(log_gaps: Tensor) -> Tensor:
    """Compute log(1 − exp(−gap)) of gap = exp(log_gap).

    Where the gap is small, the result is log_gap − gap/2, which is finite even where exp(log_gap) is 0.
    """
    wide = (-torch.expm1(-log_gaps.clamp(min=_NARROW).exp())).log()
    return torch.where(log_gaps < _NARROW, log_gaps - log_gaps.exp() / 2, wide)
