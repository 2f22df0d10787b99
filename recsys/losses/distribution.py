"""A watch time as a distribution: cumulative logits (`cumulative`) over bins of watch times.

Liu, Shepherd, Li & Harrell (Statistics in Medicine 2017): an ordinal model whose levels are the values of a continuous label. Here a level
is a bin b of watch times: the label 0, and BINS − 1 bins of equal weight above it. One output o moves the whole distribution,

    P(y beyond bin b) = σ(o − θ_b),   loss = −log P(bin of y),   value = m(Σ_b P(b) · ȳ_b),

with ȳ_b the mean training label in the bin, and m a non-decreasing map that makes the values means. A squared loss on log(1 + y) is decided
by how far zeros lie from the rest, and this is an accident of the unit. Here only the order of the labels counts.

Shape letters: B rows, N training rows, J objectives of this loss, C thresholds, L = C + 1 bins, P knots of a map.
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
from recsys.losses.loss import Fitted, Loss, Sample, weighted_quantiles
from recsys.objectives import Objective

BINS = 32  # its edges are one less: a binary search takes 5 steps
BIN_ROWS = 20  # at least, in a bin of watched rows; with fewer watched rows there are fewer bins
_ROWS_AT_ONCE = 65_536  # each has BINS numbers for a moment
_FAR = 1e12  # beyond every watch time: a straight line from 0 to here changes nothing


class Distribution(Loss):
    """Watch times learned as distributions. Thresholds start where an output of 0 gives the bins' shares of the training labels."""

    is_smeared = True

    def __init__(self, objectives: Sequence[Objective]) -> None:
        super().__init__(objectives)
        num = len(objectives)
        self.register_buffer("edges_JC", torch.full((num, BINS - 1), torch.inf, dtype=torch.float64))
        self.register_buffer("means_JL", torch.zeros(num, BINS, dtype=torch.float64))
        for name in ("expected_JP", "corrected_JP"):
            self.register_buffer(name, torch.tensor([0.0, *[_FAR] * (MAP_KNOTS - 1)], dtype=torch.float64).repeat(num, 1))
        self.edges_JC: Tensor  # a bin's upper edge belongs to it; inf beyond the last
        self.means_JL: Tensor
        self.expected_JP: Tensor  # the knots of each map: Σ_b P(b) · ȳ_b, ascending,
        self.corrected_JP: Tensor  # and the values there, not descending
        self.cuts_JC = nn.Parameter(torch.zeros(num, BINS - 1))

    def fit(self, j: int, sample: Sample) -> Fitted:
        """Set bins, means and thresholds. A constant label has one bin and nothing to learn; its scale is 1."""
        labels_N, weights_N = sample.labels_N, sample.weights_N
        edges = bin_edges(labels_N, weights_N)
        bins_N = np.searchsorted(edges, labels_N)  # an edge belongs to the bin below it
        mass_L = np.bincount(bins_N, weights_N)
        means_L, shares_L = np.bincount(bins_N, weights_N * labels_N) / mass_L, mass_L / mass_L.sum()
        self.edges_JC[j, : len(edges)] = torch.from_numpy(edges)
        self.means_JL[j, : len(means_L)] = torch.from_numpy(means_L)
        with torch.no_grad():
            self.cuts_JC[j, : len(edges)] = torch.from_numpy(parameters_at(shares_L))
        ends = np.array([0.0, means_L.max()])
        self._set_map(j, ends, ends)
        return Fitted(start=0.0, scale=float(-(shares_L @ np.log(shares_L))) or 1.0)

    def per_row(self, outputs_BJ: Tensor, labels_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        tables_BJ = self._tables(outputs_BJ)
        bins_BJ = count(self.edges_JC, tables_BJ, labels_BJ.double(), torch.lt)
        return -log_probability(outputs_BJ, tables_BJ, bins_BJ, self.cuts_JC, self._is_bin())

    def told_by(self, teacher: Self, outputs_BJ: Tensor) -> Tensor:
        """Return the probabilities of this loss's bins, [B, J, L]: each bin of the teacher counts in the bin that holds its mean label."""
        said_BJL = log_probabilities(outputs_BJ, teacher.cuts_JC, teacher._is_bin()).exp()
        # The mean of a bin of one watch time is rounded: it may lie beyond the bin's own edge.
        means_JL = torch.minimum(teacher.means_JL, F.pad(teacher.edges_JC, (0, 1), value=torch.inf))
        places_JL = torch.searchsorted(self.edges_JC, means_JL)
        # As a product, because CUDA's scatter_add is not deterministic.
        return torch.einsum("bjl,jlm->bjm", said_BJL, F.one_hot(places_JL, BINS).to(said_BJL.dtype))

    def per_row_told(self, outputs_BJ: Tensor, told: Tensor) -> Tensor:
        return cross_entropy(told, log_probabilities(outputs_BJ, self.cuts_JC, self._is_bin()))

    def value(self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        return interpolated(self.expected_JP, self.corrected_JP, self._tables(outputs_BJ), self._expected(outputs_BJ))

    def fit_smearing(self, outputs_NJ: Tensor, labels_NJ: Tensor, durations_NA: Tensor | None, weights_NJ: Tensor) -> None:
        """Fit the maps: isotonic regression of the label on Σ_b P(b) · ȳ_b. Beyond its outer knots a map goes on in proportion.

        Where all rows have the same expectation, the map only multiplies by a factor. One factor on all values makes the sums agree.
        """
        expected_NJ = torch.cat([self._expected(part_RJ) for part_RJ in torch.split(outputs_NJ, _ROWS_AT_ONCE)])
        for j in range(len(self.objectives)):
            counts_N = weights_NJ[:, j] > 0
            if counts_N.any():
                self._fit_map(j, *(column[counts_N, j].cpu().numpy() for column in (expected_NJ, labels_NJ, weights_NJ)))

    def _fit_map(self, j: int, expected_N: NDArray[np.float64], labels_N: NDArray[np.float64], weights_N: NDArray[np.float64]) -> None:
        most = float(self.means_JL[j].max())
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
        self._set_map(j, knots, heights * (weights_N @ labels_N / said if said > 0 else 1.0))

    def _set_map(self, j: int, expected: NDArray[np.float64], corrected: NDArray[np.float64]) -> None:
        fill(self.expected_JP[j], expected)
        fill(self.corrected_JP[j], corrected)

    def _expected(self, outputs_BJ: Tensor) -> Tensor:
        """Return Σ_b P(b) · ȳ_b, [B, J]."""
        return (log_probabilities(outputs_BJ, self.cuts_JC, self._is_bin()).exp() * self.means_JL).sum(-1)

    def _is_bin(self) -> Tensor:
        """Return which of its BINS bins each objective has, [J, L]."""
        return F.pad(self.edges_JC.isfinite(), (1, 0), value=True)

    def _tables(self, outputs_BJ: Tensor) -> Tensor:
        return torch.arange(len(self.objectives), device=outputs_BJ.device).expand(outputs_BJ.shape)


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
