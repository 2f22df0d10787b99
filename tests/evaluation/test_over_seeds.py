"""Means over seeds, gains over a reference and differences to the mean of all, against formulas by hand."""

import numpy as np
import pytest
from scipy import stats

from recsys.evaluation import Contestants, Paired, backtest_rows, judged_by
from recsys.evaluation.measured import Measured, difference
from recsys.evaluation.over_seeds import gains, means, relative
from recsys.objectives import Objective

OPTIONS = {"confidence": 0.95, "centred": False}


def runs(value_PS, noise_R=(-1e-9, 1e-9) * 20, own=0.0, rng=None):
    """Runs of these values. All share the users' noise; a share `own` of each run's replicates is its own."""
    noise_R = np.asarray(noise_R)

    def one(value):
        mine_R = own * rng.normal(size=noise_R.shape) if own else 0.0
        return Measured(value, 1.0, "bootstrap", value + noise_R + mine_R, effective_users=50.0)

    return [[one(value) for value in value_S] for value_S in value_PS]


def test_a_mean_adds_the_variance_over_users_and_the_pooled_one_over_seeds(rng) -> None:
    value_PS, noise_R = np.array([[0.70, 0.72, 0.71], [0.60, 0.60, 0.66]]), rng.normal(0, 0.02, 1000)
    found = means(runs(value_PS, noise_R), **OPTIONS)
    of_users, of_seeds = noise_R.var(ddof=1) * 50 / 49, value_PS.var(axis=1, ddof=1).mean() / 3  # 50 effective users
    freedom = (of_users + of_seeds) ** 2 / (of_users**2 / 49 + of_seeds**2 / 4)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(of_users + of_seeds)
    for (value, (low, high, _)), value_S in zip(found, value_PS, strict=True):
        assert (value, low, high) == pytest.approx((value_S.mean(), value_S.mean() - half, value_S.mean() + half))


def test_a_gain_is_paired_by_seed_and_its_interval_pools_the_variance() -> None:
    found = gains(runs([[0.5, 0.6, 0.7], [0.6, 0.7, 0.8], [0.4, 0.6, 0.8]]), **OPTIONS)
    assert [value for value, _ in found] == pytest.approx([0.1, 0.0])
    pooled = (0.0 + np.var([-0.1, 0.0, 0.1], ddof=1)) / 2
    half = stats.t.ppf(0.975, 4 / 1.25) * np.sqrt(pooled / 3)  # 2 (3 − 1) degrees, less for a correlation of 1/2
    assert [high - value for value, (_, high, _) in found] == pytest.approx([half, half], rel=1e-6)


def test_gains_over_one_run_are_independent_of_one_another() -> None:
    """A baseline is trained once: it adds no noise of seeds, and the points' own is known from as many degrees of freedom as without it."""
    points = [[0.6, 0.7, 0.8], [0.4, 0.6, 0.8], [0.5, 0.5, 0.8]]
    found = backtest_rows(
        Paired(
            tuple("abcdefghij"),
            judged_by([Objective(name="like")]),
            tuple((one,) for of_seeds in runs([*points, [0.5]]) for one in of_seeds),
            (50,),
            (500,),
        ),
        Contestants({"a": [0, 1, 2], "b": [3, 4, 5], "c": [6, 7, 8]}, {"trees": 9}),
        day=None,
        confidence=0.95,
    )
    own, above = ([row for row in rows if row["run"] in "abc"] for rows in _parted(list(found)))
    half = stats.t.ppf(0.975, 6) * np.sqrt(np.var(points, axis=1, ddof=1).mean() / 3)
    for rows in (own, above):
        assert [(row["high"] - row["low"]) / 2 for row in rows] == pytest.approx([half] * 3, rel=1e-6)


def _parted(rows: list[dict]) -> tuple[list[dict], list[dict]]:
    """The values, and the differences to the trees."""
    return [row for row in rows if row["against"] is None], [row for row in rows if row["against"] == "trees"]


