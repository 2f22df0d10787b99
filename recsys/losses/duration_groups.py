"""Groups of impressions by the video's length: quantiles of duration split the impressions (Zhan et al., D2Q, KDD 2022, section 3.3)."""

import numpy as np
from numpy.typing import NDArray

from recsys.losses.loss import weighted_quantiles

FEWEST_ROWS = 100  # of a group; a group with fewer rows joins a neighbour


def group_edges(durations_N: NDArray[np.float64], weights_N: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    """Return at most `groups` − 1 ascending inner edges: quantiles of duration, but none that leaves a group fewer than FEWEST_ROWS rows.

    Rows at an edge lie below it. Quantiles repeat where many videos have the same length; such a length is one group.
    """
    quantiles = np.unique(weighted_quantiles(durations_N, weights_N, np.arange(1, groups) / groups))
    below = np.searchsorted(np.sort(durations_N), quantiles, side="right")  # rows at or below each
    kept, last = [], 0
    for quantile, count in zip(quantiles, below, strict=True):
        if count - last >= FEWEST_ROWS and len(durations_N) - count >= FEWEST_ROWS:
            kept.append(quantile)
            last = count
    return np.array(kept)
