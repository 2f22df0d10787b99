"""Metrics of how well a prediction orders impressions by a number: XAUC over pairs, pooled and per user; Spearman's rank correlation."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys.evaluation.inputs.rows import CountArray, FloatArray, IntArray, Order, Rows
from recsys.evaluation.intervals.bootstrap import Estimate, Sums, Undefined, Weighted, whole_product
from recsys.evaluation.metrics.ranking import contrast, grouped, running_weights

# Shapes: N rows, U users, R replicates.
EXACT_PAIR_ROWS = 1_000  # exact replicates cost users² each; above this, the first-order expansion misses less than a tenth of the spread
EXACT_RANK_ROWS = 5_000  # above this, the ends of a first-order interval are within a tenth of its width of the exact ends, as a rule


def constant_labels(rows: Rows) -> str | None:
    """Return the reason why no order of these rows can be judged, or None."""
    if len(rows) == 0:
        return "no rows with a known label"
    return "all labels are equal" if np.ptp(rows.label_N) == 0 else None


def xauc(rows: Rows) -> Estimate | Undefined:
    """Compute the share of pairs with different labels that the prediction orders correctly (Zhan et al., KDD 2022).

    Tied predictions count one half. All pairs are counted, not a sample of them.
    """
    if reason := constant_labels(rows):
        return Undefined(reason)
    return contrast(_xauc_exact(rows) if len(rows) <= EXACT_PAIR_ROWS else _xauc_influence(rows), rows, is_uncommon(rows))


def xgauc(rows: Rows) -> Estimate | Undefined:
    """Compute XAUC within each user, and average it over users whose labels differ, weighted by impressions."""
    if len(rows) == 0:
        return Undefined("no rows with a known label")
    xauc_U = _xauc_per_group(rows.by_label, rows.by_order, rows.user_N, rows.users)
    users_U = np.arange(rows.users)
    return grouped(xauc_U, np.bincount(rows.user_N, minlength=rows.users), users_U, rows.users, reason="no user has different labels")


def xgauc_list(rows: Rows) -> Estimate | Undefined:
    """Compute XAUC within each list as it was shown, averaged as in `xgauc`. The order is by `rank.X` where the run has it."""
    if len(rows) == 0:
        return Undefined("no rows with a known label")
    xauc_G = _xauc_per_group(rows.by_label, rows.by_ranking, rows.list_N, rows.lists)
    rows_G = np.bincount(rows.list_N, minlength=rows.lists)
    return grouped(xauc_G, rows_G, rows.user_of_list, rows.users, reason="no list has different labels")


def is_uncommon(rows: Rows) -> NDArray[np.bool_]:
    """Return which rows have another label than the commonest one, [N]: of watch times perhaps all that are not 0."""
    order = rows.by_label
    commonest = order.first_N[np.argmax(order.last_N - order.first_N)]
    return np.asarray(rows.label_N != rows.label_N[order.rows_N[commonest]])


def _xauc_per_group(by_label: Order, by_prediction: Order, group_N: IntArray, groups: int) -> FloatArray:
    """Compute XAUC within each group, NaN where all its labels are equal."""
    right_N, comparable_N = pair_counts(by_label, by_prediction, group_N)
    right_G, comparable_G = (np.bincount(group_N, counts_N, groups) for counts_N in (right_N, comparable_N))
    xauc_G: FloatArray = np.divide(right_G, comparable_G, out=np.full(groups, np.nan), where=comparable_G > 0)
    return xauc_G


def _xauc_exact(rows: Rows) -> Weighted:
    """Count the pairs between users that are ordered correctly in a table, [U, U]. A replicate's pairs are its quadratic form.

    All its pairs with different labels are half of W² − Σ_l W_l², where W is the weight of all rows and W_l that of the rows with label l.
    """
    twice_right_UU = _twice_right_between_users(rows)
    most = int(twice_right_UU.sum(axis=0).max())
    of_label_LU = _counts(rows.by_label.dense_rank, rows.user_N)

    def of_weights(weights_RU: CountArray) -> FloatArray:
        right_RU = whole_product(weights_RU, twice_right_UU, largest=int(weights_RU.max(initial=0)) * most)
        twice_right_R: FloatArray = np.einsum("ru,ru->r", right_RU, weights_RU.astype(np.float64))
        weight_LR = of_label_LU @ weights_RU.T.astype(np.float64)
        twice_comparable_R = weight_LR.sum(axis=0) ** 2 - np.einsum("lr,lr->r", weight_LR, weight_LR)
        xauc_R: FloatArray = twice_right_R / twice_comparable_R
        return xauc_R

    return Weighted(of_weights, rows.users, width=2 * (rows.users + len(rows)))


def _twice_right_between_users(rows: Rows) -> NDArray[np.float32]:
    """Count for each user u and user v the pairs of a row of u and a row of v with a lower label: [U, U].

    A pair counts 2 where u's row is predicted higher, 1 where both tie. The counts are whole, so float32 is exact for 2²³ pairs.
    """
    label_N, prediction_N = (order.dense_rank.astype(np.int16) for order in (rows.by_label, rows.by_order))
    twice_NN = (prediction_N[:, None] > prediction_N).view(np.int8) + (prediction_N[:, None] >= prediction_N).view(np.int8)
    twice_NN *= (label_N[:, None] > label_N).view(np.int8)
    of_user_UN = _counts(rows.user_N, np.arange(len(rows)))
    twice_UN = of_user_UN @ twice_NN.astype(np.float32)
    twice_UU: NDArray[np.float32] = np.ascontiguousarray((of_user_UN @ np.ascontiguousarray(twice_UN.T)).T)
    return twice_UU


def _counts(row_N: IntArray, column_N: IntArray) -> csr_array:
    """Count how often each pair of codes occurs, in a sparse table: one row per first code, one column per second."""
    return csr_array((np.ones(len(row_N), np.float32), (row_N, column_N)))


def _xauc_influence(rows: Rows) -> Sums:
    """Expand XAUC to first order in the user weights. Both of its counts are quadratic in them.

    With X the value of XAUC, the expansion is X + 2 Σ_u w_u (right_u − X · comparable_u) / Σ_u comparable_u.
    """
    everyone_N = np.zeros(len(rows), np.int64)
    right_N, comparable_N = pair_counts(rows.by_label, rows.by_order, everyone_N)
    comparable = comparable_N.sum()
    value = float(right_N.sum() / comparable)
    influence_N = 2 * (right_N - value * comparable_N) / comparable
    return Sums(rows.per_user(influence_N), lambda sums: np.clip(value + sums[..., 0], 0.0, 1.0), method="influence")


def pair_counts(by_label: Order, by_prediction: Order, group_N: IntArray) -> tuple[FloatArray, FloatArray]:
    """Count per row its pairs with rows of the same group and another label: those ordered correctly (ties ½), and all of them."""
    prediction_N, rows = by_prediction.dense_rank, len(group_N)
    alike = Order.of(group_N * rows + by_label.dense_rank)
    label_N = _rank_in_group(alike, group_N)  # small numbers have few bits, and each bit is a pass
    order = by_group = Order.of(group_N * rows + prediction_N)
    if has_ties := bool((by_group.last_N - by_group.first_N > 1).any()):  # put tied rows in the order of their labels
        order = Order.of(by_group.dense_rank * (label_N.max() + 1) + label_N)
    right_N = np.zeros(rows)
    right_N[order.rows_N] = _ascending_pairs(label_N[order.rows_N], group_N[order.rows_N])
    if has_ties:  # so each tied pair with different labels was counted as correct
        right_N -= (by_group.to_rows(by_group.last_N - by_group.first_N) - order.to_rows(order.last_N - order.first_N)) / 2
    comparable_N = np.bincount(group_N)[group_N] - alike.to_rows(alike.last_N - alike.first_N)
    return right_N, comparable_N.astype(np.float64)


def _rank_in_group(by_group_and_value: Order, group_N: IntArray) -> IntArray:
    """Return the number of distinct smaller values of each row in its group. The order is by group and then by value."""
    rank_N = by_group_and_value.dense_rank
    first_G = np.full(group_N.max(initial=-1) + 1, len(group_N))
    np.minimum.at(first_G, group_N, rank_N)
    return rank_N - first_G[group_N]


def _ascending_pairs(value_N: IntArray, group_N: IntArray) -> IntArray:
    """Count at each place the smaller values before it plus the larger values after it, within its group. Groups are contiguous.

    The algorithm is a wavelet tree, one bit at a time from the highest. Each node holds the values that agree on the bits above, in their
    order. Two values part in exactly one node, where one of them has a 0 and the other a 1. The cost is O(N log N), without a loop over
    rows.
    """
    pairs_N = np.zeros(len(value_N), np.int64)
    value_N = value_N.astype(np.int32)  # half the memory to move; moving memory is the whole cost here
    place_N = np.arange(len(value_N), dtype=np.int32)
    origin_N = place_N
    start_N, end_N = (np.searchsorted(group_N, group_N, side).astype(np.int32) for side in ("left", "right"))  # bounds of its node
    for bit in reversed(range(int(value_N.max(initial=0)).bit_length())):
        one_N = (value_N >> bit & 1).astype(bool)
        zeros_N = np.zeros(len(value_N) + 1, np.int32)
        np.cumsum(~one_N, out=zeros_N[1:])
        zeros_before_N = zeros_N[:-1] - zeros_N[start_N]
        ones_before_N = place_N - start_N - zeros_before_N
        middle_N = start_N + zeros_N[end_N] - zeros_N[start_N]  # where the ones of the node go
        pairs_N[origin_N] += np.where(one_N, zeros_before_N, end_N - middle_N - ones_before_N)
        target_N = np.where(one_N, middle_N + ones_before_N, start_N + zeros_before_N)
        start_N, end_N = np.where(one_N, middle_N, start_N), np.where(one_N, end_N, middle_N)
        source_N = np.empty_like(place_N)
        source_N[target_N] = place_N
        value_N, origin_N, start_N, end_N = value_N[source_N], origin_N[source_N], start_N[source_N], end_N[source_N]
    return pairs_N


def spearman(rows: Rows) -> Estimate | Undefined:
    """Compute Pearson's correlation of the mid-ranks of label and prediction."""
    if reason := constant_labels(rows):
        return Undefined(reason)
    if np.ptp(rows.ordering) == 0:
        return Undefined("all predictions are equal")
    return contrast(_spearman_exact(rows) if len(rows) <= EXACT_RANK_ROWS else _spearman_influence(rows), rows, is_uncommon(rows))


