"""Groups of impressions by the length of the video, which the watch times of `d2q` and `distribution` are learned within.

Zhan et al. (D2Q, KDD 2022), section 3.3: quantiles of the length split the impressions into M groups.

Shape letters: B rows, N training rows, J objectives of one loss, A durations, E inner edges.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys.errors import data_error
from recsys.losses.loss import Sample, weighted_quantiles
from recsys.objectives import Objective, durations

GROUPS = 30  # M, the best of {1, 10, 20, 30, 50, 100} in the paper
UNKNOWN = 0


class MapRows(NamedTuple):
    """Rows of one objective, to fit a map from what is predicted to a mean label."""

    predicted_N: NDArray[np.float64]
    labels_N: NDArray[np.float64]
    weights_N: NDArray[np.float64]


Knots = tuple[NDArray[np.float64], NDArray[np.float64]]  # of a map: predictions, ascending, and the mean labels there


class LengthGroups(nn.Module):
    """The groups of each of J objectives, from 1 on. Group 0 is of rows whose length is not known.

    An objective without `duration` has only that one. Where none has a duration, it is the only group there is (`num` = 1). It comes
    first, so that a run that starts from another one finds it, whichever of the two has lengths for other objectives.
    """

    def __init__(self, objectives: Sequence[Objective], fewest: int) -> None:
        """Make groups that are yet to be fitted. A group of fewer than `fewest` rows will join a neighbour."""
        super().__init__()
        self.objectives = tuple(objectives)
        self.fewest = fewest
        columns = durations(objectives)
        self.num = 1 + (GROUPS if columns else 0)
        places = [0 if objective.duration is None else columns.index(objective.duration) for objective in objectives]
        reads = [objective.duration is not None for objective in objectives]
        self.register_buffer("columns_J", torch.tensor(places), persistent=False)
        self.register_buffer("reads_J", torch.tensor(reads), persistent=False)
        self.register_buffer("edges_JE", torch.full((len(objectives), max(self.num - 2, 0)), torch.inf, dtype=torch.float64))
        self.columns_J: Tensor
        self.reads_J: Tensor
        self.edges_JE: Tensor  # a group's upper edge belongs to it; inf beyond the last

    def fit(self, j: int, sample: Sample) -> NDArray[np.int64]:
        """Set the edges of objective j, which has a duration; return each row's group. Raise DataError where no row has a length."""
        assert sample.durations_N is not None
        durations_N = sample.durations_N
        known_N = ~np.isnan(durations_N)
        if not known_N.any():
            objective = self.objectives[j]
            raise data_error(
                f"column {objective.duration}",
                found="no duration on any training row",
                expected=f"the video's length, which {objective.name} reads ({objective.method})",
                bad_rows=len(known_N),
                rows=len(known_N),
                fix='mend the column, or take method = "distribution" without duration',
            )
        edges = group_edges(durations_N[known_N], sample.weights_N[known_N], self.fewest)
        self.edges_JE[j] = torch.from_numpy(np.pad(edges, (0, self.edges_JE.shape[1] - len(edges)), constant_values=np.inf))
        return np.where(known_N, 1 + np.searchsorted(edges, durations_N), UNKNOWN)

    def of(self, durations_BA: Tensor | None, outputs_BJ: Tensor) -> Tensor:
        """Return each row's group, [B, J]."""
        if self.num == 1:
            return torch.full_like(outputs_BJ, UNKNOWN, dtype=torch.int64)
        assert durations_BA is not None
        durations_JB = durations_BA[:, self.columns_J].T.double().contiguous()
        groups_JB = 1 + torch.searchsorted(self.edges_JE, durations_JB)
        return groups_JB.masked_fill(durations_JB.isnan() | ~self.reads_J[:, None], UNKNOWN).T

    def maps(
        self, groups_NJ: Tensor, predicted_NJ: Tensor, labels_NJ: Tensor, weights_NJ: Tensor, fit: Callable[[int, MapRows], Knots]
    ) -> Iterator[tuple[int, int, Knots]]:
        """Yield objective, group and map of each group of the objectives that have a row of a weight above 0.

        It is fitted to the group's own rows, or to all rows where the group has fewer than `fewest` of them, or no watched one.
        """
        for j in range(len(self.objectives)):
            counts_N = weights_NJ[:, j] > 0
            if not counts_N.any():
                continue
            groups_N, *columns = (each_NJ[counts_N, j].cpu().numpy() for each_NJ in (groups_NJ, predicted_NJ, labels_NJ, weights_NJ))
            rows = MapRows(*columns)
            of_all = fit(j, rows)
            for g in range(self.num):
                mine = MapRows(*(column_N[groups_N == g] for column_N in rows))
                is_own = len(mine.labels_N) >= self.fewest and mine.labels_N.any()
                yield j, g, fit(j, mine) if is_own else of_all

    def tables(self, groups_BJ: Tensor) -> Tensor:
        """Return the places of the groups among those of all objectives, one objective after another: of [J, groups, …] without axis 0."""
        return torch.arange(len(self.objectives), device=groups_BJ.device) * self.num + groups_BJ


def group_edges(durations_N: NDArray[np.float64], weights_N: NDArray[np.float64], fewest: int) -> NDArray[np.float64]:
    """Return at most GROUPS − 1 ascending inner edges: quantiles of duration, but none that leaves a group fewer than `fewest` rows.

    Rows at an edge lie below it. Quantiles repeat where many videos have the same length; such a length is one group.
    """
    quantiles = np.unique(weighted_quantiles(durations_N, weights_N, np.arange(1, GROUPS) / GROUPS))
    below = np.searchsorted(np.sort(durations_N), quantiles, side="right")  # rows at or below each
    kept, last = [], 0
    for quantile, rows in zip(quantiles, below, strict=True):
        if rows - last >= fewest and len(durations_N) - rows >= fewest:
            kept.append(quantile)
            last = rows
    return np.array(kept)
