"""The Pareto front of several points: which points are non-dominated, which are dominated beyond noise, and the hypervolume.

All values are oriented: higher is better in each objective. A dominates B where A is nowhere worse and somewhere better.

Shapes: P points, K objectives, R replicates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.inputs.rows import FloatArray
from recsys.evaluation.intervals.bootstrap import expanded_tail

BoolArray = NDArray[np.bool_]
Point = tuple[float, ...]

AFFORDABLE, FEWER = 200, 250  # above AFFORDABLE numbers (P·K), FEWER replicates of a hypervolume are enough


def dominates(value_PK: FloatArray) -> BoolArray:
    """Return whether the row's point dominates the column's, [P, P]."""
    return _dominates(value_PK, value_PK)


def non_dominated(value_PK: FloatArray) -> BoolArray:
    """Return which points are dominated by no other, [P]. Equal points do not dominate each other."""
    return np.asarray(~dominates(value_PK).any(axis=0))


def front_share(replicates_RPK: FloatArray) -> FloatArray:
    """Return the share of the replicates in which each point is on the front, [P]."""
    counts_P = np.zeros(replicates_RPK.shape[1])
    for value_PK in replicates_RPK:
        counts_P += non_dominated(value_PK)
    return counts_P / len(replicates_RPK)


@dataclass(frozen=True)
class Dominated:
    """The dominance between each pair of points, as far as the noise lets it be told.

    `clearly_PP`: whether the row's point dominates the column's beyond noise. `share_PP`: the share of the replicates in which the row's
    point is nowhere worse than the column's.
    """

    clearly_PP: BoolArray
    share_PP: FloatArray
    level: float  # the share that `share_PP` must reach for a point to be clearly dominated


def beyond_noise(replicates_RPK: FloatArray, *, confidence: float, effective_users: float | None = None) -> Dominated:
    """Decide which points dominate which beyond noise.

    A dominates B beyond noise where two conditions hold, with ℓ = 1 − (1 − confidence)/(P − 1):
    - (1) In a share of at least ℓ of the replicates, A is nowhere worse than B.
    - (2) In at least one objective, A is better than B in a share of at least 1 − (1 − ℓ)/K of the replicates.

    (1) is an intersection–union test (Berger 1982). If B is truly better than A somewhere, however little, (1) holds with probability 1 − ℓ
    at most. ℓ contains Bonferroni's division by the P − 1 rivals. So a point that truly no other dominates is called dominated with
    probability 1 − confidence at most, for any K and any number of swept points. (2) keeps points with the same predictions from dominating
    each other. Replicates of few `effective_users` vary too little, so both shares are then those of `bootstrap.percentile_interval`.
    """
    points, objectives = replicates_RPK.shape[1:]
    rest = (1 - confidence) / max(1, points - 1)
    level, better_level = (1 - expanded_tail(tail, effective_users) for tail in (rest, rest / objectives))
    share_PP, clearly_PP = np.zeros((points, points)), np.zeros((points, points), bool)
    for a in range(points):
        better_RPK = replicates_RPK[:, a, None, :] - replicates_RPK
        share_PP[a] = (better_RPK >= 0).all(axis=2).mean(axis=0)
        better_PK: FloatArray = (better_RPK > 0).mean(axis=0)
        clearly_PP[a] = np.logical_and(share_PP[a] >= level, better_PK.max(axis=1) >= better_level)
    return Dominated(clearly_PP, share_PP, level)


def hypervolume(value_PK: FloatArray, reference_K: FloatArray) -> float:
    """Compute the exact volume of all that is worse than some point and better than the reference point in every objective.

    The algorithm sums exclusive volumes (While, Bradstreet & Barone 2012). The slice of each along the last objective is a product. Two
    objectives need one sweep only. A point that is not better than the reference everywhere adds nothing.
    """
    above_PK = np.asarray(value_PK, np.float64) - reference_K
    points = [tuple(row) for row in above_PK[(above_PK > 0).all(axis=1)].tolist()]
    return _volume(_front(points))


def hypervolume_replicates(replicates_RPK: FloatArray, reference_K: FloatArray) -> FloatArray:
    """Return one hypervolume per replicate. Where P · K exceeds `AFFORDABLE`, only the first `FEWER` replicates are used."""
    points, objectives = replicates_RPK.shape[1:]
    used = FEWER if points * objectives > AFFORDABLE else len(replicates_RPK)
    return np.array([hypervolume(value_PK, reference_K) for value_PK in replicates_RPK[:used]])


def _dominates(this_PK: FloatArray, that_QK: FloatArray) -> BoolArray:
    nowhere_worse_PQ = (this_PK[:, None] >= that_QK).all(axis=2)
    somewhere_better_PQ = (this_PK[:, None] > that_QK).any(axis=2)
    return np.logical_and(nowhere_worse_PQ, somewhere_better_PQ)


# Plain tuples, because the sets soon shrink to a few points, where arrays cost more than they save.
def _volume(points: Sequence[Point]) -> float:
    """Return the volume of the union of the boxes between 0 and each point."""
    if not points:
        return 0.0
    if len(points[0]) <= 2:
        return _area(points)
    volume = 0.0
    ascending = sorted(points, key=lambda point: point[-1])
    for place, (*base, height) in enumerate(ascending):
        above = [tuple(map(min, base, other)) for other in ascending[place + 1 :]]  # the others are at least as high
        volume += height * (_product(base) - _volume(_front(above)))
    return volume


def _area(points: Sequence[Point]) -> float:
    area = reached = 0.0
    for width, *height in sorted(points, reverse=True):
        top = height[0] if height else 1.0
        if top > reached:
            area += width * (top - reached)
            reached = top
    return area


def _front(points: Sequence[Point]) -> list[Point]:
    kept: list[Point] = []
    for point in sorted(set(points), reverse=True):  # a point that dominates another comes before it
        if not any(all(a >= b for a, b in zip(other, point, strict=True)) for other in kept):
            kept.append(point)
    return kept


def _product(sides: Sequence[float]) -> float:
    product = 1.0
    for side in sides:
        product *= side
    return product
