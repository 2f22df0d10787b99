"""A watch time as a distribution: cumulative logits (`cumulative`) over bins of watch times.

Liu, Shepherd, Li & Harrell (Statistics in Medicine 2017): an ordinal model whose levels are the values of a continuous label. Here a level
is a bin b of watch times: the label 0, and BINS − 1 bins of equal weight above it. One output o moves the whole distribution,

    P(y beyond bin b) = σ(o − θ_b),   loss = −log P(bin of y),   value = m(Σ_b P(b) · ȳ_b),

with ȳ_b the mean training label in the bin, and m a non-decreasing map that makes the values means. A squared loss on log(1 + y) is decided
by how far zeros lie from the rest, and this is an accident of the unit. Here only the order of the labels counts.

With `duration`, quantiles of the video's length split the impressions into GROUPS groups (as in D2Q), each with bins and thresholds of its
own: an output then means the same interest at any length. Rows without a duration are a group too.

Shape letters: B rows, N training rows, J objectives of this loss, A durations, E inner edges of groups, G groups, C thresholds, L bins,
P knots of a map.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from recsys.calibration import MOST_BINS, fit_expected
from recsys.losses.cumulative import log_probabilities, log_probability, parameters_at
from recsys.losses.duration_groups import FEWEST_ROWS, group_edges
from recsys.losses.knots import count, interpolated
from recsys.losses.loss import Fitted, Loss, Sample, weighted_quantiles
from recsys.objectives import Objective, durations

BINS = 32  # its edges are one less: a binary search takes 5 steps
BIN_ROWS = 20  # at least, in a bin of watched rows; with fewer watched rows there are fewer bins
GROUPS = 8
MAP_KNOTS = 63  # one less than a power of two; a map has at most MOST_BINS knots and two ends, and its last one is repeated
_FAR = 1e12  # beyond every watch time: a straight line from 0 to here changes nothing
assert MOST_BINS + 2 <= MAP_KNOTS


class Distribution(Loss):
    """Watch times learned as distributions. Thresholds start where an output of 0 gives the bins' shares, in each group.

    The last group holds all rows of an objective without `duration`, and the rows whose duration is missing. With fewer than FEWEST_ROWS of
    the latter, it starts with the bins of all rows.
    """

    is_smeared = True

    def __init__(self, objectives: Sequence[Objective]) -> None:
        super().__init__(objectives)
        num, columns = len(objectives), durations(objectives)
        places = [-1 if objective.duration is None else columns.index(objective.duration) for objective in objectives]
        self._columns = tuple(places)
        self.register_buffer("group_edges_JE", torch.full((num, GROUPS - 1), torch.inf, dtype=torch.float64))
        self.register_buffer("edges_JGC", torch.full((num, GROUPS + 1, BINS - 1), torch.inf, dtype=torch.float64))
        self.register_buffer("means_JGL", torch.zeros(num, GROUPS + 1, BINS, dtype=torch.float64))
        for name in ("expected_JP", "corrected_JP"):
            self.register_buffer(name, torch.tensor([0.0, *[_FAR] * (MAP_KNOTS - 1)], dtype=torch.float64).repeat(num, 1))
        self.group_edges_JE: Tensor  # a group's upper edge belongs to it; inf beyond the last
        self.edges_JGC: Tensor  # likewise of a bin
        self.means_JGL: Tensor
        self.expected_JP: Tensor  # the knots of each map: Σ_b P(b) · ȳ_b, ascending,
        self.corrected_JP: Tensor  # and the values there, not descending
        self.cuts_JGC = nn.Parameter(torch.zeros(num, GROUPS + 1, BINS - 1))

    def fit(self, j: int, sample: Sample) -> Fitted:
        """Set bins, means and thresholds. A constant label has one bin and nothing to learn; its scale is 1."""
        labels_N, weights_N = sample.labels_N, sample.weights_N
        groups_N = self._fit_groups(j, sample)
        for g in range(GROUPS + 1):
            mine_N = groups_N == g
            if g == GROUPS and mine_N.sum() < FEWEST_ROWS:
                mine_N = np.ones_like(mine_N)
            if mine_N.any():
                self._fit_bins(j, g, labels_N[mine_N], weights_N[mine_N])
        ends = np.array([0.0, float(self.means_JGL[j].max())])
        self._set_map(j, ends, ends)
        outputs, labels = torch.zeros(len(labels_N), dtype=torch.float64), torch.from_numpy(labels_N)
        with torch.no_grad():
            entropy = float(np.average(self._surprise(outputs, labels, torch.from_numpy(groups_N), j), weights=weights_N))
        return Fitted(start=0.0, scale=entropy or 1.0)

    def per_row(self, outputs_BJ: Tensor, labels_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        columns = [self._surprise(outputs_BJ[:, j], labels_BJ[:, j], self._groups(j, outputs_BJ, durations_BA), j) for j in self._places()]
        return torch.stack(columns, 1)

    def value(self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        expected_BJ = self._expected(outputs_BJ, durations_BA)
        tables_BJ = torch.arange(len(self.objectives), device=expected_BJ.device).expand(expected_BJ.shape)
        return interpolated(self.expected_JP, self.corrected_JP, tables_BJ, expected_BJ)

    def fit_smearing(self, outputs_NJ: Tensor, labels_NJ: Tensor, durations_NA: Tensor | None, weights_NJ: Tensor) -> None:
        """Fit the maps: isotonic regression of the label on Σ_b P(b) · ȳ_b. Beyond its outer knots a map goes on in proportion.

        Of rows that all have one expectation, a map is a factor. One factor on all values makes the sums agree.
        """
        expected_NJ = self._expected(outputs_NJ, durations_NA)
        for j in self._places():
            counts_N = weights_NJ[:, j] > 0
            if counts_N.any():
                expected_N, labels_N, weights_N = (column[counts_N, j].cpu().numpy() for column in (expected_NJ, labels_NJ, weights_NJ))
                self._fit_map(j, expected_N, labels_N, weights_N)

    def _fit_map(self, j: int, expected_N: NDArray[np.float64], labels_N: NDArray[np.float64], weights_N: NDArray[np.float64]) -> None:
        most = float(self.means_JGL[j].max())
        knots = heights = np.empty(0)
        if expected_N.min() < expected_N.max():
            fitted = fit_expected(expected_N, labels_N, weights_N)
            inner = (np.array(fitted.predicted) > 0) & (np.array(fitted.predicted) < most)
            knots, heights = np.array(fitted.predicted)[inner], np.array(fitted.calibrated)[inner]
        last = most * heights[-1] / knots[-1] if len(knots) else most
        knots, heights = np.array([0.0, *knots, most]), np.array([0.0, *heights, last])
        said = weights_N @ np.interp(expected_N, knots, heights)
        self._set_map(j, knots, heights * (weights_N @ labels_N / said if said > 0 else 1.0))

    def _fit_groups(self, j: int, sample: Sample) -> NDArray[np.int64]:
        """Set the edges of the groups of objective j; return each row's group."""
        if sample.durations_N is None:
            return np.full(len(sample.labels_N), GROUPS)
        known_N = ~np.isnan(sample.durations_N)
        edges = group_edges(sample.durations_N[known_N], sample.weights_N[known_N], GROUPS) if known_N.any() else np.empty(0)
        self.group_edges_JE[j, : len(edges)] = torch.from_numpy(edges)
        return np.where(known_N, np.searchsorted(edges, sample.durations_N), GROUPS)

    def _fit_bins(self, j: int, g: int, labels_N: NDArray[np.float64], weights_N: NDArray[np.float64]) -> None:
        edges = bin_edges(labels_N, weights_N)
        bins_N = np.searchsorted(edges, labels_N)  # an edge belongs to the bin below it
        mass_L = np.bincount(bins_N, weights_N)
        self.edges_JGC[j, g, : len(edges)] = torch.from_numpy(edges)
        self.means_JGL[j, g, : len(mass_L)] = torch.from_numpy(np.bincount(bins_N, weights_N * labels_N) / mass_L)
        with torch.no_grad():
            self.cuts_JGC[j, g, : len(edges)] = torch.from_numpy(parameters_at(mass_L / mass_L.sum()))

    def _set_map(self, j: int, expected: NDArray[np.float64], corrected: NDArray[np.float64]) -> None:
        for knots_P, found in ((self.expected_JP[j], expected), (self.corrected_JP[j], corrected)):
            knots_P.copy_(torch.from_numpy(np.pad(found, (0, MAP_KNOTS - len(found)), mode="edge")))

    def _surprise(self, outputs_B: Tensor, labels_B: Tensor, groups_B: Tensor, j: int) -> Tensor:
        """Return −log P(bin of the label) of objective j, [B]."""
        bins_B = count(self.edges_JGC[j], groups_B, labels_B.double(), torch.lt)
        return -log_probability(outputs_B, groups_B, bins_B, self.cuts_JGC[j], self._is_bin(j))

    def _expected(self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        """Return Σ_b P(b) · ȳ_b, [B, J]."""
        columns = []
        for j in self._places():
            groups_B = self._groups(j, outputs_BJ, durations_BA)
            log_BL = log_probabilities(outputs_BJ[:, j], self.cuts_JGC[j, groups_B], self._is_bin(j)[groups_B])
            columns.append((log_BL.exp() * self.means_JGL[j, groups_B]).sum(1))
        return torch.stack(columns, 1)

    def _is_bin(self, j: int) -> Tensor:
        """Return which of its BINS bins each group has, [G, L]."""
        return F.pad(self.edges_JGC[j].isfinite(), (1, 0), value=True)

    def _groups(self, j: int, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        """Return the group of each row for objective j, [B]."""
        if self._columns[j] < 0:
            return torch.full((len(outputs_BJ),), GROUPS, device=outputs_BJ.device)
        assert durations_BA is not None
        durations_B = durations_BA[:, self._columns[j]].double().contiguous()
        return torch.searchsorted(self.group_edges_JE[j], durations_B).masked_fill(durations_B.isnan(), GROUPS)

    def _places(self) -> range:
        return range(len(self.objectives))


def bin_edges(labels_N: NDArray[np.float64], weights_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the upper edges of all bins but the last, ascending: 0 where some row is not watched, then quantiles of the watched rows.

    Each bin has a row. Quantiles repeat where many watch times are equal; such a watch time is one bin.
    """
    watched_N = labels_N > 0
    bins = int(np.clip(watched_N.sum() // BIN_ROWS, 1, BINS - 1))
    zero = [0.0] if watched_N.any() and not watched_N.all() else []
    if not watched_N.any():
        return np.array(zero)
    quantiles = np.unique(weighted_quantiles(labels_N[watched_N], weights_N[watched_N], np.arange(1, bins) / bins))
    return np.array([*zero, *quantiles[quantiles < labels_N.max()]])