def _spearman_exact(rows: Rows) -> Weighted:
    bounds = [(order, order.to_rows(order.first_N), order.to_rows(order.last_N)) for order in (rows.by_label, rows.by_order)]

    def of_weights(weights_RU: CountArray) -> FloatArray:
        weight_RN = np.take(weights_RU, rows.user_N, axis=1)
        ranks = []
        for order, first_N, last_N in bounds:
            below_RN = running_weights(weights_RU, rows.user_N[order.rows_N])
            twice_RN = np.take(below_RN, first_N, axis=1) + np.take(below_RN, last_N, axis=1)
            ranks.append((twice_RN - below_RN[:, -1:]).astype(np.float64))  # the mean mid-rank is half of all weights
        (a_RN, b_RN), weighted = ranks, [weight_RN * rank_RN for rank_RN in ranks]
        ab_R: FloatArray = np.einsum("rn,rn->r", weighted[0], b_RN)
        aa_R: FloatArray = np.einsum("rn,rn->r", weighted[0], a_RN)
        bb_R: FloatArray = np.einsum("rn,rn->r", weighted[1], b_RN)
        return ab_R / np.sqrt(aa_R * bb_R)

    return Weighted(of_weights, rows.users, width=10 * len(rows))


def _spearman_influence(rows: Rows) -> Sums:
    """Expand Spearman's correlation to first order in the weights of rows.

    A row's weight enters its own term. It also enters the ranks of all rows at or above it, through a step h ∈ {0, ½, 1}.
    """
    a_N, b_N = (order.mid_rank - len(rows) / 2 for order in (rows.by_label, rows.by_order))
    ab, aa, bb = a_N @ b_N, a_N @ a_N, b_N @ b_N
    value = float(ab / np.sqrt(aa * bb))
    d_ab_N = a_N * b_N + _sum_above(rows.by_label, b_N) + _sum_above(rows.by_order, a_N)
    d_aa_N = a_N**2 + 2 * _sum_above(rows.by_label, a_N)
    d_bb_N = b_N**2 + 2 * _sum_above(rows.by_order, b_N)
    influence_N = d_ab_N / np.sqrt(aa * bb) - value / 2 * (d_aa_N / aa + d_bb_N / bb)
    return Sums(rows.per_user(influence_N), lambda sums: np.clip(value + sums[..., 0], -1.0, 1.0), method="influence")


def _sum_above(order: Order, values_N: FloatArray) -> FloatArray:
    """Return per row the sum of the values of rows above it in the order, plus half the values of rows tied with it."""
    running_N = np.r_[0.0, np.cumsum(values_N[order.rows_N])]
    return order.to_rows(running_N[-1] - (running_N[order.first_N] + running_N[order.last_N]) / 2)
