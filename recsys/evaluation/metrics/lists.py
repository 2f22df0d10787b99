"""Metrics of how high the fused order puts the wanted impressions: NDCG and captured share of lists, captured share of all impressions.

A list is a request where the log names it, else a session. Higher scores stand first, and tied scores keep the order of event_id. An
impression with an unknown label takes its place all the same, and gains nothing. Otherwise a label that is known only after a click would
be ranked among clicks alone. The gain of a row is its label: 0 or 1, or the number itself, which must not be below 0.

Shapes: N rows (here all impressions, label_N is NaN where it is not known), P rows with a gain, G lists, U users.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.inputs.rows import FloatArray, IntArray, Rows
from recsys.evaluation.intervals.bootstrap import Estimate, Sums, Undefined

_ROUNDING = 1e-9  # so that 10 % of 30 rows are 3: the last bit of the product could make them 4


class Places(NamedTuple):
    """The place of each row among all rows and in its list, both from 0, and the number of rows of its list."""

    place_N: IntArray
    list_place_N: IntArray
    list_size_N: IntArray


def places(score_N: FloatArray, list_N: IntArray) -> Places | None:
    """Return the places by descending score, or None where a score is not finite.

    Rows come in the order of event_id, which tied scores keep.
    """
    if not np.isfinite(score_N).all():
        return None
    order_N = np.argsort(-score_N, kind="stable")
    place_N = _at(order_N, np.arange(len(order_N)))
    by_list_N = order_N[np.argsort(list_N[order_N], kind="stable")]
    size_G = np.bincount(list_N)
    start_G = np.cumsum(size_G) - size_G
    list_place_N = _at(by_list_N, np.arange(len(order_N)) - start_G[list_N[by_list_N]])
    return Places(place_N, list_place_N, size_G[list_N])


def _at(rows_N: IntArray, values_N: IntArray) -> IntArray:
    moved_N = np.empty_like(values_N)
    moved_N[rows_N] = values_N
    return moved_N


def ndcg(rows: Rows, *, k: int) -> Estimate | Undefined:
    """Compute the DCG of the first k divided by that of the list's best order, averaged over lists (Järvelin & Kekäläinen, TOIS 2002).

    DCG = Σ gain / log2(1 + place), place from 1. Lists of one impression and lists without a gain are left out.
    """
    if reason := _no_gain(rows):
        return Undefined(reason)
    assert rows.list_place_N is not None
    at_P, gain_P = _with_gain(rows)
    found_G = _sums(rows.list_N[at_P], gain_P * discount(rows.list_place_N[at_P], k), rows.lists)
    return _over_lists(rows, found_G, best_dcg(rows, k), longer_than=1)


def discount(place_N: IntArray, k: int) -> FloatArray:
    """Return 1 / log2(2 + place) for places from 0, and 0 from place k on."""
    return np.where(place_N < k, 1 / np.log2(2.0 + place_N), 0.0)


def best_dcg(rows: Rows, k: int) -> FloatArray:
    """Return the DCG of each list's first k rows in the order of their gain, [G]."""
    at_P, gain_P = _with_gain(rows)
    best_P = np.lexsort((-gain_P, rows.list_N[at_P]))
    list_P = rows.list_N[at_P][best_P]
    place_P = np.arange(len(best_P)) - np.searchsorted(list_P, list_P)
    return _sums(list_P, gain_P[best_P] * discount(place_P, k), rows.lists)


def whole_gain(rows: Rows) -> FloatArray:
    """Return the summed gain of each list, [G]."""
    at_P, gain_P = _with_gain(rows)
    return _sums(rows.list_N[at_P], gain_P, rows.lists)


def captured_in_lists(rows: Rows, *, k: int) -> Estimate | Undefined:
    """Compute the share of a list's gain that stands in its first k, averaged over lists that are longer than k and have a gain."""
    if reason := _no_gain(rows):
        return Undefined(reason)
    assert rows.list_place_N is not None
    at_P, gain_P = _with_gain(rows)
    first_G = _sums(rows.list_N[at_P], gain_P * (rows.list_place_N[at_P] < k), rows.lists)
    return _over_lists(rows, first_G, whole_gain(rows), longer_than=k)


