"""Errors of numeric predictions against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from recsys.evaluation.intervals.bootstrap import Undefined
from recsys.evaluation.metrics import regression
from tests.evaluation.samples import build_rows

NUMBER = st.floats(-1e4, 1e4, allow_nan=False).map(lambda number: round(number, 3))


@pytest.mark.words
@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(NUMBER, NUMBER, st.integers(0, 3)), min_size=1, max_size=50))
def test_errors_agree_with_scikit_learn(sample):
    label, prediction, user = (np.array(column) for column in zip(*sample, strict=True))
    rows = build_rows(label, prediction, user)
    assert regression.rmse(rows).value() == pytest.approx(np.sqrt(mean_squared_error(label, prediction)))
    assert regression.mae(rows).value() == pytest.approx(mean_absolute_error(label, prediction))
    if np.ptp(label) > 0:
        assert regression.r2(rows).value() == pytest.approx(r2_score(label, prediction), rel=1e-6)
    else:
        assert regression.r2(rows) == Undefined("all labels are equal")


def test_r2_holds_far_from_zero():
    """Σy² − (Σy)² / n would lose all digits at 1e9."""
    label = 1e9 + np.array([0.0, 1.0, 2.0, 3.0])
    prediction = label + np.array([0.5, -0.5, 0.5, -0.5])
    assert regression.r2(build_rows(label, prediction)).value() == pytest.approx(1 - 1 / 5)


def test_no_rows_is_undefined_with_a_reason():
    for metric in (regression.rmse, regression.mae, regression.r2):
        assert metric(build_rows([], [])) == Undefined("no rows with a known label")
