import numpy as np
import pytest

from studies.intervals import bootstrap, share


def test_a_share_has_wilson_s_interval():
    found = share(2, 10)
    z, p, n = 1.959964, 0.2, 10
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert found == pytest.approx((p, middle - half, middle + half), abs=1e-6)
    assert share(0, 20).low == 0.0
    assert share(0, 20).high > 0.1


def test_the_bootstrap_of_a_mean_is_near_its_normal_interval(rng):
    values = rng.standard_normal(400)
    found = bootstrap("mean", values)
    half = 1.96 * values.std(ddof=1) / 20
    assert found == pytest.approx((values.mean(), values.mean() - half, values.mean() + half), abs=0.01)
    assert bootstrap("mean", values) == found


def test_two_samples_are_resampled_together(rng):
    """The difference of what differs by a constant has no spread at all."""
    values = rng.standard_normal(30)
    assert bootstrap("median", values + 2.0, values) == pytest.approx((2.0, 2.0, 2.0))
    assert bootstrap("deviation", 3.0 * values, values).low > 0
