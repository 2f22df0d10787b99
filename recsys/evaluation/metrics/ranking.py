"""Metrics of how well a prediction orders impressions by a binary label: AUC pooled, per user and per list; average precision.

Ties in the prediction count one half (Mann & Whitney 1947). Where one class is rare, the replicates of the pooled metrics are exact; those
of average precision below EXACT_ROWS rows too. Elsewhere they follow from the first-order influence of each user (DeLong et al. 1988 for
AUC). The error of this expansion falls with the number of rows, while the exact cost grows with it.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.inputs.rows import CodeArray, CountArray, FloatArray, IntArray, Rows
from recsys.evaluation.intervals.bootstrap import Estimate, Sums, Undefined, Weighted, whole_product
from recsys.evaluation.metrics.pairs import auc_per_group, pairs_by_user

# Shapes: N rows, P positive and Q negative rows, U users, G groups, R replicates, C rows of the rarer class, S = C + 1 sums.
EXACT_ROWS = 1_000_000  # 1,000 exact replicates of average precision take some seconds here
# Below this many rows of the rarer class, replicates are exact whatever their cost. From 200 on, the ends of a first-order 95 % interval of
# AUC are within a tenth of its width of the exact ends in 99 % of random cases, and in 97 % for a difference of two (the median is .01).
# Of average precision that takes more: the distance is .46 of the width with 87 positives, .23 with 218, .14 with 549, .05 with 1,801, and
# .006 with 22,686, on 200,000 to 1,000,000 simulated rows.
RARE = 200
RARE_PRECISION = 2_000


def one_class(rows: Rows) -> str | None:
    """Return the reason why no order of these rows can be judged, or None."""
    if len(rows) == 0:
        return "no rows with a known label"
    positives = np.count_nonzero(rows.label_N)
    if positives == 0:
        return "one class: no positive label"
    return "one class: no negative label" if positives == len(rows) else None


def grouped(value_G: FloatArray, rows_G: IntArray, user_of_group_G: IntArray, users: int, *, reason: str) -> Estimate | Undefined:
    """Return the mean over groups with a value, weighted by impressions. A group is resampled with the user whom it belongs to."""
    defined_G = np.isfinite(value_G)
    if not defined_G.any():
        return Undefined(reason)
    weight_G = np.where(defined_G, rows_G, 0).astype(np.float64)
    weighted_G = np.where(defined_G, value_G, 0.0) * weight_G
    sums_UM = np.column_stack([np.bincount(user_of_group_G, values_G, users).astype(np.float64) for values_G in (weighted_G, weight_G)])
    coverage = float(weight_G.sum() / rows_G.sum())
    return Sums(sums_UM, lambda sums: sums[..., 0] / sums[..., 1], coverage, rests_on=(sums_UM[:, 1],))


def gauc(rows: Rows) -> Estimate | Undefined:
    """Compute AUC within each user, and average it over users with both classes (Zhou et al., KDD 2018, section 6.2).

    The average is weighted by impressions.
    """
    if len(rows) == 0:
        return Undefined("no rows with a known label")
    per_user = auc_per_group(rows.label_N, rows.prediction_code, rows.user_N, rows.users)
    return grouped(*per_user, np.arange(rows.users), rows.users, reason="no user has both classes")


def gauc_list(rows: Rows) -> Estimate | Undefined:
    """Compute AUC within each list as it was shown, averaged as in `gauc`. The order is by `rank.X` where the run has it.

    This metric avoids a trap of `gauc`. There, counters that are updated throughout the test pull a user's scores up after the positives
    that they counted.
    """
    if len(rows) == 0:
        return Undefined("no rows with a known label")
    per_list = auc_per_group(rows.label_N, rows.ranking_code, rows.list_N, rows.lists)
    return grouped(*per_list, rows.user_of_list, rows.users, reason="no list has both classes")


def auc(rows: Rows) -> Estimate | Undefined:
    """Compute the share of (positive, negative) pairs that the prediction orders correctly, ties one half."""
    if reason := one_class(rows):
        return Undefined(reason)
    is_rarer_N = _is_rarer(rows)
    return contrast(_auc_exact(rows) if np.count_nonzero(is_rarer_N) < RARE else _auc_influence(rows), rows, is_rarer_N)


def pr_auc(rows: Rows) -> Estimate | Undefined:
    """Compute average precision: Σ over thresholds of the step in recall times precision. Tied predictions are one threshold."""
    if reason := one_class(rows):
        return Undefined(reason)
    is_rarer_N = _is_rarer(rows)
    is_exact = len(rows) < EXACT_ROWS or np.count_nonzero(is_rarer_N) < RARE_PRECISION
    return contrast(_average_precision_exact(rows) if is_exact else _average_precision_influence(rows), rows, is_rarer_N)


def contrast(estimate: Estimate, rows: Rows, is_rarer_N: NDArray[np.bool_]) -> Estimate:
    """Return the estimate as one that rests on all rows and, since it contrasts unlike labels, on those of the rarer ones."""
    rows_UM = rows.per_user(np.ones(len(rows)), is_rarer_N.astype(np.float64))
    return replace(estimate, rests_on=(rows_UM[:, 0], rows_UM[:, 1]))


def _is_rarer(rows: Rows) -> NDArray[np.bool_]:
    """Return which rows are of the rarer class, [N]."""
    positive_N = rows.label_N > 0
    return positive_N if 2 * np.count_nonzero(positive_N) <= len(rows) else ~positive_N


def running_weights(weights_RU: CountArray, user_N: IntArray) -> CountArray:
    """Return the summed weights of the rows before each place, and of all rows at the end, [R, N + 1].

    `user_N` holds the users of the rows in the order of their places.
    """
    running_RN = np.zeros((len(weights_RU), len(user_N) + 1), np.int32)
    np.cumsum(np.take(weights_RU, user_N, axis=1), axis=1, out=running_RN[:, 1:])
    return running_RN


def _auc_exact(rows: Rows) -> Weighted:
    """Count, per user and row c of the rarer class, the user's other rows that stand on the right side of c: a table [U, C].

    A replicate's pairs are then Σ_c w_c Σ_u w_u table_uc. That is one matrix product for all replicates, however many rows there are.
    """
    is_rare_N = _is_rarer(rows)
    code_C, code_O = rows.prediction_code[is_rare_N], rows.prediction_code[~is_rare_N]
    by_code_C = np.argsort(code_C, kind="stable")
    user_C, user_O = rows.user_N[is_rare_N][by_code_C], rows.user_N[~is_rare_N]
    table_US = _twice_at_or_below(code_C[by_code_C], code_O, user_O, rows.users)
    if rows.label_N[np.argmax(is_rare_N)] == 0:  # the right side of a negative is above it
        np.subtract(table_US[:, -1:], table_US[:, :-1], out=table_US[:, :-1])

    def of_weights(weights_RU: CountArray) -> FloatArray:
        weight_RC = np.take(weights_RU, user_C, axis=1).astype(np.float64)
        sums_RS = whole_product(weights_RU, table_US, largest=int(weights_RU.max(initial=0)) * 2 * len(code_O))
        right_R = np.einsum("rc,rc->r", weight_RC, sums_RS[:, :-1])
        auc_R: FloatArray = right_R / (weight_RC.sum(axis=1) * sums_RS[:, -1])
        return auc_R

    return Weighted(of_weights, rows.users, width=2 * rows.users + 2 * len(code_C))


def _twice_at_or_below(code_C: CodeArray, code_O: CodeArray, user_O: IntArray, users: int) -> NDArray[np.float32]:
    """Count for each user the rows O below each of the ascending codes, ties one half, times two; last all of the user's rows: [U, C + 1].

    The counts are whole, so float32 is exact for a user of up to 2²³ such rows.
    """
    table = np.zeros((users, len(code_C) + 1), np.float32)
    for side in ("left", "right"):  # a row counts from the first code that it ties with, and again from the first above it
        np.add.at(table, (user_O, np.searchsorted(code_C, code_O, side)), 1.0)
    return np.cumsum(table, axis=1, out=table)


def _auc_influence(rows: Rows) -> Sums:
    """Expand AUC to first order (DeLong et al. 1988).

    The expansion is the mean over positives of their place among negatives, plus the same mean over negatives, minus AUC.
    """
    pairs = pairs_by_user(rows.label_N, rows.prediction_code, rows.user_N, rows.users)
    positives, negatives = pairs.positives_U.sum(), pairs.negatives_U.sum()
    below_U = pairs.twice_negatives_below_U / (2 * negatives)
    above_U = pairs.negatives_U - pairs.twice_positives_below_U / (2 * positives)
    value = float(below_U.sum() / positives)
    sums_UM = np.column_stack([below_U, pairs.positives_U, above_U, pairs.negatives_U])
    return Sums(sums_UM, lambda sums: sums[..., 0] / sums[..., 1] + sums[..., 2] / sums[..., 3] - value, method="influence")


def _average_precision_exact(rows: Rows) -> Weighted:
    order = rows.by_prediction
    user_N = rows.user_N[order.rows_N]
    place_P = np.flatnonzero(rows.label_N[order.rows_N])
    user_P, first_P = user_N[place_P], order.first_N[place_P]
    first_positive_P = np.searchsorted(place_P, first_P)

    def of_weights(weights_RU: CountArray) -> FloatArray:
        below_RN = running_weights(weights_RU, user_N)
        positives_below_RP = running_weights(weights_RU, user_P)
        retrieved_RP = below_RN[:, -1:] - np.take(below_RN, first_P, axis=1)
        true_RP = positives_below_RP[:, -1:] - np.take(positives_below_RP, first_positive_P, axis=1)
        precision_RP = true_RP / np.maximum(retrieved_RP, 1)  # where nothing is retrieved, the positive itself has weight 0
        weighted_R: FloatArray = np.einsum("rp,rp->r", np.take(weights_RU, user_P, axis=1), precision_RP)
        return weighted_R / positives_below_RP[:, -1]

    return Weighted(of_weights, rows.users, width=2 * len(rows))


def _average_precision_influence(rows: Rows) -> Sums:
    """Expand average precision to first order in the weights of rows.

    Per unit of weight, row k adds [y_k (precision_k − AP) + Σ_{positives i at or below k} (y_k − precision_i) / retrieved_i] / P.
    """
    order = rows.by_prediction
    positive_N = rows.label_N[order.rows_N] > 0
    positives = np.count_nonzero(positive_N)
    true_N = positives - np.r_[0, np.cumsum(positive_N)][order.first_N]
    retrieved_N = len(rows) - order.first_N
    precision_N = true_N / retrieved_N
    value = float(precision_N[positive_N].sum() / positives)
    inverse_N = np.cumsum(positive_N / retrieved_N)[order.last_N - 1]
    loss_N = np.cumsum(positive_N * precision_N / retrieved_N)[order.last_N - 1]
    influence_N = order.to_rows((positive_N * (precision_N - value + inverse_N) - loss_N) / positives)
    return Sums(rows.per_user(influence_N), lambda sums: np.clip(value + sums[..., 0], 0.0, 1.0), method="influence")
