"""Levels that fit their expected value: against a general optimiser, and at the ends of the scale."""

import numpy as np
import pytest
from scipy import optimize

from recsys.calibration.levels import tilted

LEVELS = (1.0, 2.0, 4.0, 5.0)


@pytest.fixture
def probability_NL(rng):
    return rng.dirichlet([0.5, 1.0, 2.0, 0.7], 300)


def test_the_means_are_met_by_distributions(rng, probability_NL):
    mean_N = rng.uniform(1.0001, 4.9999, 300)
    found_NL = tilted(probability_NL, LEVELS, mean_N)
    assert found_NL.sum(axis=1) == pytest.approx(np.ones(300))
    assert (found_NL >= 0).all()
    assert found_NL @ LEVELS == pytest.approx(mean_N, abs=1e-9)


def test_what_fits_already_stays(probability_NL):
    assert tilted(probability_NL, LEVELS, probability_NL @ LEVELS) == pytest.approx(probability_NL, abs=1e-9)


def test_no_other_distribution_with_that_mean_is_nearer(rng, probability_NL):
    """The least KL divergence, found without knowing its form."""
    p_L, mean = probability_NL[0], 3.0
    constraints = [{"type": "eq", "fun": lambda q: q.sum() - 1}, {"type": "eq", "fun": lambda q: q @ LEVELS - mean}]
    found = optimize.minimize(
        lambda q: np.sum(q * np.log(q / p_L)), np.full(4, 0.25), bounds=[(1e-9, 1)] * 4, constraints=constraints, options={"ftol": 1e-14}
    )
    assert tilted(p_L[None], LEVELS, np.array([mean]))[0] == pytest.approx(found.x, abs=1e-5)


def test_a_certain_prediction_can_move_and_an_unknown_mean_stays_unknown():
    certain_NL = np.array([[1.0, 0.0, 0.0, 0.0]] * 2)
    found_NL = tilted(certain_NL, LEVELS, np.array([4.5, np.nan]))
    assert found_NL[0] @ LEVELS == pytest.approx(4.5)
    assert np.isnan(found_NL[1]).all()
