"""Pairs of a positive and a negative row, counted per user or per group after one sort.

A count needs three things of a row: user or group, score, and label. All three are packed into one integer, so that the sort orders these
integers themselves and no index is followed afterwards. numpy sorts ten million such integers in a tenth of a second. An argsort takes half
a second, and bringing each array into that order takes as long again. All counts are whole numbers (of half pairs) until the end, so no sum
depends on the order of the rows.

Shapes: N rows, U users, G groups, P positive rows, B borders, C rows of a chunk.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.inputs.rows import CodeArray, FloatArray, IntArray

CODE_BITS = 32
CHUNK = 1 << 18  # rows that are counted at once: their temporaries stay in the cache, which saves a third of the time


class UserPairs(NamedTuple):
    """Counts per user: the user's rows of each class, and twice the other-class rows of all users that score below them.

    A tied row counts as half a row below.
    """

    positives_U: IntArray
    twice_negatives_below_U: FloatArray
    negatives_U: IntArray
    twice_positives_below_U: FloatArray


class GroupAuc(NamedTuple):
    """AUC of each group, NaN where a group has one class only, and the number of rows of each group."""

    auc_G: FloatArray
    rows_G: IntArray


def pairs_by_user(label_N: FloatArray, code_N: CodeArray, user_N: IntArray, users: int) -> UserPairs:
    """Count the pairs of each user's rows with the rows of all users. Labels are 0 or 1, and scores come as their `rows.order_code`."""
    bits = users.bit_length()
    assert CODE_BITS + 1 + bits < 64, "the packed sort key would overflow"
    key_N = code_N.astype(np.int64)
    key_N <<= 1
    key_N |= label_N > 0
    key_N <<= bits
    key_N |= user_N
    key_N.sort()
    twice_below, count = np.zeros(2 << bits), np.zeros(2 << bits, np.int64)  # negatives by user, then positives by user
    positives = 0
    for start, key_C in _chunks(key_N, 1 + bits, max(CHUNK, users)):
        scored_C = key_C >> bits
        positive_C = scored_C & 1
        before_C = np.cumsum(positive_C)
        before_C += positives
        positives = int(before_C[-1])
        before_C -= positive_C
        twice_C = 2 * np.where(positive_C, np.arange(start, start + len(key_C)) - before_C, before_C)
        twice_C += _half_of_ties(scored_C)
        class_and_user_C = key_C & ((2 << bits) - 1)
        twice_below += np.bincount(class_and_user_C, twice_C, 2 << bits)
        count += np.bincount(class_and_user_C, minlength=2 << bits)
    (negatives, positives_), (below_negatives, below_positives) = count.reshape(2, -1), twice_below.reshape(2, -1)
    return UserPairs(positives_[:users], below_positives[:users], negatives[:users], below_negatives[:users])


def auc_per_group(label_N: FloatArray, code_N: CodeArray, group_N: IntArray, groups: int) -> GroupAuc:
    """Compute AUC within each group. Labels are 0 or 1, and scores come as their `rows.order_code`."""
    below = CODE_BITS + 1
    assert below + groups.bit_length() < 64, "the packed sort key would overflow"
    key_N = group_N << CODE_BITS
    key_N |= code_N
    key_N <<= 1
    key_N |= label_N > 0
    key_N.sort()
    rows_G = np.bincount(group_N, minlength=groups)
    start_G = np.cumsum(rows_G) - rows_G
    positives_G, before_G, tied_G = np.zeros(groups, np.int64), np.zeros(groups), np.zeros(groups)
    for start, key_C in _chunks(key_N, below, max(CHUNK, groups)):
        place_P = np.flatnonzero((key_C & 1).astype(bool))
        group_P = key_C[place_P] >> below
        positives_G += np.bincount(group_P, minlength=groups)
        before_G += np.bincount(
            group_P, start + place_P - start_G[group_P], groups
        )  # counts both classes; tied negatives stand before positives
        borders = _borders(key_C)
        tied_G += np.bincount(key_C[borders.at_B] >> below, borders.negatives_B * borders.positives_B, groups)
    right_G = before_G - positives_G * (positives_G - 1) / 2 - tied_G / 2
    pairs_G = positives_G * (rows_G - positives_G)
    auc_G = np.full(groups, np.nan)
    np.divide(right_G, pairs_G, out=auc_G, where=pairs_G > 0)
    return GroupAuc(auc_G, rows_G)


def _chunks(key_N: IntArray, tied_above: int, size: int) -> Iterator[tuple[int, IntArray]]:
    """Yield about `size` rows at a time, and where they start. Rows that agree on the bits from `tied_above` on stay together."""
    start = 0
    while start < len(key_N):
        last = int(key_N[min(start + size, len(key_N)) - 1])
        end = int(np.searchsorted(key_N, ((last >> tied_above) + 1) << tied_above))
        yield start, key_N[start:end]
        start = end


class _Borders(NamedTuple):
    """Places where the negatives of one score end and its positives follow: the last negative, and the number of rows of each class."""

    at_B: IntArray
    negatives_B: IntArray
    positives_B: IntArray


def _borders(scored_N: IntArray) -> _Borders:
    """Find the borders. In ascending (…, score, label), only tied rows of both classes are neighbours that differ in the last bit alone."""
    at_B = np.flatnonzero((scored_N[1:] ^ scored_N[:-1]) == 1)
    first_B = np.searchsorted(scored_N, scored_N[at_B])
    last_B = np.searchsorted(scored_N, scored_N[at_B + 1], side="right")
    return _Borders(at_B, at_B + 1 - first_B, last_B - at_B - 1)


def _half_of_ties(scored_C: IntArray) -> NDArray[np.int64] | int:
    """Return the amount that ties add to twice the number of other-class rows before each row.

    Where n negatives and p positives tie, each of the negatives gets p, and each of the positives gets −n.
    """
    borders = _borders(scored_C)
    if len(borders.at_B) == 0:
        return 0
    step_C = np.zeros(len(scored_C) + 1, np.int64)
    middle_B = borders.at_B + 1
    step_C[middle_B - borders.negatives_B] += borders.positives_B
    step_C[middle_B] -= borders.positives_B + borders.negatives_B
    step_C[middle_B + borders.positives_B] += borders.negatives_B
    return np.cumsum(step_C[:-1])
