"""A yes-or-no label: cross-entropy on a logit, along a chain in which one yes is possible only with another.

Ma et al. (ESMM, SIGIR 2018), section 2.3: where an objective is `given` another, its output is the logit of the conditional probability.
The product is trained, on all impressions:

    p = Π_c σ(o_c),   loss = −[y log p + (1 − y) log(1 − p)].

The product runs over the objective, the objective that it is given, and so on along the chain. y is 1 where all of them happened. Every
head of a chain gets its gradient. Where the given objective did not happen, y is 0 and known. Where it did happen, y should be known on
(nearly) all rows too; otherwise the learned product is too low.

Shape letters: B rows, N training rows, J binary objectives, C places of the longest chain.
"""

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from recsys.losses.loss import Fitted, Loss, Sample
from recsys.objectives import Objective, chain

_NEARLY_ALL = 0.9  # of the rows where the given objective happened; with fewer labels there is a warning
_LOG_HALF = -math.log(2.0)


class Binary(Loss):
    """Binary objectives. The value is a probability; for a conditional objective it is the joint one.

    Half a row of mean weight of each class is added to a base rate, so that a label of one class has a finite logit.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        super().__init__(objectives)
        names = [objective.name for objective in objectives]
        chains = [[names.index(link.name) for link in chain(objective, objectives)] for objective in objectives]
        self.depth = max(map(len, chains))
        padded = [places + [places[0]] * (self.depth - len(places)) for places in chains]
        beyond = [[c >= len(places) for c in range(self.depth)] for places in chains]
        self.register_buffer("chain_JC", torch.tensor(padded), persistent=False)
        self.register_buffer("beyond_JC", torch.tensor(beyond), persistent=False)
        self.chain_JC: Tensor
        self.beyond_JC: Tensor

    def fit(self, j: int, sample: Sample) -> Fitted:
        """Fit the start and the scale to the base rate.

        A conditional objective starts at its rate where the given objective happened. Its scale is the entropy of its joint rate.
        """
        half = sample.weights_N.mean() / 2
        rate = _smoothed_rate(sample.labels_N, sample.weights_N, half)
        entropy = -(rate * np.log(rate) + (1.0 - rate) * np.log1p(-rate))
        if sample.given_N is not None:
            happened = sample.given_N == 1.0
            rate = _smoothed_rate(sample.labels_N[happened], sample.weights_N[happened], half)
        warnings = (self._too_low(j, sample.known_share),) if sample.known_share < _NEARLY_ALL else ()
        return Fitted(start=float(np.log(rate) - np.log1p(-rate)), scale=float(entropy), warnings=warnings)

    def per_row(self, outputs_BJ: Tensor, labels_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        return self.per_row_told(outputs_BJ, labels_BJ, durations_BA)

    def value(self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        if self.depth == 1:
            return outputs_BJ.sigmoid()
        return outputs_BJ.sigmoid()[:, self.chain_JC].masked_fill(self.beyond_JC, 1.0).prod(-1)

    def told_by(self, teacher: Self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        """Return the teacher's probabilities, [B, J]; for a conditional objective the joint one."""
        return teacher.value(outputs_BJ, None)

    def per_row_told(self, outputs_BJ: Tensor, told: Tensor, durations_BA: Tensor | None) -> Tensor:
        """Return the cross-entropy against probabilities, as Hinton et al. (2015), section 2, with a temperature of 1."""
        if self.depth == 1:
            return F.binary_cross_entropy_with_logits(outputs_BJ, told, reduction="none")
        log_yes_BJ, log_no_BJ = self._log_probabilities(outputs_BJ)
        return -(told * log_yes_BJ + (1.0 - told) * log_no_BJ)

    def _log_probabilities(self, outputs_BJ: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logs of p and of 1 − p of the products, to full precision at both ends.

        Up to p = 1/2, log(1 − p) is log1p(−exp(log p)). Beyond that, this formula would end in log 0 from a logit of 17 on (float32).
        There, 1 − Π p_c is the probability that some link fails, split by the first link that fails: Σ_c Π_{l<c} p_l · (1 − p_c). This is a
        sum of positive terms, taken in logs.
        """
        links_BJC = outputs_BJ[:, self.chain_JC]
        log_yes_BJC = F.logsigmoid(links_BJC).masked_fill(self.beyond_JC, 0.0)
        until_BJC = log_yes_BJC.cumsum(-1)
        before_BJC = F.pad(until_BJC[..., :-1], (1, 0))
        first_no_BJC = (before_BJC + F.logsigmoid(-links_BJC)).masked_fill(self.beyond_JC, -torch.inf)
        log_yes_BJ = until_BJC[..., -1]
        rare_BJ = torch.log1p(-log_yes_BJ.clamp(max=_LOG_HALF).exp())
        return log_yes_BJ, torch.where(log_yes_BJ < _LOG_HALF, rare_BJ, first_no_BJC.logsumexp(-1))

    def _too_low(self, j: int, share: float) -> str:
        name, given = self.objectives[j].name, self.objectives[j].given
        return (
            f"{name}: found a label on only {share:.1%} of the training impressions with {given}, while every one without counts as 0:"
            f" P({name} | {given}) is learned too low, by a factor down to {share:.2g}. Without `given` it is not"
        )


def _smoothed_rate(labels_N: NDArray[np.float64], weights_N: NDArray[np.float64], half: float) -> float:
    return (float(weights_N @ labels_N) + half) / (float(weights_N.sum()) + 2 * half)