def test_without_noise_of_users_one_gain_has_the_interval_of_a_paired_t_test() -> None:
    alone, together = [0.50, 0.61, 0.72], [0.55, 0.63, 0.78]
    ((_, (low, high, _)),) = gains(runs([alone, together]), confidence=0.9, centred=False)
    expected = stats.ttest_rel(together, alone).confidence_interval(0.9)
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-6)


def test_intervals_of_gains_cover_as_often_as_they_say(rng) -> None:
    """Gains of nothing: runs have noise of their own, the reference's included, and the test users favour some points over others."""
    covered = []
    for _ in range(600):
        of_users_P, value_PS = rng.normal(0, 0.01, 4), rng.normal(0.7, 0.01, (4, 3))
        replicates = [
            [Measured(v + u, 1.0, "bootstrap", v + u + noise_R) for v in value_S]
            for value_S, u, noise_R in zip(value_PS, of_users_P, rng.normal(0, 0.01, (4, 200)), strict=True)
        ]
        covered += [low <= 0 <= high for _, (low, high, _) in gains(replicates, **OPTIONS)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_one_seed_has_the_interval_over_users_of_one_difference(rng) -> None:
    measured = runs([[0.5], [0.6]], rng.normal(0, 0.1, 500), own=0.01, rng=rng)
    ((value, found),) = gains(measured, **OPTIONS)
    above = difference(measured[1][0], measured[0][0], "alone")
    assert (value, found) == (above.value, above.interval(**OPTIONS))
    assert found.low < 0.1 < found.high


def test_what_is_undefined_in_a_run_has_no_mean_and_leaves_the_others_theirs() -> None:
    value_PS = [[0.5, 0.6], [0.6, 0.8], [0.7, 0.8]]
    whole, broken = runs(value_PS), runs(value_PS)
    broken[1][1] = Measured(None, reason="no positives")
    (_, (*_, reason)), other = gains(broken, **OPTIONS)
    assert reason == "no positives"
    assert other == gains([whole[0], whole[2]], **OPTIONS)[0]
    whole[0][0] = Measured(None, reason="no positives")
    assert [value for value, _ in gains(whole, **OPTIONS)] == [None, None]


def test_of_two_points_each_is_half_their_difference_from_the_mean(rng) -> None:
    measured = runs(rng.normal(size=(2, 3)), rng.normal(size=300), own=0.5, rng=rng)
    ((gain, (low, high, _)),) = gains(measured, **OPTIONS)
    first, second = relative(measured, **OPTIONS)
    assert (2 * second[0], 2 * second[1].low, 2 * second[1].high) == pytest.approx((gain, low, high))
    assert (-2 * first[0], -2 * first[1].high, -2 * first[1].low) == pytest.approx((gain, low, high))


@pytest.mark.parametrize("points", [1, 2, 5])
def test_what_a_seed_does_to_all_points_is_in_no_difference(points, rng) -> None:
    value_PS = rng.normal(size=(points, 4))
    measured = runs(value_PS)
    moved = runs(value_PS + np.array([1.0, -3.0, 0.5, 9.0]))
    for found, other in zip(relative(measured, **OPTIONS), relative(moved, **OPTIONS), strict=True):
        assert found[0] == pytest.approx(other[0])
        assert found[1][:2] == pytest.approx(other[1][:2], abs=1e-6)
    assert sum(value for value, _ in relative(measured, **OPTIONS)) == pytest.approx(0)
    residual = value_PS - value_PS.mean(axis=1, keepdims=True) - value_PS.mean(axis=0) + value_PS.mean()
    free = (points - 1) * 3  # of an analysis of variance with points and seeds
    half = 0.0 if points == 1 else stats.t.ppf(0.975, free) * np.sqrt((residual**2).sum() / free * (1 - 1 / points) / 4)
    assert [high - value for value, (_, high, _) in relative(measured, **OPTIONS)] == pytest.approx([half] * points, abs=1e-6)
