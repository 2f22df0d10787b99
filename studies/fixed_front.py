"""A front of fixed loss weights, and the test whether a balancing method lies beyond it, for `studies/comparison.py balancing`.

A weighting is -log u per objective, scaled to the sum of the default weights, so that steps keep their size. With u uniform it is uniform
over the simplex of objectives (exponential spacings, Devroye 1986, ch. V.2). The u are a Latin hypercube of `POINTS` strata. So every
objective gets the u of each twelfth once, from nearly nothing to a multiple of the objective's part. Of `_DRAWS` such designs, the chosen
one has its two closest points farthest apart (maximin, Johnson, Moore & Ylvisaker 1990). The seed is fixed, and no result influences the
design.

Shapes: P ways, S seeds, K objectives, R replicates over users.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys.config import Pipeline
from recsys.evaluation import SeedNoise, beyond_noise, dominates

POINTS = 12
_DRAWS = 2000
CONFIDENCE = 0.95
FloatArray = NDArray[np.float64]


def weightings(options: Pipeline) -> list[dict[str, float]]:
    """Return `POINTS` weightings of the objectives that learn. The default weights are not among them."""
    weights = {objective.name: objective.loss_weight for objective in options.objective if objective.loss_weight > 0}
    share_PK = spread(POINTS, len(weights))
    return [dict(zip(weights, (sum(weights.values()) * share_K).round(4).tolist(), strict=True)) for share_K in share_PK]


@cache
def spread(points: int, objectives: int) -> FloatArray:
    """Return [P, K] shares that sum to 1 in every row."""
    rng = np.random.default_rng(0)
    strata_PK = np.tile(np.arange(points), (objectives, 1)).T
    best_PK, widest = np.empty((0, objectives)), -1.0
    for _ in range(_DRAWS):
        part_PK = -np.log((rng.permuted(strata_PK, axis=0) + 0.5) / points)
        share_PK: FloatArray = part_PK / part_PK.sum(axis=1, keepdims=True)
        apart = _closest(share_PK)
        if apart > widest:
            best_PK, widest = share_PK, apart
    return best_PK


def _closest(share_PK: FloatArray) -> float:
    """Return the distance of the closest two points."""
    distance_PP = np.linalg.norm(share_PK[:, None] - share_PK, axis=2)
    return float(distance_PP[np.triu_indices(len(share_PK), 1)].min())


def against_front(names: Sequence[str], is_fixed: Sequence[bool], value_PSK: FloatArray, replicates_RPK: FloatArray) -> pd.DataFrame:
    """Return one line per balancing method: which fixed weightings dominate it, and which it dominates, as measured and beyond noise.

    A way dominates another where it is nowhere worse and somewhere better, over all objectives at once. Higher is better in all numbers.
    `value_PSK` holds the values of every run. `replicates_RPK` holds the means over the seeds in each replicate over users, with the same
    users for all ways of a seed. Beyond noise is `evaluation.beyond_noise` at `CONFIDENCE`, for as many rivals as there are ways. The noise
    of seeds comes from the deviations from the mean of all ways in the same seed, because a seed may have drawn a world of its own. With
    one seed only the noise of users counts.
    """
    noise = SeedNoise.of(value_PSK - value_PSK.mean(axis=0, keepdims=True))
    replicates_RPK = replicates_RPK if noise is None else noise.added_to(replicates_RPK, seed=0)
    clearly_PP = beyond_noise(replicates_RPK, confidence=CONFIDENCE).clearly_PP
    measured_PP = dominates(value_PSK.mean(axis=1))
    front = [place for place, fixed in enumerate(is_fixed) if fixed]

    def those(found_P: NDArray[np.bool_]) -> str:
        return ", ".join(names[place] for place in front if found_P[place])

    lines = [
        {
            "way": name,
            "dominated_by": those(clearly_PP[:, place]),
            "dominates": those(clearly_PP[place]),
            "measured_dominated_by": those(measured_PP[:, place]),
            "measured_dominates": those(measured_PP[place]),
        }
        for place, name in enumerate(names)
        if not is_fixed[place]
    ]
    return pd.DataFrame(lines)


def markdown(table: pd.DataFrame) -> str:
    """Return a table, ways down: the fixed weightings that dominate a way, and those that it dominates; a dash where there is none."""
    head = ["way", "dominated by, beyond noise", "dominates, beyond noise", "dominated by, as measured", "dominates, as measured"]
    lines = [head, ["---"] * len(head), *([cell or "–" for cell in line] for line in table.astype(str).to_numpy().tolist())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
