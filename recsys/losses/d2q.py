"""A watch time that depends on the video's length: its rank among videos of about that length.

Zhan et al. (D2Q, KDD 2022), sections 3.3 and 3.4: impressions are split by quantiles of duration into M groups; the label is the
rank Φ_g(y) of a watch time within its group g, the empirical CDF; one net regresses it for all groups,

    loss = (σ(o) − Φ_g(y))²,   value = smear · Φ_g⁻¹(σ(o)).

Of ties (at 0, at the full length) the rank is the middle of theirs. A missing duration has a group of its own, with the CDF of
all rows. `smear` makes sums agree: the inverse of a mean rank is not the mean.

Shape letters: B rows, N training rows, J objectives of this kind, A durations, E inner edges, G groups, Q knots of a CDF.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys.errors import data_error
from recsys.losses.kind import Fitted, Kind, Sample, ratio_of_sums, weighted_quantiles
from recsys.objectives import Objective, durations

GROUPS = 30  # M, the best of {1, 10, 20, 30, 50, 100} in the paper
KNOTS = 255  # one less than a power of two: a binary search ends in 8 looks. Ranks are known to 1/510
FEWEST_ROWS = 100  # of a group of its own; with fewer it joins a neighbour
_MOSTLY_ZERO = 0.5


class D2Q(Kind):
    """A CDF is kept as its quantiles at levels (q + 1/2)/Q, with straight lines between them; it ends at the first and the last."""

    is_smeared = True

    def __init__(self, objectives: Sequence[Objective]) -> None:
        super().__init__(objectives)
        num, columns = len(objectives), durations(objectives)
        places = [columns.index(objective.duration) for objective in objectives if objective.duration is not None]
        self.register_buffer("columns_J", torch.tensor(places), persistent=False)
        self.register_buffer("edges_JE", torch.full((num, GROUPS - 1), torch.inf, dtype=torch.float64))
        self.register_buffer("knots_JGQ", torch.zeros(num, GROUPS + 1, KNOTS, dtype=torch.float64))
        self._constant("smear_J", 1.0)
        self.columns_J: Tensor
        self.edges_JE: Tensor  # a group's upper edge belongs to it; inf beyond the last
        self.knots_JGQ: Tensor  # the last group's rows have no duration
        self.smear_J: Tensor

    def expected(self, j: int) -> str:
        return "a finite number ≥ 0"

    def are_valid(self, j: int, labels_N: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.isfinite(labels_N) & (labels_N >= 0)

    def fit(self, j: int, sample: Sample) -> Fitted:
        groups_N = self._fit_groups(j, sample)
        ranks_N = self._ranks(torch.from_numpy(sample.labels_N), self._first_knot(torch.tensor(j), torch.from_numpy(groups_N))).numpy()
        mean = float(np.average(ranks_N, weights=sample.weights_N))
        variance = float(np.average((ranks_N - mean) ** 2, weights=sample.weights_N))
        varies = ranks_N.min() < ranks_N.max()
        zeros = float(np.average(sample.labels_N == 0, weights=sample.weights_N))
        warnings = (self._mostly_zero(j, zeros),) if zeros >= _MOSTLY_ZERO else ()
        return Fitted(start=float(np.log(mean) - np.log1p(-mean)), scale=variance if varies else 1.0, warnings=warnings)

    def loss(self, outputs_BJ: Tensor, labels_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        ranks_BJ = self._ranks(labels_BJ.double(), self._knots_of_rows(durations_BA))
        return (outputs_BJ.sigmoid() - ranks_BJ.to(outputs_BJ.dtype)).square()

    def value(self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        return self.smear_J * self._inverse(outputs_BJ.sigmoid(), self._knots_of_rows(durations_BA))

    def fit_smearing(self, outputs_NJ: Tensor, labels_NJ: Tensor, durations_NA: Tensor | None, weights_NJ: Tensor) -> None:
        inverse_NJ = self._inverse(outputs_NJ.sigmoid(), self._knots_of_rows(durations_NA))
        self.smear_J.copy_(ratio_of_sums(inverse_NJ, labels_NJ, weights_NJ, self.smear_J))

    def _fit_groups(self, j: int, sample: Sample) -> NDArray[np.int64]:
        """Sets the edges and the CDFs of objective j; returns each row's group."""
        assert sample.durations_N is not None
        labels_N, durations_N, weights_N = sample.labels_N, sample.durations_N, sample.weights_N
        known_N = ~np.isnan(durations_N)
        if not known_N.any():
            raise data_error(
                f"column {self.objectives[j].duration}",
                found="no duration on any training row",
                expected=f"the video's length, by which {self.objectives[j].name} is ranked (d2q)",
                bad_rows=len(known_N),
                rows=len(known_N),
                fix='mend the column, or method = "log_squared"',
            )
        edges = group_edges(durations_N[known_N], weights_N[known_N])
        groups_N = np.where(known_N, np.searchsorted(edges, durations_N), GROUPS)
        levels_Q = (np.arange(KNOTS) + 0.5) / KNOTS
        knots_GQ = np.tile(weighted_quantiles(labels_N, weights_N, levels_Q), (GROUPS + 1, 1))
        for g in range(len(edges) + 1):
            knots_GQ[g] = weighted_quantiles(labels_N[groups_N == g], weights_N[groups_N == g], levels_Q)
        self.edges_JE[j] = torch.from_numpy(np.pad(edges, (0, GROUPS - 1 - len(edges)), constant_values=np.inf))
        self.knots_JGQ[j] = torch.from_numpy(knots_GQ)
        return groups_N

    def _knots_of_rows(self, durations_BA: Tensor | None) -> Tensor:
        """[B, J], the place of each row's first knot among all of `knots_JGQ`."""
        assert durations_BA is not None
        durations_JB = durations_BA[:, self.columns_J].T.double().contiguous()
        groups_JB = torch.searchsorted(self.edges_JE, durations_JB).masked_fill(durations_JB.isnan(), GROUPS)
        return self._first_knot(torch.arange(len(self.objectives), device=groups_JB.device), groups_JB.T)

    def _first_knot(self, objectives: Tensor, groups: Tensor) -> Tensor:
        return (objectives * (GROUPS + 1) + groups) * KNOTS

    def _ranks(self, labels: Tensor, first: Tensor) -> Tensor:
        """Φ_g(y): between two knots on the line through them, in the middle of the knots that a label ties with."""
        knots = self.knots_JGQ.flatten()
        below = self._count(labels, first, torch.lt)
        until = self._count(labels, first, torch.le)
        low, high = knots[first + (below - 1).clamp(min=0)], knots[first + below.clamp(max=KNOTS - 1)]
        part = torch.where(high > low, (labels - low) / (high - low), 0.0)
        places = torch.where(until > below, (below + until) / 2, below - 0.5 + part)
        return (places / KNOTS).clamp(0.5 / KNOTS, 1.0 - 0.5 / KNOTS)

    def _count(self, labels: Tensor, first: Tensor, is_before: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """How many of its knots lie before a label. By halves in all rows at once: the tables are not copied for each row."""
        knots, count = self.knots_JGQ.flatten(), torch.zeros_like(first)
        step = (KNOTS + 1) // 2
        while step:
            count = torch.where(is_before(knots[first + count + step - 1], labels), count + step, count)
            step //= 2
        return count

    def _inverse(self, ranks: Tensor, first: Tensor) -> Tensor:
        """Φ_g⁻¹: a watch time, from the knots around a rank."""
        knots = self.knots_JGQ.flatten()
        places = (ranks * KNOTS - 0.5).clamp(0.0, KNOTS - 1.0)
        low = places.long().clamp(max=KNOTS - 2)
        return torch.lerp(knots[first + low], knots[first + low + 1], places - low)

    def _mostly_zero(self, j: int, share: float) -> str:
        return (
            f"{self.objectives[j].name}: found {share:.1%} of the training impressions not watched; d2q predicts the watch time of a mean"
            ' rank, which is 0 for most of them. method = "weighted_logistic" or "log_squared" fits such a feed'
        )


def group_edges(durations_N: NDArray[np.float64], weights_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most GROUPS − 1 ascending inner edges: quantiles of duration, without those that leave a group fewer than FEWEST_ROWS rows.

    Rows at an edge lie below it. Quantiles repeat where many videos are of one length; such a length is one group.
    """
    quantiles = np.unique(weighted_quantiles(durations_N, weights_N, np.arange(1, GROUPS) / GROUPS))
    below = np.searchsorted(np.sort(durations_N), quantiles, side="right")  # rows at or below each
    kept, last = [], 0
    for quantile, count in zip(quantiles, below, strict=True):
        if count - last >= FEWEST_ROWS and len(durations_N) - count >= FEWEST_ROWS:
            kept.append(quantile)
            last = count
    return np.array(kept)
