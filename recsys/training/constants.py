"""From which days a member's constants (base rates, means, scales) may come, so that progressive rows stay honest."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.encoding import EncodedDays
from recsys.losses.d2q import GROUPS
from recsys.objectives import Objective

# Legend: N rows, K objectives.

_ENOUGH = 50  # labels of the rarer class: the base rate is then known to about 14 %


def constant_days(days: Sequence[str], counts_of: Callable[[Sequence[str]], NDArray[np.float64]]) -> tuple[str, ...]:
    """The first days that together hold enough labels of each objective; all days where none do.

    In time order later days are still to come: their base rates must not be known to what predicts the days before them.
    `counts_of` says of the first days how many (`rarer`) of their labels are known when the last of them has been learned.
    """
    for place in range(1, len(days)):
        if (counts_of(days[:place]) >= _ENOUGH).all():
            return tuple(days[:place])
    return tuple(days)


def labels_that_count(days: EncodedDays) -> NDArray[np.float32]:
    """[N, K], NaN where not there or on a row of weight 0."""
    return np.where(days.weights()[:, None] > 0, days.labels(), np.float32(np.nan))


def rarer(labels_NK: NDArray[np.float32], objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """[K] what decides how well an objective's constants are known from a day.

    Observed labels, of d2q those above 0 in one of its groups; of an ordinal objective those beside its commonest level; of a binary
    one those of its rarer class, where it is given another only among the rows where that happened: there its base rate is taken.
    """
    names = [objective.name for objective in objectives]
    found = []
    for k, objective in enumerate(objectives):
        counts_N = ~np.isnan(labels_NK[:, k])
        if objective.given is not None:
            counts_N &= labels_NK[:, names.index(objective.given)] == 1
        known = int(counts_N.sum())
        if objective.is_probability or objective.kind == "ordinal":
            _, of_values = np.unique(labels_NK[counts_N, k], return_counts=True)
            found.append(known - of_values.max(initial=0))
        elif objective.method == "d2q":
            found.append(int((labels_NK[counts_N, k] > 0).sum()) / GROUPS)
        else:
            found.append(known)
    return np.array(found, np.float64)
