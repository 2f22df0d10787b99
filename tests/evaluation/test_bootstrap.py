"""Replicates against literally resampled users, first-order influence against exact replicates, coverage by simulation."""

import numpy as np
import pytest

from recsys.evaluation import METRICS, Rows, UserDraws, interval, list_metric, percentile_interval
from recsys.evaluation.intervals.bootstrap import Interval, effective_number, replicate, whole_product
from recsys.evaluation.measured import measure
from recsys.evaluation.metrics import concordance, probability, ranking
from recsys.list_metrics import ListMetric
from tests.evaluation.samples import build_rows, random_rows, resample_users

EVERY = [(metric, kind) for metric in METRICS for kind in metric.kinds if kind != "watch_time"]


@pytest.mark.parametrize("replicates", [1, 2, 3, 20, 1000])
@pytest.mark.parametrize("missing", [0, 1, 19])
def test_bounds_are_numpys_quantiles_of_the_defined_replicates(replicates, missing, rng):
    values_R = rng.normal(0, 1, replicates) + 1e3
    values_R[rng.permutation(replicates)[:missing]] = np.nan
    found = percentile_interval(values_R, 0.0, confidence=0.9)
    if missing >= replicates:
        assert np.isnan(found[:2]).all()
    else:
        np.testing.assert_allclose(found[:2], np.nanquantile(values_R, [0.05, 0.95]), rtol=1e-14)


@pytest.mark.parametrize(
    ("metric", "kind"), [pair for pair in EVERY if pair[0].name != "ece"], ids=lambda value: getattr(value, "name", value)
)
def test_replicates_are_the_metric_of_resampled_users(metric, kind, rng):
    rows = random_rows(rng, kind, rows=200, users=25)
    draws = UserDraws(rows.users, 12, seed=3)
    (replicates_R,) = replicate([metric.estimate(rows)], draws, np.arange(rows.users))
    times_RU = np.concatenate(list(draws.blocks()))
    expected = [metric.estimate(resample_users(rows, times_U)).value() for times_U in times_RU]
    assert replicates_R == pytest.approx(expected, abs=1e-10)


def test_replicates_of_ece_keep_its_bins(rng):
    rows = random_rows(rng, "binary", rows=200, users=25)
    (ece,) = [metric for metric in METRICS if metric.name == "ece"]
    draws = UserDraws(rows.users, 5, seed=3)
    (replicates_R,) = replicate([ece.estimate(rows)], draws, np.arange(rows.users))
    bins = np.floor(rows.by_prediction.mid_rank * 15 / len(rows))
    for times_U, replicated in zip(np.concatenate(list(draws.blocks())), replicates_R, strict=True):
        weight = times_U[rows.user_N]
        excess = weight * (rows.prediction_N - rows.label_N)
        assert replicated == pytest.approx(sum(abs(excess[bins == one].sum()) for one in range(15)) / weight.sum())


@pytest.mark.parametrize(
    ("exact", "influence", "kind"),
    [
        (ranking._auc_exact, ranking._auc_influence, "binary"),
        (ranking._average_precision_exact, ranking._average_precision_influence, "binary"),
        (concordance._xauc_exact, concordance._xauc_influence, "regression"),
        (concordance._spearman_exact, concordance._spearman_influence, "regression"),
    ],
)
def test_influence_follows_the_exact_replicates(exact, influence, kind, rng):
    """Replicate by replicate; what the expansion leaves out is a small part of the spread at 400 users, and falls with more."""
    rows = random_rows(rng, kind, rows=3_000, users=400)
    draws = UserDraws(rows.users, 200, seed=0)
    exact_R, influence_R = replicate([exact(rows), influence(rows)], draws, np.arange(rows.users))
    assert np.corrcoef(exact_R, influence_R)[0, 1] > 0.99
    assert np.std(influence_R) == pytest.approx(np.std(exact_R), rel=0.1)
    assert np.sqrt(np.mean((influence_R - exact_R) ** 2)) < 0.15 * np.std(exact_R)


