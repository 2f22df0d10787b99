"""Scales of the history's signals, each worked by hand."""

import numpy as np
import pytest

from recsys.encoding.history import ScalesFitter, SignalScale, signal_names, transform


def fit(name: str, *parts: list[float]) -> SignalScale:
    fitter = ScalesFitter([name])
    for part in parts:
        fitter.add(name, np.array(part, np.float64))
    (scale,) = fitter.scales()
    return scale


def test_a_signal_of_zeros_and_ones_stays_as_it_is() -> None:
    scale = fit("history.is_click", [0.0, 1.0], [1.0])
    np.testing.assert_array_equal(scale.transform(np.array([0.0, 1.0, np.nan, 7.0])), [0.0, 1.0, 0.0, 1.0])


def test_other_signals_are_logarithms_in_units_of_their_root_mean_square() -> None:
    scale = fit("history.play_time_ms", [0.0, np.expm1(1.0)], [np.expm1(7.0)])
    size = np.sqrt((0 + 1 + 49) / 3)
    values = np.array([0.0, np.expm1(1.0), np.expm1(7.0), 1e30, -5.0, np.nan])
    np.testing.assert_allclose(scale.transform(values), [0.0, 1 / size, 7 / size, 7 / size, 0.0, 0.0])


def test_the_age_is_standardised_and_clipped_to_the_range_of_training() -> None:
    scale = fit("history.age", [2.0, 4.0], [6.0])
    spread = np.sqrt(8 / 3)
    np.testing.assert_allclose(scale.transform(np.array([4.0, 6.0, 99.0, 0.0])), [0.0, 2 / spread, 2 / spread, -2 / spread])


@pytest.mark.parametrize("name", ["history.age", "history.play_time_ms"])
def test_a_constant_signal_and_one_never_known_are_finite(name: str) -> None:
    for scale in (fit(name, [5.0, 5.0]), fit(name, [np.nan]), fit(name, []), fit(name)):
        assert np.isfinite(scale.transform(np.array([0.0, 5.0, 1e9, np.nan]))).all()


def test_a_signal_that_was_null_in_training_has_an_indicator() -> None:
    scales = (fit("history.survey", [np.nan, 4.0]), fit("history.is_click", [1.0]))
    assert signal_names(scales) == ("history.survey", "history.is_click", "history.survey?")
    got = transform(scales, {"history.survey": np.array([np.nan, 4.0]), "history.is_click": np.array([1.0, 0.0])})
    np.testing.assert_allclose(got, [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    assert got.dtype == np.float32
