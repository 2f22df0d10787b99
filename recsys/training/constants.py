"""The choice of the days that give a member's constants (base rates, means, scales), so that progressive rows stay honest."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.encoding import EncodedDays
from recsys.losses import distribution, lengths
from recsys.objectives import Objective

# Legend: N rows, K objectives.

_ENOUGH = 50  # labels of the rarer class; with so many, the base rate is known to about 14 %
_OTHERS = 5  # one in so many labels differs from the most common one: a scale is known to about a third by ten that do
_BINS = 10  # of a distribution; with fewer its values are coarse


def constant_days(days: Sequence[str], counts_of: Callable[[Sequence[str]], NDArray[np.float64]]) -> tuple[str, ...]:
    """Return the first days that together hold enough labels of each objective; all days where there are never enough.

    In time order later days are still to come. A prediction for one day must not know the base rates of the days after it.
    `counts_of` takes first days and returns [K]: the number of their labels, counted as by `rarer`, that are known when the last of these
    days has been learned.
    """
    for place in range(1, len(days)):
        if (counts_of(days[:place]) >= _ENOUGH).all():
            return tuple(days[:place])
    return tuple(days)


def labels_that_count(days: EncodedDays) -> NDArray[np.float32]:
    """Return [N, K] labels, NaN where a label is absent or the row has weight 0."""
    return np.where(days.weights()[:, None] > 0, days.labels(), np.float32(np.nan))


def rarer(labels_NK: NDArray[np.float32], objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """Return [K], the number of labels that decides how well each objective's constants are known from a day.

    - d2q: the labels above 0, divided by the number of its groups.
    - distribution: the labels above 0, scaled so that 200 of them (_BINS bins of BIN_ROWS rows) are enough.
    - Ordinal: all labels except those of the most common level.
    - Binary: the labels of the rarer class. With `given`, only rows on which the given objective happened count, because the base rate is
      taken on these rows.
    - Otherwise: all observed labels; of a day on which nearly all are alike, as many as one in _OTHERS of which differs from the most
      common value. A day of zeros gives a number no scale.
    """
    names = [objective.name for objective in objectives]
    found: list[float] = []
    for k, objective in enumerate(objectives):
        counts_N = ~np.isnan(labels_NK[:, k])
        if objective.given is not None:
            counts_N &= labels_NK[:, names.index(objective.given)] == 1
        known = int(counts_N.sum())
        watched = int((labels_NK[counts_N, k] > 0).sum())
        match objective.learned_by:
            case "binary" | "ordinal":
                found.append(known - _of_most_common(labels_NK[counts_N, k]))
            case "weighted_logistic":  # it learns odds between watched rows and others
                found.append(min(known, _OTHERS * min(watched, known - watched)))
            case "d2q":
                found.append(watched / lengths.GROUPS)
            case "distribution":
                found.append(watched * _ENOUGH / (_BINS * distribution.BIN_ROWS))
            case _:
                found.append(min(known, _OTHERS * (known - _of_most_common(labels_NK[counts_N, k]))))
    return np.array(found, np.float64)


def _of_most_common(label_N: NDArray[np.float32]) -> int:
    """Return how many labels have the most common value."""
    return int(np.unique(label_N, return_counts=True)[1].max(initial=0))