def test_with_few_positives_first_order_is_right_for_auc_and_not_for_average_precision(rng):
    """Why the second is exact up to ten times as many positives: what moves it is which negatives stand above the few."""
    user = np.minimum(rng.integers(0, 1_000, 20_000), rng.integers(0, 1_000, 20_000))
    score = rng.normal(size=1_000)[user] + rng.normal(size=20_000)
    label = rng.random(20_000) < 0.003 * np.exp(score - 1)
    rows = build_rows(label, score, user)
    assert label.sum() < 200
    of = [ranking._auc_exact, ranking._auc_influence, ranking._average_precision_exact, ranking._average_precision_influence]
    draws = UserDraws(rows.users, 300, seed=0)
    auc_R, auc_by_influence_R, precision_R, precision_by_influence_R = replicate([f(rows) for f in of], draws, np.arange(rows.users))
    assert np.sqrt(np.mean((auc_by_influence_R - auc_R) ** 2)) < 0.05 * np.std(auc_R)
    assert np.sqrt(np.mean((precision_by_influence_R - precision_R) ** 2)) > 0.2 * np.std(precision_R)


def test_draws_resample_all_users_and_repeat_for_a_seed():
    draws = UserDraws(50, 300, seed=5)
    times_RU = np.concatenate(list(draws.blocks()))
    assert times_RU.shape == (300, 50)
    assert (times_RU.sum(axis=1) == 50).all()
    assert times_RU.mean(axis=0) == pytest.approx(np.ones(50), abs=0.3)
    assert (np.concatenate(list(UserDraws(50, 300, seed=5).blocks())) == times_RU).all()
    assert (np.concatenate(list(UserDraws(50, 300, seed=6).blocks())) != times_RU).any()


def test_draws_too_large_to_keep_are_made_again(monkeypatch):
    kept = np.concatenate(list(UserDraws(40, 300, seed=1).blocks()))
    monkeypatch.setattr("recsys.evaluation.intervals.bootstrap.CACHED_BYTES", 100)
    draws = UserDraws(40, 300, seed=1)
    for _ in range(2):
        assert (np.concatenate(list(draws.blocks())) == kept).all()
    assert draws._cached is None


def test_small_blocks_change_nothing(rng, monkeypatch):
    rows = random_rows(rng, "binary")
    estimates = [ranking.auc(rows), ranking.gauc(rows), ranking.pr_auc(rows)]
    whole = replicate(estimates, UserDraws(rows.users, 50, seed=1), np.arange(rows.users))
    monkeypatch.setattr("recsys.evaluation.intervals.bootstrap.BLOCK_BYTES", 4 * len(rows) * 7)
    np.testing.assert_allclose(replicate(estimates, UserDraws(rows.users, 50, seed=1), np.arange(rows.users)), whole, rtol=1e-12)


def test_replicates_of_a_part_of_the_users_take_their_draws(rng):
    """The metric on some users' rows is resampled with those users' own columns of the draws."""
    part = np.array([1, 4, 5, 9])
    rows = build_rows(rng.integers(0, 2, 40), rng.random(40), np.repeat(np.arange(4), 10))
    draws = UserDraws(12, 6, seed=2)
    (replicates_R,) = replicate([ranking.auc(rows)], draws, part)
    times_RU = np.concatenate(list(draws.blocks()))[:, part]
    for replicated, times_U in zip(replicates_R, times_RU, strict=True):
        if times_U.sum():
            assert replicated == pytest.approx(ranking.auc(resample_users(rows, times_U)).value())
        else:
            assert np.isnan(replicated)


def test_interval_is_of_the_defined_replicates():
    replicates_R = np.r_[np.arange(99.0), np.nan]
    assert interval(replicates_R, 50.0, confidence=0.9) == Interval(pytest.approx(4.9), pytest.approx(93.1))
    assert interval(replicates_R, 20.0, confidence=0.9, centred=True).low == pytest.approx(20 - (49 - 4.9))


def test_interval_of_mostly_undefined_replicates_is_null_with_a_reason():
    replicates_R = np.r_[np.ones(90), np.full(10, np.nan)]
    low, high, reason = interval(replicates_R, 1.0, confidence=0.95)
    assert (low, high) == (None, None)
    assert "10 of 100 replicates are undefined" in reason


