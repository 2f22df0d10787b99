"""The label observed at each position, split into examined × relevant.

The position-based click model (Richardson et al. 2007) is P(click) = P(examined | position) · P(click | examined). The second factor is the
relevance. A model's prediction with the position missing takes the place of this factor, up to a constant: the prediction is the relevance
as the model sees it.
"""

import numpy as np
import pandas as pd

from recsys.evaluation.inputs.rows import FloatArray, IntArray, renumber
from recsys.evaluation.intervals.bootstrap import UserDraws, all_at_one_end, effective_number, interval

# Shapes: N rows, B bins of positions, U users, R replicates.


def position_curve(
    label: FloatArray,
    shown: FloatArray,
    ranking: FloatArray,
    position: tuple[IntArray, list[str]],
    user: IntArray,
    *,
    bootstrap: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """Return one row per bin of `position` with known labels, in the order of the bins.

    `position` holds the codes of the rows and the names of the bins, as `position_bins` gives them. `label` (NaN: not known), `shown`
    (prediction with the position as logged) and `ranking` (prediction with the position missing) are of the same rows. `user` numbers the
    users of the rows from 0. The columns are:
    - `position`, `n`;
    - `observed`, the mean label, with `low` and `high`;
    - `shown` and `relevant`, the mean predictions;
    - `examined`, with `examined_low` and `examined_high`: Σ label / Σ ranking, divided by the same quotient of the first bin;
    - `model_examined`, the same with `shown` in place of the label.

    So observed = examined × relevant × the first bin's quotient Σ label / Σ ranking. Relevance is known up to this constant. A quotient
    with a divisor of 0 is NaN. Intervals resample users; a bin of fewer than 20 effective users has none (NaN), nor has one
    in which nothing happened, or always. The first bin's `examined` is 1 by definition.
    """
    code_N, names = position
    at_N = np.flatnonzero(~np.isnan(label) & (code_N >= 0))
    bins_B, bin_N = renumber(code_N[at_N], len(names))
    users_U, user_N = renumber(user[at_N], int(user.max(initial=0)) + 1)
    values = (np.ones(len(at_N)), label[at_N], shown[at_N], ranking[at_N])
    sums_BU4 = np.stack([_per_bin_and_user(values_N, bin_N, user_N, len(bins_B), len(users_U)) for values_N in values], axis=-1)
    n_B, label_B, shown_B, ranking_B = np.moveaxis(sums_BU4.sum(axis=1), -1, 0)
    curve = pd.DataFrame({"position": [names[code] for code in bins_B], "n": n_B.astype(np.int64)})
    with np.errstate(divide="ignore", invalid="ignore"):
        curve = curve.assign(observed=label_B / n_B, shown=shown_B / n_B, relevant=ranking_B / n_B)
        curve = curve.assign(examined=_examined(label_B, ranking_B), model_examined=_examined(shown_B, ranking_B))
        observed_RB, examined_RB = _replicates(sums_BU4, UserDraws(len(users_U), bootstrap, seed))
    users_B = np.array([effective_number(rows_U) for rows_U in sums_BU4[..., 0]])
    for value, low, high, replicates_RB, effective_B in (
        ("observed", "low", "high", observed_RB, users_B),
        ("examined", "examined_low", "examined_high", examined_RB, np.minimum(users_B, users_B[:1])),
    ):
        found = [
            interval(replicates_R, value_, confidence=confidence, effective_users=effective)
            for replicates_R, value_, effective in zip(replicates_RB.T, curve[value], effective_B.tolist(), strict=True)
        ]
        alike_B = np.array([all_at_one_end(replicates_R) for replicates_R in replicates_RB.T], bool)
        alike_B[:1] &= value == "observed"
        curve[low] = np.where(alike_B, np.nan, np.array([each.low for each in found], np.float64))  # None becomes NaN
        curve[high] = np.where(alike_B, np.nan, np.array([each.high for each in found], np.float64))
    return curve


def _per_bin_and_user(values_N: FloatArray, bin_N: IntArray, user_N: IntArray, bins: int, users: int) -> FloatArray:
    return np.bincount(bin_N * users + user_N, values_N, bins * users).astype(np.float64).reshape(bins, users)


def _examined(numerator: FloatArray, ranking: FloatArray) -> FloatArray:
    """Return the quotients divided by that of the first bin, NaN where the result is not finite. The last axis holds the bins."""
    quotient = numerator / ranking
    examined = quotient / quotient[..., :1]
    return np.where(np.isfinite(examined), examined, np.nan)


def _replicates(sums_BU4: FloatArray, draws: UserDraws) -> tuple[FloatArray, FloatArray]:
    """Return the replicates of the mean label and of `examined`, each [R, B], NaN where a value is undefined."""
    observed, examined = [], []
    for block_RU in draws.blocks():
        n_RB, label_RB, _, ranking_RB = np.moveaxis(np.tensordot(block_RU.astype(np.float64), sums_BU4, axes=(1, 1)), -1, 0)
        observed.append(label_RB / n_RB)
        examined.append(_examined(label_RB, ranking_RB))
    none = np.empty((0, len(sums_BU4)))
    return np.concatenate([none, *observed]), np.concatenate([none, *examined])
