"""Cosines of the objectives' gradients over a training, with intervals, from the products of gradients in its rounds.

Legend: U units that a jackknife leaves out, 3: sums over rounds of ⟨G_j, G_k⟩, ⟨G_j, G_j⟩ and ⟨G_k, G_k⟩.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from recsys.report.chance import by_chance

NO_INTERVAL = "No interval is known (one day, or one member in shuffled passes): no cosine can be told from the noise of labels."

HIDDEN = "noise hides one of the two gradients"
ONE_UNIT = "no interval: one day, or one member in shuffled passes"

_ROUND = ["member", "phase", "pass", "step"]


def pooled_cosines(products: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return objective, other, cosine, low, high, reason from `Journal.products`: cosines of the gradients of all rounds, concatenated.

    A cosine is Σ ⟨G_j, G_k⟩ / √(Σ ⟨G_j, G_j⟩ · Σ ⟨G_k, G_k⟩), with sums over rounds and members. A mean of the rounds' cosines would
    leave out rounds in which noise hides a gradient. Rounds in which noise nearly hides it would dominate that mean.
    A cosine is NaN where a sum under the root is not above 0. An objective that does not learn has no gradient, and is left out.

    The interval is Student's, from a jackknife over days, which have no row in common. In shuffled passes the jackknife is over members,
    each with its own order. Where a pass has few batches, members are measured on the same rows, and the interval is too narrow. With one
    unit there is no interval. A cosine is also NaN where it would be undefined without one of the units. `reason` says why there is no
    cosine or no interval.
    """
    known = products.dropna(subset="product")
    is_own = known["objective"] == known["other"]
    own = known[is_own].set_index([*_ROUND, "objective"])["product"]
    learn = own[own != 0].index.unique("objective")
    apart = known[~is_own & known["objective"].isin(learn) & known["other"].isin(learn)]
    pairs = apart.join(own.rename("own"), on=[*_ROUND, "objective"])
    pairs = pairs.join(own.rename_axis([*_ROUND, "other"]).rename("others"), on=[*_ROUND, "other"])
    found = []
    for (objective, other), rounds in pairs.groupby(["objective", "other"], sort=False):
        unit = rounds["day"].fillna(rounds["member"]).astype(str)
        sums_U3 = rounds.groupby(unit)[["product", "own", "others"]].sum().to_numpy(float)
        cosine, low, high = _estimate(sums_U3, confidence)
        reason = HIDDEN if np.isnan(cosine) else ONE_UNIT if np.isnan(low) else None
        found.append((objective, other, cosine, low, high, reason))
    return pd.DataFrame(found, columns=["objective", "other", "cosine", "low", "high", "reason"])


def _estimate(sums_U3: NDArray[np.float64], confidence: float) -> tuple[float, float, float]:
    total_3, units = sums_U3.sum(0), len(sums_U3)
    cosine = _cosine(total_3)
    if units < 2:
        return _within(cosine), np.nan, np.nan
    without_U = np.array([_cosine(total_3 - unit_3) for unit_3 in sums_U3])
    if np.isnan(without_U).any():
        return np.nan, np.nan, np.nan
    error = np.sqrt((units - 1) * without_U.var())  # Efron & Tibshirani 1993, eq. 11.5
    half = float(stdtrit(units - 1, (1 + confidence) / 2) * error)
    return _within(cosine), _within(cosine - half), _within(cosine + half)


def _cosine(sums_3: NDArray[np.float64]) -> float:
    product, own, others = sums_3.tolist()
    return float(product / np.sqrt(own * others)) if own > 0 and others > 0 else np.nan


def _within(cosine: float) -> float:
    return float(np.clip(cosine, -1.0, 1.0))


def is_clear(cosines: pd.DataFrame) -> pd.Series:
    """Return, for each cosine, whether it has an interval that excludes 0."""
    return (cosines["low"] > 0) | (cosines["high"] < 0)


def each_once(cosines: pd.DataFrame) -> pd.DataFrame:
    """Return every pair of objectives only once, in the order in which the objectives first occur."""
    place = {name: number for number, name in enumerate(cosines["objective"].unique())}
    return cosines[cosines["objective"].map(place) < cosines["other"].map(place)]


def words(cosines: pd.DataFrame, confidence: float) -> str:
    """Return in words which pairs pull the same way or against each other beyond the noise, and how many pairs are inconclusive."""
    pairs = each_once(cosines)
    defined = pairs.dropna(subset="cosine")
    missing = len(pairs) - len(defined)
    hidden = f" {missing} of {len(pairs)} pairs have no cosine, because noise hides one of the two gradients." if missing else ""
    judged = defined.dropna(subset="low")
    if judged.empty:
        return f"{NO_INTERVAL}{hidden}" if len(defined) else hidden.strip()
    parts = [
        f"{what}: " + ", ".join(f"{pair.objective} and {pair.other} ({with_interval(pair)})" for pair in found.itertuples())
        for what, found in (
            ("Against each other", judged[judged["high"] < 0]),
            ("The same way", judged[judged["low"] > 0]),
        )
        if len(found)
    ]
    parts.append(f"Inconclusive: {int((~is_clear(judged)).sum())} of {len(judged)} cosines")
    return f"{'. '.join(parts)}. {by_chance(len(judged), confidence)}{hidden}"


def counted(cosines: pd.DataFrame) -> str:
    """Return in words how many pairs can be told from pairs at right angles."""
    pairs = each_once(cosines)
    return f"{int(is_clear(pairs).sum())} of {len(pairs)} cosines of gradients can be told from 0"


def with_interval(pair: Any) -> str:
    """Return a cosine with its interval as text. `pair` is a row of `pooled_cosines`, as a named tuple."""
    return f"{pair.cosine:+z.2f}" + ("" if pd.isna(pair.low) else f" [{pair.low:+z.2f}, {pair.high:+z.2f}]")
