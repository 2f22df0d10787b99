"""A watch time as a distribution: cumulative logits (`cumulative`) over bins of watch times.

Liu, Shepherd, Li & Harrell (Statistics in Medicine 2017): an ordinal model whose levels are the values of a continuous label. Here a level
is a bin b of watch times: the label 0, and BINS − 1 bins of equal weight above it. One output o moves the whole distribution,

    P(y beyond bin b) = σ(o − θ_b),   loss = −log P(bin of y),   value = m(Σ_b P(b) · ȳ_b),

with ȳ_b the mean training label in the bin, and m a non-decreasing map that makes the values means. A squared loss on log(1 + y) is decided
by how far zeros lie from the rest, and this is an accident of the unit. Here only the order of the labels counts.

With `duration`, θ, ȳ and m depend on the group of the video's length (`lengths`). So a video that is watched as often as others, but
longer, has a higher value. Then the values no longer order impressions best by who watches longer than whom, and a second number does:

    percentile = Σ_b P(b) · q_b,   q_b = P(label below b) + P(label in b) / 2 over all training labels.

It is the expected share of training labels below the watch time. Without `duration` both orders are that of the output.

Shape letters: B rows, N training rows, J objectives of this loss, G groups of lengths, C thresholds, L = C + 1 bins, P knots of a map.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from recsys.calibration import fit_expected
from recsys.losses.cumulative import cross_entropy, log_probabilities, log_probability, parameters_at
from recsys.losses.knots import MAP_KNOTS, count, fill, interpolated
from recsys.losses.lengths import UNKNOWN, Knots, LengthGroups
from recsys.losses.loss import Fitted, Loss, Sample, ratio_of_sums, weighted_quantiles
from recsys.objectives import Objective

BINS = 32  # its edges are one less: a binary search takes 5 steps
BIN_ROWS = 20  # at least, in a bin of watched rows; with fewer watched rows there are fewer bins
FEWEST_ROWS = 1000  # of a group of its own, and of its own map: of 100 rows the shares of the bins are chance, and so is the order
_SHARED = 1e-3  # of the weight of all rows counts in each group beside its own rows: a bin in which it has none still has a share
_ROWS_AT_ONCE = 65_536  # each has BINS numbers for a moment
_FAR = 1e12  # beyond every watch time: a straight line from 0 to here changes nothing


class Distribution(Loss):
    """Watch times learned as distributions. Thresholds start where an output of 0 gives the bins' shares of the group's training labels.

    The sums of values and labels agree over all rows. A group of fewer than FEWEST_ROWS rows starts as all rows together do. One with fewer
    rows to fit its map, or without a watched row, uses the map of all rows.
    """

    is_smeared = True

    def __init__(self, objectives: Sequence[Objective]) -> None:
        super().__init__(objectives)
        self.groups = LengthGroups(objectives, FEWEST_ROWS)
        num, groups = len(objectives), self.groups.num
        self.register_buffer("edges_JC", torch.full((num, BINS - 1), torch.inf, dtype=torch.float64))
        self.register_buffer("middles_JL", torch.zeros(num, BINS, dtype=torch.float64))
        self.register_buffer("means_JGL", torch.zeros(num, groups, BINS, dtype=torch.float64))
        for name in ("expected_JGP", "corrected_JGP"):
            knots = torch.tensor([0.0, *[_FAR] * (MAP_KNOTS - 1)], dtype=torch.float64)
            self.register_buffer(name, knots.repeat(num, groups, 1))
        self.edges_JC: Tensor  # a bin's upper edge belongs to it; inf beyond the last
        self.middles_JL: Tensor  # q_b
        self.means_JGL: Tensor
        self.expected_JGP: Tensor  # the knots of each map: Σ_b P(b) · ȳ_b, ascending,
        self.corrected_JGP: Tensor  # and the values there, not descending
        self.cuts_JGC = nn.Parameter(torch.zeros(num, groups, BINS - 1))

    def fit(self, j: int, sample: Sample) -> Fitted:
        """Set bins, groups, means and thresholds. A constant label has one bin and nothing to learn; its scale is 1."""
        labels_N, weights_N = sample.labels_N, sample.weights_N
        edges = bin_edges(labels_N, weights_N)
        bins_N = np.searchsorted(edges, labels_N)  # an edge belongs to the bin below it
        mass_L = np.bincount(bins_N, weights_N)
        means_L, shares_L = np.bincount(bins_N, weights_N * labels_N) / mass_L, mass_L / mass_L.sum()
        self.edges_JC[j, : len(edges)] = torch.from_numpy(edges)
        self.middles_JL[j, : len(shares_L)] = torch.from_numpy(np.cumsum(shares_L) - shares_L / 2)
        for g in range(self.groups.num):
            self._start(j, g, shares_L, means_L)
        nats = -(shares_L @ np.log(shares_L))
        if self.objectives[j].duration is not None:
            nats = self._fit_groups(j, sample, bins_N, shares_L, means_L)
        return Fitted(start=0.0, scale=float(nats) or 1.0)

    def _fit_groups(
        self, j: int, sample: Sample, bins_N: NDArray[np.int64], shares_L: NDArray[np.float64], means_L: NDArray[np.float64]
    ) -> float:
        """Set the means and thresholds of each group that has enough rows; return the mean loss of an output of 0."""
        groups_N, weights_N = self.groups.fit(j, sample), sample.weights_N
        shared_L, nats = _SHARED * weights_N.sum() * shares_L, 0.0
        for g in np.unique(groups_N):
            mine_N, mine_L = groups_N == g, shares_L
            mass_L = np.bincount(bins_N[mine_N], weights_N[mine_N], len(shares_L))
            if mine_N.sum() >= self.groups.fewest:  # fewer where few rows have a length, or few have none
                sums_L = np.bincount(bins_N[mine_N], (weights_N * sample.labels_N)[mine_N], len(shares_L))
                mine_L = (mass_L + shared_L) / (mass_L + shared_L).sum()
                self._start(j, g, mine_L, (sums_L + shared_L * means_L) / (mass_L + shared_L))
            nats -= float(mass_L @ np.log(mine_L))
        return nats / float(weights_N.sum())

    def _start(self, j: int, g: int, shares_L: NDArray[np.float64], means_L: NDArray[np.float64]) -> None:
        self.means_JGL[j, g, : len(means_L)] = torch.from_numpy(means_L)
        with torch.no_grad():
            self.cuts_JGC[j, g, : len(shares_L) - 1] = torch.from_numpy(parameters_at(shares_L))
        ends = np.array([0.0, means_L.max()])
        self._set_map(j, g, ends, ends)

    def per_row(self, outputs_BJ: Tensor, labels_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        objectives_BJ = torch.arange(len(self.objectives), device=outputs_BJ.device).expand(outputs_BJ.shape)
        bins_BJ = count(self.edges_JC, objectives_BJ, labels_BJ.double(), torch.lt)
        tables_BJ = self._tables(outputs_BJ, durations_BA)
        return -log_probability(outputs_BJ, tables_BJ, bins_BJ, self.cuts_JGC.flatten(0, 1), self._is_bin())

    def told_by(self, teacher: Self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        """Return the probabilities of this loss's bins, [B, J, L]: each bin of the teacher counts in the bin that holds its mean label."""
        said_BJL = teacher._log_probabilities(outputs_BJ, teacher._tables(outputs_BJ, durations_BA)).exp()
        # The mean of a bin of one watch time is rounded: it may lie beyond the bin's own edge.
        means_JL = torch.minimum(teacher.means_JGL[:, UNKNOWN], F.pad(teacher.edges_JC, (0, 1), value=torch.inf))
        places_JL = torch.searchsorted(self.edges_JC, means_JL)
        # As a product, because CUDA's scatter_add is not deterministic.
        return torch.einsum("bjl,jlm->bjm", said_BJL, F.one_hot(places_JL, BINS).to(said_BJL.dtype))

    def per_row_told(self, outputs_BJ: Tensor, told: Tensor, durations_BA: Tensor | None) -> Tensor:
        return cross_entropy(told, self._log_probabilities(outputs_BJ, self._tables(outputs_BJ, durations_BA)))

    def value(self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        tables_BJ = self._tables(outputs_BJ, durations_BA)
        return self._mapped(self._expected(outputs_BJ, tables_BJ, self.means_JGL), tables_BJ)

    def percentiles(self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        """Return the expected share of training labels below the watch time, in [0, 1], of the objectives that have a duration: [B, P]."""
        reads_J, middles_JGL = self.groups.reads_J, self.middles_JL[:, None].expand_as(self.means_JGL)
        return self._expected(outputs_BJ[:, reads_J], self._tables(outputs_BJ, durations_BA)[:, reads_J], middles_JGL)

    def fit_smearing(self, outputs_NJ: Tensor, labels_NJ: Tensor, durations_NA: Tensor | None, weights_NJ: Tensor) -> None:
        """Fit the maps: isotonic regression of the label on Σ_b P(b) · ȳ_b. Beyond its outer knots a map goes on in proportion.

        Where all rows have the same expectation, the map only multiplies by a factor. One factor on all values makes the sums agree.
        """
        groups_NJ = self.groups.of(durations_NA, outputs_NJ)
        tables_NJ = self.groups.tables(groups_NJ)
        expected_NJ = self._expected(outputs_NJ, tables_NJ, self.means_JGL)
        most_J = self.means_JGL.amax((1, 2)).tolist()
        maps = self.groups.maps(groups_NJ, expected_NJ, labels_NJ, weights_NJ, lambda j, rows: _fitted_map(most_J[j], *rows))
        for j, g, knots in maps:
            self._set_map(j, g, *knots)
        factors_J = ratio_of_sums(self._mapped(expected_NJ, tables_NJ), labels_NJ, weights_NJ, torch.ones_like(weights_NJ.sum(0)))
        self.corrected_JGP *= factors_J[:, None, None]

    def _set_map(self, j: int, g: int, expected: NDArray[np.float64], corrected: NDArray[np.float64]) -> None:
        fill(self.expected_JGP[j, g], expected)
        fill(self.corrected_JGP[j, g], corrected)

    def _mapped(self, expected_BJ: Tensor, tables_BJ: Tensor) -> Tensor:
        return interpolated(self.expected_JGP.flatten(0, 1), self.corrected_JGP.flatten(0, 1), tables_BJ, expected_BJ)

    def _expected(self, outputs_BJ: Tensor, tables_BJ: Tensor, numbers_JGL: Tensor) -> Tensor:
        """Return Σ_b P(b) · number of the bin, [B, J]."""
        numbers_TL = numbers_JGL.flatten(0, 1)
        parts = zip(torch.split(outputs_BJ, _ROWS_AT_ONCE), torch.split(tables_BJ, _ROWS_AT_ONCE), strict=True)
        return torch.cat([(self._log_probabilities(*part).exp() * numbers_TL[part[1]]).sum(-1) for part in parts])

    def _log_probabilities(self, outputs_BJ: Tensor, tables_BJ: Tensor) -> Tensor:
        """Return [B, J, L], −inf beyond an objective's last bin."""
        return log_probabilities(outputs_BJ, self.cuts_JGC.flatten(0, 1), self._is_bin(), tables_BJ)

    def _is_bin(self) -> Tensor:
        """Return which of its BINS bins each table has, [T, L]: of each group of each objective."""
        return F.pad(self.edges_JC.isfinite(), (1, 0), value=True).repeat_interleave(self.groups.num, 0)

    def _tables(self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        return self.groups.tables(self.groups.of(durations_BA, outputs_BJ))


def _fitted_map(most: float, expected_N: NDArray[np.float64], labels_N: NDArray[np.float64], weights_N: NDArray[np.float64]) -> Knots:
    """Return the knots of a map from 0 to `most`, and the values there, whose sum over these rows is that of the labels."""
    knots = heights = np.empty(0)
    if expected_N.min() < expected_N.max():
        fitted = fit_expected(expected_N, labels_N, weights_N)
        knots, heights = np.array(fitted.predicted), np.array(fitted.calibrated)
        # Where no row of the lowest block was watched, its height is 0, and its rows could not be told apart.
        inner = (knots > 0) & (knots < most) & (heights > 0)
        knots, heights = knots[inner], heights[inner]
    last = most * heights[-1] / knots[-1] if len(knots) else most
    knots, heights = np.array([0.0, *knots, most]), np.array([0.0, *heights, last])
    said = weights_N @ np.interp(expected_N, knots, heights)
    return knots, heights * (weights_N @ labels_N / said if said > 0 else 1.0)


def bin_edges(labels_N: NDArray[np.float64], weights_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the upper edges of all bins but the last, ascending: 0 where some row is not watched, then quantiles of the watched rows.

    Each bin has a row. Quantiles repeat where many watch times are equal; such a watch time is one bin.
    """
    watched_N = labels_N > 0
    if not watched_N.any():
        return np.empty(0)
    bins = int(np.clip(watched_N.sum() // BIN_ROWS, 1, BINS - 1))
    zero = [] if watched_N.all() else [0.0]
    quantiles = np.unique(weighted_quantiles(labels_N[watched_N], weights_N[watched_N], np.arange(1, bins) / bins))
    return np.array([*zero, *quantiles[quantiles < labels_N.max()]])
