"""XAUC against a loop over pairs, Spearman against scipy."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from recsys.evaluation.intervals.bootstrap import Undefined
from recsys.evaluation.metrics import concordance
from tests.evaluation.samples import build_rows

ROWS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=50)


def pair_share(label, score) -> tuple[float, int]:
    """Rightly ordered pairs (ties ½) and comparable pairs, by brute force."""
    right, comparable = 0.0, 0
    for i, j in itertools.combinations(range(len(label)), 2):
        if label[i] != label[j]:
            comparable += 1
            right += 0.5 if score[i] == score[j] else (label[i] > label[j]) == (score[i] > score[j])
    return right, comparable


@settings(max_examples=100, deadline=None)
@given(ROWS.filter(lambda sample: len({label for label, _, _ in sample}) > 1))
def test_xauc_agrees_with_a_loop_over_pairs(sample):
    label, score, user = (np.array(column) for column in zip(*sample, strict=True))
    right, comparable = pair_share(label, score)
    rows = build_rows(label, score, user)
    for metric in (concordance._xauc_exact, concordance._xauc_influence):
        assert metric(rows).value() == pytest.approx(right / comparable, abs=1e-12)


@pytest.mark.parametrize("within", ["user", "list"])
@settings(max_examples=100, deadline=None)
@given(ROWS, st.booleans())
def test_xgauc_agrees_with_a_loop_over_groups(within, sample, distinct_scores):
    """`xgauc_list` orders by the ranking, which here is another one than the prediction."""
    label, score, user = (np.array(column) for column in zip(*sample, strict=True))
    if distinct_scores:  # the form without ties takes a way of its own
        score = score + np.arange(len(score)) / 1000
    total, weight = 0.0, 0
    for one in np.unique(user):
        inside = user == one
        right, comparable = pair_share(label[inside], score[inside])
        if comparable:
            total += inside.sum() * right / comparable
            weight += inside.sum()
    if within == "user":
        estimate = concordance.xgauc(build_rows(label, score, user))
    else:
        estimate = concordance.xgauc_list(build_rows(label, -score, user // 2, user, ranking=score))
    if weight == 0:
        assert estimate == Undefined(f"no {within} has different labels")
    else:
        assert estimate.value() == pytest.approx(total / weight, abs=1e-12)
        assert estimate.coverage == pytest.approx(weight / len(label))


@settings(max_examples=100, deadline=None)
@given(ROWS.filter(lambda sample: all(len(set(column)) > 1 for column in list(zip(*sample, strict=True))[:2])))
def test_spearman_agrees_with_scipy(sample):
    label, score, user = (np.array(column) for column in zip(*sample, strict=True))
    rows = build_rows(label, score, user)
    for metric in (concordance._spearman_exact, concordance._spearman_influence):
        assert metric(rows).value() == pytest.approx(spearmanr(label, score).statistic, abs=1e-12)


def test_constant_columns_are_undefined_with_a_reason():
    assert concordance.xauc(build_rows([2, 2], [0, 1])) == Undefined("all labels are equal")
    assert concordance.spearman(build_rows([2, 2], [0, 1])) == Undefined("all labels are equal")
    assert concordance.spearman(build_rows([0, 1], [3, 3])) == Undefined("all predictions are equal")
    assert concordance.xauc(build_rows([0, 1], [3, 3])).value() == 0.5