@pytest.mark.parametrize(
    ("replicates_R", "effective_users", "says"),
    [
        (np.zeros(0), None, "no replicates"),
        (np.arange(100.0), effective_number(np.array([7])), "too few users (1)"),
        (np.arange(100.0), 19.9, "too few users (19)"),
    ],
)
def test_where_nothing_varies_there_are_no_bounds(replicates_R, effective_users, says):
    low, high, reason = interval(replicates_R, 1.0, confidence=0.95, effective_users=effective_users)
    assert (low, high) == (None, None)
    assert says in reason


def test_effective_users_are_those_that_a_mean_rests_on():
    """40 users of ten rows, of whom three have both classes, in lists of five: AUC of three users is no steadier for the others."""
    user = np.repeat(np.arange(40), 10)
    label = np.where((user < 3) & (np.arange(400) % 5 == 0), 1.0, 0.0)
    rows = build_rows(label, np.arange(400) % 7, user, np.arange(400) // 5)
    metrics = [metric for metric in METRICS if metric.name in ("auc", "gauc", "gauc_list")] + [list_metric(ListMetric("captured", k=2))]
    found = measure(metrics, rows, UserDraws(40, 50, seed=1), np.arange(40))
    assert [each.effective_users for each in found] == pytest.approx([3, 3, 3, 3])


def test_a_mean_that_rests_on_one_user_has_no_interval():
    user = np.repeat(np.arange(3), 4)
    rows = build_rows(np.r_[1, 0, 0, 1, np.zeros(8)], np.arange(12) % 5, user)
    (found,) = measure([metric for metric in METRICS if metric.name == "gauc"], rows, UserDraws(3, 50, seed=1), np.arange(3))
    assert found.interval(confidence=0.95, centred=False) == Interval(None, None, "too few users (1)")


def clustered_log(rng: np.random.Generator, users: int) -> Rows:
    """3 to 12 impressions a user, who has a level of his own in the score and another in the label."""
    user = np.repeat(np.arange(users), rng.integers(3, 13, users))
    score = 2 * rng.normal(size=users)[user] + rng.normal(size=len(user))
    logit = 0.5 * score + 2 * rng.normal(size=users)[user]
    return build_rows(rng.random(len(user)) < 1 / (1 + np.exp(-logit)), score, user)


def coverage(metric, truth: float, cluster) -> float:
    """How often, of 120 logs of 80 users, the 95 % interval holds the truth."""
    covered = []
    for seed in range(120):
        rows = cluster(clustered_log(np.random.default_rng(seed), 80))
        estimate = metric(rows)
        (replicates_R,) = replicate([estimate], UserDraws(rows.users, 200, seed), np.arange(rows.users))
        low, high, _ = interval(replicates_R, estimate.value(), confidence=0.95)
        covered.append(low <= truth <= high)
    return float(np.mean(covered))


@pytest.mark.parametrize("metric", [ranking.auc, ranking._auc_influence, ranking.gauc, probability.calibration])
def test_intervals_cover_the_value_of_a_very_large_log(metric):
    truth = metric(clustered_log(np.random.default_rng(99), 20_000)).value()
    assert 0.88 <= coverage(metric, truth, lambda rows: rows) <= 0.99


def test_intervals_that_took_rows_for_independent_would_not(rng):
    truth = ranking.auc(clustered_log(np.random.default_rng(99), 20_000)).value()
    assert coverage(ranking.auc, truth, lambda rows: build_rows(rows.label_N, rows.prediction_N)) < 0.8


@pytest.mark.parametrize("times", [1, 4])
def test_products_of_whole_numbers_are_exact_on_either_side_of_float32(times: int):
    rng = np.random.default_rng(0)
    weights_RU, whole_UM = rng.integers(0, 9, (50, 5_000)), rng.integers(0, 900, (5_000, 7)) * times
    whole_UM[0], weights_RU[:, 0] = 1, 1  # so that some sums are odd, and beyond 2²⁴ no number of float32
    expected_RM = weights_RU @ whole_UM
    assert (expected_RM.max() > 1 << 24) == (times == 4)
    found_RM = whole_product(weights_RU, whole_UM.astype(np.float32), largest=int(expected_RM.max()))
    np.testing.assert_array_equal(found_RM, expected_RM)
