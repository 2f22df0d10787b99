"""Counts of pairs against a loop over all of them, wherever the rows are cut into chunks."""

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recsys.evaluation.inputs.rows import order_code
from recsys.evaluation.metrics import pairs

SAMPLES = st.lists(st.tuples(st.booleans(), st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=40)


@pytest.fixture(params=[1, 3, 1 << 18], ids=lambda size: f"chunks of {size}")
def any_chunk(request, monkeypatch):
    monkeypatch.setattr(pairs, "CHUNK", request.param)


def ahead(label, score, one) -> float:
    """Rows of the other class that score below one row, tied ones half."""
    other = label != label[one]
    return float(np.sum(other & (score < score[one])) + np.sum(other & (score == score[one])) / 2)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SAMPLES, st.sampled_from([1.0, 1 / 3]))
def test_pairs_by_user_are_those_of_a_loop(any_chunk, sample, unit):
    """Thirds are no float32: their codes are ranks."""
    label, score, user = (np.array(column) for column in zip(*sample, strict=True))
    score = score * unit
    found = pairs.pairs_by_user(label.astype(float), order_code(score), user, 5)
    rank = np.array([ahead(label, score, one) for one in range(len(label))])
    for one in range(5):
        positive, negative = (user == one) & label, (user == one) & ~label
        assert (found.positives_U[one], found.negatives_U[one]) == (positive.sum(), negative.sum())
        assert found.twice_negatives_below_U[one] == 2 * rank[positive].sum()
        assert found.twice_positives_below_U[one] == 2 * rank[negative].sum()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SAMPLES)
def test_groups_are_those_of_a_loop(any_chunk, sample):
    label, score, group = (np.array(column) for column in zip(*sample, strict=True))
    found = pairs.auc_per_group(label.astype(float), order_code(score.astype(float)), group, 5)
    for one in range(5):
        of, at = label[group == one], score[group == one]
        assert found.rows_G[one] == len(of)
        if not 0 < of.sum() < len(of):
            assert np.isnan(found.auc_G[one])
            continue
        right = sum(ahead(of, at, row) for row in np.flatnonzero(of))
        assert found.auc_G[one] == pytest.approx(right / (of.sum() * (~of).sum()))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(allow_nan=False, width=32) | st.floats(allow_nan=False), max_size=20))
@example([0.0, -0.0, 1e-45, -1e-45])
@example([-np.inf, np.inf, 1e300, -1e300])
def test_codes_are_in_the_order_of_the_values_and_tied_where_they_are(values):
    values = np.array(values, float)
    code = order_code(values).astype(np.int64)
    assert np.array_equal(np.sign(np.subtract.outer(code, code)), np.greater.outer(values, values) * 1 - np.less.outer(values, values))
