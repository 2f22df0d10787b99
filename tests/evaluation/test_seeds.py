"""Noise of seeds against pooled formulas by hand, and intervals that cover as often as they say."""

import numpy as np
import pytest
from scipy import stats

from recsys.evaluation import SeedNoise, half_widths


def test_covariance_is_pooled_over_points(rng) -> None:
    value_PSK = rng.normal(size=(4, 3, 2))
    noise = SeedNoise.of(value_PSK)
    assert noise is not None
    assert noise.covariance_KK == pytest.approx(np.mean([np.cov(value_SK, rowvar=False) for value_SK in value_PSK], axis=0))
    assert (noise.freedom, noise.seeds) == (8, 3)


def test_one_seed_says_nothing() -> None:
    assert SeedNoise.of(np.zeros((5, 1, 2))) is None
    assert np.isnan(half_widths(np.zeros((5, 1, 2)), np.ones((5, 2)), confidence=0.95)).all()


def test_without_noise_of_users_the_interval_is_students() -> None:
    value_S = np.array([0.70, 0.71, 0.75])
    (half,) = SeedNoise.of(value_S.reshape(1, 3, 1)).half_width([0.0], confidence=0.9)
    assert half == pytest.approx(np.mean(value_S) - stats.t.interval(0.9, 2, np.mean(value_S), stats.sem(value_S))[0])


def test_without_noise_of_seeds_it_is_the_normal_one() -> None:
    (half,) = SeedNoise.of(np.ones((2, 2, 1))).half_width([0.04], confidence=0.95)
    assert half == pytest.approx(1.959964 * 0.2)


@pytest.mark.parametrize(("points", "seeds", "ratio"), [(2, 2, 1.0), (2, 2, 0.1), (5, 3, 3.0)])
def test_intervals_cover_as_often_as_they_say(rng, points, seeds, ratio) -> None:
    """Of the mean of the first point: noise of users is common to its seeds, that of a seed is its own. `ratio`: of their variances."""
    covered = []
    for _ in range(3000):
        users_P, own_PS = rng.normal(size=points), np.sqrt(ratio) * rng.normal(size=(points, seeds))
        value_PS = users_P[:, None] + own_PS
        (half,) = SeedNoise.of(value_PS[:, :, None]).half_width([1.0], confidence=0.95)
        covered.append(abs(value_PS[0].mean()) <= half)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_without_noise_of_seeds_few_users_have_students_interval() -> None:
    """That of the standard error of 20 numbers, whose replicates vary by (n − 1) / n less."""
    user_S = np.linspace(0, 1, 20) ** 2
    (half,) = SeedNoise.of(np.ones((2, 2, 1))).half_width([user_S.var() / 20], confidence=0.95, users=[20.0])
    assert half == pytest.approx(user_S.mean() - stats.t.interval(0.95, 19, user_S.mean(), stats.sem(user_S))[0])


@pytest.mark.parametrize("ratio", [0.1, 0.5])
def test_few_users_with_few_seeds_are_covered_as_often_as_said(rng, ratio) -> None:
    """Of 20 users and 3 seeds, the variance of both estimated: with the normal quantile of the users' part it would be .93."""
    users, times = 20, 4_000
    of_users_TU, of_seeds_TS = rng.normal(size=(times, users)), np.sqrt(ratio / users * 3) * rng.normal(size=(times, 3))
    covered = []
    for user_U, seed_S in zip(of_users_TU, of_seeds_TS, strict=True):
        value_S = user_U.mean() + seed_S
        (half,) = SeedNoise.of(value_S.reshape(1, 3, 1)).half_width([user_U.var() / users], confidence=0.95, users=[users])
        covered.append(abs(value_S.mean()) <= half)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.011)


def test_points_that_share_a_reference_are_fewer_than_they_seem(rng) -> None:
    """Gains over one reference run: as many independent points would know its noise; these do not, and would cover too seldom."""
    covered = {0.0: [], 0.5: []}
    for _ in range(4000):
        run_PS = rng.normal(size=(21, 3))
        gain_PS = run_PS[1:] - run_PS[0]
        for correlation, of_it in covered.items():
            noise = SeedNoise.of(gain_PS[:, :, None], correlation=correlation)
            (half,) = noise.half_width([0.0], confidence=0.95)
            of_it.append(abs(gain_PS[0].mean()) <= half)
    assert noise.freedom == pytest.approx(40 / (1 + 19 / 4))
    assert 0.94 < np.mean(covered[0.5]) < 0.975
    assert np.mean(covered[0.0]) < 0.935


def test_replicates_get_the_noise_of_seeds_on_top(rng) -> None:
    """Many degrees of freedom: the variance of the replicates is the sum of both, and numbers of one point move together."""
    covariance_KK = np.array([[4.0, 1.8], [1.8, 1.0]])
    value_PSK = rng.multivariate_normal([0, 0], covariance_KK, size=(300, 2))
    noise = SeedNoise.of(value_PSK)
    users_RPK = 0.5 * rng.normal(size=(20_000, 3, 2))
    both_RPK = noise.added_to(users_RPK, seed=1)
    expected_KK = noise.covariance_KK / 2 + 0.25 * np.eye(2)
    for place in range(3):
        assert np.cov(both_RPK[:, place], rowvar=False) == pytest.approx(expected_KK, abs=0.06)
    assert np.corrcoef(both_RPK[:, 0, 0], both_RPK[:, 1, 0])[0, 1] == pytest.approx(0, abs=0.03)
    assert (noise.added_to(users_RPK, seed=1) == both_RPK).all()
    low, high = np.quantile(SeedNoise.of(value_PSK[:1]).added_to(np.zeros((40_000, 1, 2)), seed=2)[:, 0, 0], [0.025, 0.975])
    (half, _) = SeedNoise.of(value_PSK[:1]).half_width([0.0, 0.0], confidence=0.95)  # one degree of freedom: far tails
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