def counted_lists(rows: Rows, whole_G: FloatArray, *, longer_than: int) -> NDArray[np.bool_]:
    """Return which lists count, [G]: those with a `whole_G` above 0 that are long enough for their order to matter."""
    assert rows.list_size_N is not None
    size_G = np.zeros(rows.lists, np.int64)
    size_G[rows.list_N] = rows.list_size_N
    return (whole_G > 0) & (size_G > longer_than)


def _over_lists(rows: Rows, part_G: FloatArray, whole_G: FloatArray, *, longer_than: int) -> Estimate | Undefined:
    """Return the mean of part / whole over the lists that count (`counted_lists`). A list is resampled with its user."""
    counted_G = counted_lists(rows, whole_G, longer_than=longer_than)
    if not counted_G.any():
        return Undefined(f"no list of more than {longer_than} with a positive label")
    user_G = np.zeros(rows.lists, np.int64)
    user_G[rows.list_N] = rows.user_N
    share_G = np.divide(part_G, whole_G, out=np.zeros(rows.lists), where=counted_G)
    sums_UM = np.column_stack([_sums(user_G, values_G, rows.users) for values_G in (share_G, counted_G.astype(np.float64))])
    known_N = ~np.isnan(rows.label_N)
    coverage = np.count_nonzero(counted_G[rows.list_N] & known_N) / np.count_nonzero(known_N)
    return Sums(sums_UM, lambda sums: sums[..., 0] / sums[..., 1], coverage, rests_on=(sums_UM[:, 1],))


def captured_overall(rows: Rows, *, percent: float) -> Estimate | Undefined:
    """Compute the share of the whole gain that stands among the first ⌈n · percent / 100⌉ of all n impressions.

    Replicates are of first order. Users with a larger share of the top rows than of all rows push as many rows of others out of the top,
    with the gain of these rows. The gain that is pushed out is read off the cumulative gain by place in the original rows. Users without a
    known label tell where the top ends, but nothing of what is in it, and those without a gain little: neither count as effective users.
    """
    if reason := _no_gain(rows):
        return Undefined(reason)
    assert rows.place_N is not None
    gain_N = np.nan_to_num(rows.label_N)
    order_N = np.argsort(rows.place_N)
    cut = top_rows(len(rows), percent)
    top_N = np.zeros(len(rows))
    top_N[order_N[:cut]] = 1.0
    until_N = np.concatenate([[0.0], np.cumsum(gain_N[order_N])])  # gain before each place

    def combine(sums: FloatArray) -> FloatArray:
        captured, excess, gain = sums[..., 0], sums[..., 1], sums[..., 2]
        pushed = until_N[cut] - np.interp(cut - excess, np.arange(len(until_N)), until_N)
        return np.asarray(np.clip((captured - pushed) / gain, 0.0, 1.0))

    sums_UM = rows.per_user(gain_N * top_N, top_N - cut / len(rows), gain_N)
    known_U = rows.per_user((~np.isnan(rows.label_N)).astype(np.float64))[:, 0]
    return Sums(sums_UM, combine, method="influence", rests_on=(known_U, sums_UM[:, 2]))


def _sums(code_N: IntArray, values_N: FloatArray, size: int) -> FloatArray:
    return np.bincount(code_N, values_N, size).astype(np.float64)


def top_rows(rows: int, percent: float) -> int:
    """Return ⌈rows · percent / 100⌉, at least 1."""
    return max(1, int(np.ceil(rows * percent / 100 - _ROUNDING)))


def _no_gain(rows: Rows) -> str | None:
    """Return the reason why no order of these rows can gain anything, or None."""
    known_N = ~np.isnan(rows.label_N)
    if not known_N.any():
        return "no rows with a known label"
    if rows.place_N is None:
        return "the run does not give every impression a score of the fused order"
    if below := int(np.count_nonzero(rows.label_N < 0)):
        return f"{below:,} labels are below 0, which is no gain"
    return None if (rows.label_N[known_N] > 0).any() else "no positive label"


def _with_gain(rows: Rows) -> tuple[IntArray, FloatArray]:
    at_P = np.flatnonzero(rows.label_N > 0)
    return at_P, rows.label_N[at_P]
