"""A watch time that depends on the video's length: its rank among videos of about that length.

Zhan et al. (D2Q, KDD 2022), sections 3.3 and 3.4: quantiles of duration split the impressions into M groups. The label is the rank Φ_g(y)
of a watch time within its group g, the empirical CDF. One net regresses it for all groups,

    loss = (σ(o) − Φ_g(y))²,   value = E[y | σ(o), g].

The rank of ties (at 0, at the full length) is the middle of their ranks. Rows without a duration have their own group, with the CDF of all
rows. The paper's value is Φ_g⁻¹(σ(o)), the watch time at a mean rank. This is not a mean watch time: where most impressions are not
watched, it is 0 for nearly all rows. Here the value is the mean label of training rows of the same group whose predicted rank is alike.

Shape letters: B rows, N training rows, J objectives of this loss, A durations, E inner edges, G groups, Q knots of a CDF, P of a map.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys import schema
from recsys.calibration import fit_expected
from recsys.errors import data_error
from recsys.losses.knots import MAP_KNOTS, between, count, fill, interpolated
from recsys.losses.lengths import Knots, LengthGroups, MapRows
from recsys.losses.loss import Fitted, Loss, Sample, ratio_of_sums, weighted_quantiles
from recsys.objectives import Objective

FEWEST_ROWS = 100  # of a group of its own, and of a group's own map
KNOTS = 255  # one less than a power of two: a binary search takes 8 steps. Ranks are known to 1/510


class D2Q(Loss):
    """Watch times learned by their rank. A CDF is kept as its quantiles at levels (q + 1/2)/Q, with straight lines between them.

    A CDF ends at the first and the last quantile. A group's map from a predicted rank to a mean label is non-decreasing and kept as its
    knots. The sums of predictions and labels agree in each group. A group with fewer than FEWEST_ROWS rows to fit its map, or without a
    watched row, uses the map of all rows. A factor on all maps then makes the sums over all groups agree. Until `fit_smearing` is first
    given a net's outputs, each group's map is its mean label.
    """

    is_smeared = True

    def __init__(self, objectives: Sequence[Objective]) -> None:
        super().__init__(objectives)
        num = len(objectives)
        self.groups = LengthGroups(objectives, FEWEST_ROWS)
        self.register_buffer("knots_JGQ", torch.zeros(num, self.groups.num, KNOTS, dtype=torch.float64))
        self.register_buffer("ranks_JGP", torch.zeros(num, self.groups.num, MAP_KNOTS, dtype=torch.float64))
        self.register_buffer("means_JGP", torch.zeros(num, self.groups.num, MAP_KNOTS, dtype=torch.float64))
        self.knots_JGQ: Tensor
        self.ranks_JGP: Tensor  # the knots of each group's map: predicted ranks, ascending,
        self.means_JGP: Tensor  # and the mean labels there, not descending

    def fit(self, j: int, sample: Sample) -> Fitted:
        groups_N = self._fit_cdfs(j, sample)
        ranks_N = self._ranks(torch.from_numpy(sample.labels_N), j * self.groups.num + torch.from_numpy(groups_N)).numpy()
        mean = float(np.average(ranks_N, weights=sample.weights_N))
        variance = float(np.average((ranks_N - mean) ** 2, weights=sample.weights_N))
        varies = ranks_N.min() < ranks_N.max()
        return Fitted(start=float(np.log(mean) - np.log1p(-mean)), scale=variance if varies else 1.0)

    def per_row(self, outputs_BJ: Tensor, labels_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        ranks_BJ = self._ranks(labels_BJ.double(), self.groups.tables(self.groups.of(durations_BA, outputs_BJ)))
        return self.per_row_told(outputs_BJ, ranks_BJ.to(outputs_BJ.dtype), durations_BA)

    def told_by(self, teacher: Self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        """Return the teacher's ranks, [B, J]. They are ranks among the rows that the teacher was fitted to."""
        return outputs_BJ.sigmoid()

    def per_row_told(self, outputs_BJ: Tensor, told: Tensor, durations_BA: Tensor | None) -> Tensor:
        return (outputs_BJ.sigmoid() - told).square()

    def value(self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        return self._means(outputs_BJ.sigmoid(), self.groups.of(durations_BA, outputs_BJ))

    def fit_smearing(self, outputs_NJ: Tensor, labels_NJ: Tensor, durations_NA: Tensor | None, weights_NJ: Tensor) -> None:
        ranks_NJ, groups_NJ = outputs_NJ.sigmoid(), self.groups.of(durations_NA, outputs_NJ)
        for j, g, (ranks, means) in self.groups.maps(groups_NJ, ranks_NJ, labels_NJ, weights_NJ, _fitted_map):
            fill(self.ranks_JGP[j, g], ranks)
            fill(self.means_JGP[j, g], means)
        factors_J = ratio_of_sums(self._means(ranks_NJ, groups_NJ), labels_NJ, weights_NJ, torch.ones_like(weights_NJ.sum(0)))
        self.means_JGP *= factors_J[:, None, None]

    def _fit_cdfs(self, j: int, sample: Sample) -> NDArray[np.int64]:
        """Set the groups and the CDFs of objective j; return each row's group.

        Raise DataError where no row has a duration, or a group has no watched row.
        """
        labels_N, weights_N = sample.labels_N, sample.weights_N
        groups_N = self.groups.fit(j, sample)
        self._require_watched(j, groups_N, sample)
        levels_Q = (np.arange(KNOTS) + 0.5) / KNOTS
        knots_GQ = np.tile(weighted_quantiles(labels_N, weights_N, levels_Q), (self.groups.num, 1))
        for g in _of_lengths(groups_N):
            knots_GQ[g] = weighted_quantiles(labels_N[groups_N == g], weights_N[groups_N == g], levels_Q)
        self.knots_JGQ[j] = torch.from_numpy(knots_GQ)
        return groups_N

    def _require_watched(self, j: int, groups_N: NDArray[np.int64], sample: Sample) -> None:
        """Raise DataError for a group without a watch time: its ranks would say nothing, and its map would be 0."""
        assert sample.durations_N is not None
        for g in _of_lengths(groups_N):
            mine_N = groups_N == g
            if not sample.labels_N[mine_N].any():
                low, high = sample.durations_N[mine_N].min(), sample.durations_N[mine_N].max()
                raise data_error(
                    f"column {schema.label_column(self.objectives[j].name)}",
                    found=f"no watch time above 0 where {self.objectives[j].duration} is {low:g} to {high:g}",
                    expected="some in each of the groups by duration, in which d2q ranks watch times",
                    bad_rows=int(mine_N.sum()),
                    rows=len(groups_N),
                    fix='widen split.train, mend the label, or method = "distribution"',
                )

    def _ranks(self, labels: Tensor, tables: Tensor) -> Tensor:
        """Compute Φ_g(y): between two knots on the line through them; for a label that ties with knots, their middle.

        `tables` are the places of the groups among those of all objectives (`LengthGroups.tables`).
        """
        below, part = between(self.knots_JGQ.flatten(0, 1), tables, labels)
        until = count(self.knots_JGQ.flatten(0, 1), tables, labels, torch.le)
        places = torch.where(until > below, (below + until) / 2, below - 0.5 + part)
        return (places / KNOTS).clamp(0.5 / KNOTS, 1.0 - 0.5 / KNOTS)

    def _means(self, ranks_BJ: Tensor, groups_BJ: Tensor) -> Tensor:
        """Compute E[y | rank, g]: between two knots of the group's map on the line through them, and constant at the map's ends."""
        return interpolated(self.ranks_JGP.flatten(0, 1), self.means_JGP.flatten(0, 1), self.groups.tables(groups_BJ), ranks_BJ)


def _fitted_map(_: int, rows: MapRows) -> Knots:
    fitted = fit_expected(*rows)
    return np.array(fitted.predicted), np.array(fitted.calibrated)


def _of_lengths(groups_N: NDArray[np.int64]) -> range:
    """Return the groups of a known length. Each of them has rows."""
    return range(1, int(groups_N.max()) + 1)
