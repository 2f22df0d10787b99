"""The travel of the sliders: even in the pull on the order, and without the part in which nothing changes any more.

A slider sets one weight w, from 0 up. The others keep the run's own weights in this scale. The objective's share of the pull is then
s = w / (w + unit), with unit = Σ_others weight × spread / spread of its own term. The slider is even in s: at the middle of its travel it
has half of its last share. Shapes: K objectives, S shares.
"""

from dataclasses import dataclass

import numpy as np

from recsys.evaluation.fused_order import FusedRows, OrderMetric
from recsys.evaluation.inputs.rows import FloatArray

MOST = 0.8  # share of the pull at which a slider ends at the latest, unless the run's own share is larger
SHARES = 17  # shares that are tried, evenly from 0 to MOST
STILL = 0.05  # of what the whole travel changes: what changes less is not seen
ROOM = 1.5  # a slider goes at least this many times as far as the run's own share


@dataclass(frozen=True)
class Travel:
    """The travel of one slider: weight = share / (1 − share) × `unit`, for shares from 0 to `last`."""

    unit: float
    last: float


def travels(rows: FusedRows, metric: OrderMetric, own_K: FloatArray) -> list[Travel]:
    """Return the travel of each objective's slider. `own_K` are the run's fusion weights."""
    spread_K = rows.spread()
    return [_travel(rows, metric, own_K, spread_K, k) for k in range(len(own_K))]


def _travel(rows: FusedRows, metric: OrderMetric, own_K: FloatArray, spread_K: FloatArray, k: int) -> Travel:
    others = float(own_K @ spread_K - own_K[k] * spread_K[k])
    if others <= 0:  # the order is by this objective alone, whatever its weight
        return Travel(unit=float(own_K[k]) or 1.0, last=MOST)
    unit = others / float(spread_K[k])
    share_S = np.linspace(0, MOST, SHARES)
    value_SK = np.array([metric.values(rows.score(_with(own_K, k, share * unit / (1 - share)))) for share in share_S])
    range_K = np.ptp(value_SK, axis=0)
    far_S = (np.abs(value_SK - value_SK[-1]) > STILL * range_K).any(axis=1)
    still = float(share_S[np.flatnonzero(far_S)[-1] + 1]) if far_S.any() else MOST  # the last share is not far from itself
    own = float(own_K[k]) / (float(own_K[k]) + unit)
    return Travel(unit, min(MOST, max(still, ROOM * own)) if own < MOST else (1 + own) / 2)


def _with(own_K: FloatArray, k: int, weight: float) -> FloatArray:
    weights_K = own_K.copy()
    weights_K[k] = weight
    return weights_K
