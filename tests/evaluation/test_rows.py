"""Shared orders against numpy and scipy."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from recsys.evaluation.inputs.rows import Order, renumber

NARROW = st.floats(width=32, allow_nan=False, allow_infinity=False)
WIDE = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=200, deadline=None)
@given(st.lists(NARROW, max_size=40) | st.lists(WIDE, max_size=40) | st.lists(st.sampled_from([-1.5, -0.0, 0.0, 0.1, 2.0]), max_size=40))
@example([0.0, -0.0, -1e-40, 1e-40, 1e300, -1e300])
def test_order_has_tied_values_in_blocks(values):
    values = np.array(values, float)
    order = Order.of(values)
    assert np.array_equal(values[order.rows_N], np.sort(values))
    assert np.array_equal(order.mid_rank, rankdata(values) - 0.5)
    assert np.array_equal(order.dense_rank, rankdata(values, method="dense") - 1)
    assert np.array_equal(order.to_rows(np.arange(len(values)))[order.rows_N], np.arange(len(values)))


def test_integers_beyond_a_float_keep_their_order():
    """2⁶⁰ + 1 and 2⁶⁰ are one number as floats."""
    order = Order.of(np.array([2**60 + 1, 2**60, 2**60 + 2]))
    assert order.dense_rank.tolist() == [1, 0, 2]


@pytest.mark.parametrize(("codes", "present", "new"), [([4, 1, 4], [1, 4], [1, 0, 1]), ([], [], [])])
def test_renumber_counts_through_what_occurs(codes, present, new):
    occurring, renumbered = renumber(np.array(codes, np.int64), 6)
    assert occurring.tolist() == present
    assert renumbered.tolist() == new
