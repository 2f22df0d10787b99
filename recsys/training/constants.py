"""From which days a member's constants (base rates, means, scales) may come, so that progressive rows stay honest."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.objectives import Objective

# Legend: N rows, K objectives.

_ENOUGH = 50  # labels of the rarer class: the base rate is then known to about 14 %


def constant_days(days: Sequence[str], labels_of: Callable[[str], NDArray[np.float32]], objectives: Sequence[Objective]) -> tuple[str, ...]:
    """The first days that together hold enough labels of each objective; all days where none do.

    In time order later days are still to come: their base rates must not be known to what predicts the days before them.
    """
    enough_K = np.zeros(len(objectives))
    for place, day in enumerate(days, start=1):
        enough_K += [_rarer(labels_N, objective) for labels_N, objective in zip(labels_of(day).T, objectives, strict=True)]
        if (enough_K >= _ENOUGH).all():
            return tuple(days[:place])
    return tuple(days)


def _rarer(labels_N: NDArray[np.float32], objective: Objective) -> int:
    """Observed labels; of a binary objective those of its rarer class on this day."""
    known_N = labels_N[~np.isnan(labels_N)]
    if not objective.is_probability:
        return len(known_N)
    positives = int((known_N > 0).sum())
    return min(positives, len(known_N) - positives)
