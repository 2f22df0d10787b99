"""AUC and average precision against scikit-learn; grouped AUC against a loop over users."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from recsys.evaluation.intervals.bootstrap import MIN_USERS, Sums, Undefined, UserDraws, Weighted, effective_number, replicate
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
    assert isinstance(ranking.auc(build_rows(many[:900] < 0.5, many[:900])), Sums), "however few rows there are"
    assert isinstance(ranking.pr_auc(build_rows(many[:900] < 0.5, many[:900])), Weighted)
    assert ranking.pr_auc(build_rows(many < 0.5, many)).method == "influence"
    assert ranking.auc(build_rows(many < 0.1, many)).method == "influence"
    assert ranking.pr_auc(build_rows(many < 0.1, many)).method == "bootstrap"


def random_log(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Users with few and many rows, clicks that they and the items decide, and a score that knows some of it. None: too few of a class."""
    users = int(np.exp(rng.uniform(np.log(30), np.log(800))))
    rows_U = np.minimum(np.ceil(rng.geometric(rng.uniform(0.05, 0.5), users) * (rng.pareto(rng.uniform(1.5, 4), users) + 0.3)), 300)
    user = np.repeat(np.arange(users), rows_U.astype(int))
    taste, quality = rng.normal(0, rng.uniform(0, 1.5), users)[user], rng.normal(size=len(user))
    label = rng.random(len(user)) < 1 / (1 + np.exp(-(rng.uniform(-3, 1) + taste + rng.uniform(0, 2) * quality)))
    score = rng.uniform(0, 1.5) * taste + rng.uniform(0, 2) * quality + rng.normal(0, rng.uniform(0.1, 2), len(user))
    score = np.round(score) if rng.random() < 0.3 else score
    enough = min(label.sum(), (~label).sum()) >= ranking.RARE and effective_number(np.bincount(user)) >= MIN_USERS
    return (label.astype(float), score, user) if enough else None


@pytest.mark.words
def test_first_order_intervals_of_auc_and_of_a_difference_are_the_exact_ones_to_a_tenth_of_their_width() -> None:
    """In 95 of 100 random logs or more, where each class has so many rows that the first order is used."""
    rng = np.random.default_rng(11)
    distances = []
    while len(distances) < 120:
        if (log := random_log(rng)) is None:
            continue
        label, score, user = log
        other = score + rng.normal(0, rng.choice([0.3, 1, 3]), len(score))
        estimates = [
            of(build_rows(label, values, user)) for values in (score, other) for of in (ranking._auc_exact, ranking._auc_influence)
        ]
        users = user.max() + 1
        exact, first, other_exact, other_first = replicate(estimates, UserDraws(users, 400, len(distances)), np.arange(users))
        for of_exact, of_first in ((exact, first), (exact - other_exact, first - other_first)):
            ends, ours = (np.quantile(replicates, [0.025, 0.975]) for replicates in (of_exact, of_first))
            distances.append(np.abs(ends - ours).max() / np.ptp(ends))
    assert np.mean(np.array(distances) < 0.1) >= 0.95
    assert np.median(distances) < 0.03
