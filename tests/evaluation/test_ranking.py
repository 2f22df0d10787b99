"""AUC and average precision against scikit-learn; grouped AUC against a loop over users."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from recsys.evaluation.intervals.bootstrap import Sums, Undefined, Weighted
from recsys.evaluation.metrics import ranking
from tests.evaluation.samples import build_rows

# Few distinct scores, so that most examples have ties within and across the classes.
TIED = st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 4)), min_size=2, max_size=60)


def both_classes(sample) -> bool:
    return len({label for label, _, _ in sample}) == 2


@settings(max_examples=100, deadline=None)
@given(TIED.filter(both_classes))
def test_pooled_metrics_agree_with_scikit_learn(sample):
    label, score, user = (np.array(column) for column in zip(*sample, strict=True))
    rows = build_rows(label, score / 6, user)
    oracles = {
        ranking._auc_exact: roc_auc_score,
        ranking._auc_influence: roc_auc_score,
        ranking._average_precision_exact: average_precision_score,
        ranking._average_precision_influence: average_precision_score,
    }
    for metric, oracle in oracles.items():
        assert metric(rows).value() == pytest.approx(oracle(label, score), abs=1e-12), metric.__name__


@settings(max_examples=100, deadline=None)
@given(TIED)
def test_grouped_auc_agrees_with_a_loop(sample):
    label, score, group = (np.array(column) for column in zip(*sample, strict=True))
    total, weight = 0.0, 0
    for one in np.unique(group):
        inside = group == one
        if 0 < label[inside].sum() < inside.sum():
            total += inside.sum() * roc_auc_score(label[inside], score[inside])
            weight += inside.sum()
    by_user = ranking.gauc(build_rows(label, score, group))
    by_list = ranking.gauc_list(build_rows(label, np.zeros(len(label)), group, group * 7, ranking=score))
    if weight == 0:
        assert by_user == Undefined("no user has both classes")
        assert by_list == Undefined("no list has both classes")
    else:
        for estimate in (by_user, by_list):
            assert estimate.value() == pytest.approx(total / weight, abs=1e-12)
            assert estimate.coverage == pytest.approx(weight / len(label))


def test_users_with_one_class_do_not_count():
    """Eight rows, four users, two of them with one class: (4 · 3/4 + 2 · 0) / 6."""
    label = [1, 0, 1, 0, 1, 1, 1, 0]
    score = [0.9, 0.2, 0.4, 0.6, 0.1, 0.8, 0.3, 0.7]
    estimate = ranking.gauc(build_rows(label, score, [0, 0, 0, 0, 1, 2, 3, 3]))
    assert estimate.value() == pytest.approx(0.5)
    assert estimate.coverage == 6 / 8


def test_lists_are_ordered_by_the_ranking_prediction():
    rows = build_rows([1, 0], [0.1, 0.9], [0, 0], ranking=[0.9, 0.1])
    assert ranking.gauc_list(rows).value() == 1
    assert ranking.gauc(rows).value() == 0
    assert ranking.auc(rows).value() == 0


def test_labels_as_scores_are_perfect_and_constant_scores_are_half(rng):
    label = rng.integers(0, 2, 50)
    assert ranking.auc(build_rows(label, label)).value() == 1
    assert ranking.auc(build_rows(label, 1 - label)).value() == 0
    assert ranking.auc(build_rows(label, np.full(50, 0.3))).value() == 0.5
    assert ranking.pr_auc(build_rows(label, label)).value() == pytest.approx(1, abs=1e-12)
    assert ranking.pr_auc(build_rows(label, np.full(50, 0.3))).value() == pytest.approx(label.mean())


@pytest.mark.parametrize("label", [[0, 0, 0], [1, 1, 1], []])
def test_one_class_is_undefined_with_a_reason(label):
    rows = build_rows(label, np.linspace(0, 1, len(label)))
    for metric in (ranking.auc, ranking.pr_auc):
        undefined = metric(rows)
        assert isinstance(undefined, Undefined)
        assert "class" in undefined.reason or "no rows" in undefined.reason


def test_exact_replicates_where_rows_or_positives_are_few(rng, monkeypatch):
    monkeypatch.setattr(ranking, "EXACT_ROWS", 1_000)
    monkeypatch.setattr(ranking, "RARE", 50)
    monkeypatch.setattr(ranking, "RARE_PRECISION", 300)
    many = rng.random(2_000)
    assert isinstance(ranking.auc(build_rows(many < 0.5, many)), Sums)
    assert isinstance(ranking.auc(build_rows(many < 0.01, many)), Weighted)
    assert isinstance(ranking.auc(build_rows(many > 0.01, many)), Weighted)
    assert isinstance(ranking.auc(build_rows(many[:900] < 0.5, many[:900])), Weighted)
    assert ranking.pr_auc(build_rows(many < 0.5, many)).method == "influence"
    assert ranking.auc(build_rows(many < 0.1, many)).method == "influence"
    assert ranking.pr_auc(build_rows(many < 0.1, many)).method == "bootstrap"
