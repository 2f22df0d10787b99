"""The study in small, and its ways to an interval against SciPy's."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recsys.evaluation import UserDraws
from recsys.evaluation.intervals.bootstrap import Sums, replicate
from studies.bootstrap_coverage import WAYS, bca, bootstrap_t, coverages, figure, intervals, rows_by_user, simulate, truth

USERS = 80


@pytest.fixture
def mean(rng: np.random.Generator) -> tuple[np.ndarray, Sums]:
    """A mean of skewed numbers as sums over users of one row each."""
    values = rng.exponential(1, USERS)
    return values, Sums(np.column_stack([values, np.ones(USERS)]), lambda sums: sums[..., 0] / sums[..., 1])


def test_bca_is_scipys_on_a_mean(mean):
    values, sums = mean
    (replicates_R,) = replicate([sums], UserDraws(USERS, 20_000, seed=0), np.arange(USERS))
    without_U = values.mean() - (values.sum() - values) / (USERS - 1)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=1, vectorized=True).confidence_interval
    width = theirs.high - theirs.low
    assert bca(values.mean(), replicates_R, without_U) == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)


def test_bootstrap_t_studentises_by_the_error_of_a_mean(mean):
    values, sums = mean
    draws = UserDraws(USERS, 2_000, seed=0)
    weights_RU = np.concatenate(list(draws.blocks())).astype(float)
    means_R = weights_RU @ values / USERS
    errors_R = np.sqrt(weights_RU @ values**2 / USERS - means_R**2) / np.sqrt(USERS)
    high, low = np.quantile((means_R - values.mean()) / errors_R, [0.025, 0.975])
    error = values.std() / np.sqrt(USERS)
    expected = (values.mean() - low * error, values.mean() - high * error)
    assert bootstrap_t(values.mean(), sums, draws) == pytest.approx(expected, rel=1e-4)


def test_the_jackknife_of_a_mean_is_students_interval(mean):
    values, sums = mean
    draws = UserDraws(USERS, 100, seed=0)
    (replicates_R,) = replicate([sums], draws, np.arange(USERS))
    found = intervals(values.mean(), replicates_R, sums, draws, effective=USERS)["jackknife t"]
    assert found == pytest.approx(stats.t.interval(0.95, USERS - 1, values.mean(), stats.sem(values)), rel=1e-9)


@pytest.mark.parametrize("size", ["equal", "log-normal"])
def test_in_small_it_covers_about_as_often_as_it_says(size):
    true = truth(size, of_users=100, users=20_000, logs=1)
    rows = [row for seed in range(60) for row in simulate(size, seed, true, users=100, replicates=200)]
    table = coverages(pd.DataFrame(rows)).set_index(["metric", "way"])["coverage"]
    assert len(table) == 4 * len(WAYS)
    assert (table.xs("expanded", level="way") >= 0.85).all()  # of 60 at 95 %, fewer than 51 come once in 10,000 times
    assert figure(coverages(pd.DataFrame(rows))).to_dict()["spec"]["layer"]


def test_rare_positives_are_as_rare_as_they_are_called_and_the_expanded_interval_is_wider():
    true = truth("rare 25", of_users=100, users=20_000, logs=1)
    rows = [row for seed in range(40) for row in simulate("rare 25", seed, true, users=100, replicates=200)]
    found = pd.DataFrame(rows).query("metric == 'auc'")
    assert set(found["way"]) == {"expanded", "percentile"}
    assert found["effective_users"].mean() == pytest.approx(17, abs=4)  # 25 positives of 100 users, some of whom have several
    width = (found["high"] - found["low"]).groupby(found["way"]).mean()
    assert width["expanded"] > 1.05 * width["percentile"]
    assert "rare, 20 or more effective" in set(coverages(pd.DataFrame(rows))["size"])


def test_zipfs_law_gives_few_effective_users(rng):
    rows_U = rows_by_user("zipf", rng, 500)
    assert rows_U.sum() ** 2 / (rows_U.astype(float) ** 2).sum() < 60
    assert rows_by_user("equal", rng, 5).tolist() == [20] * 5
