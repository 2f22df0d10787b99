"""Likelihood and calibration against scikit-learn and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve as sklearn_curve
from sklearn.metrics import log_loss as sklearn_log_loss

from recsys.evaluation import calibration_curve
from recsys.evaluation.intervals.bootstrap import Undefined
from recsys.evaluation.metrics import probability
from tests.evaluation.samples import build_rows


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=50))
def test_log_loss_agrees_with_scikit_learn(sample):
    label, predicted = (np.array(column, float) for column in zip(*sample, strict=True))
    expected = sklearn_log_loss(label, np.clip(predicted, 1e-12, 1 - 1e-12), labels=[0, 1])
    assert probability.log_loss(build_rows(label, predicted)).value() == pytest.approx(expected, rel=1e-6)


def test_a_certain_mistake_costs_the_log_of_the_clip():
    assert probability.log_loss(build_rows([1], [0])).value() == pytest.approx(-math.log(1e-12))
    assert probability.log_loss(build_rows([0], [1])).value() == pytest.approx(-math.log(1e-12), rel=1e-4)
    assert probability.log_loss(build_rows([0, 1], [0, 1])).value() == pytest.approx(0, abs=1e-11)


def test_normalized_entropy_of_the_training_rate_is_one_where_the_rate_still_holds():
    label = [1, 0, 0, 0]
    assert probability.normalized_entropy(build_rows(label, [0.25] * 4, train_mean=0.25)).value() == pytest.approx(1)
    rows = build_rows(label, [0.9, 0.2, 0.1, 0.1], train_mean=0.4)
    entropy = -0.4 * math.log(0.4) - 0.6 * math.log(0.6)
    assert probability.normalized_entropy(rows).value() == pytest.approx(probability.log_loss(rows).value() / entropy)


@pytest.mark.parametrize("rate", [None, 0.0, 1.0])
def test_normalized_entropy_without_a_usable_rate_has_a_reason(rate):
    undefined = probability.normalized_entropy(build_rows([0, 1], [0.5, 0.5], train_mean=rate))
    assert isinstance(undefined, Undefined)
    assert "training rate" in undefined.reason


def test_scores_outside_0_to_1_have_no_likelihood():
    rows = build_rows([0, 1, 1], [-0.5, 0.5, 2.0], train_mean=0.5)
    for metric in (probability.log_loss, probability.normalized_entropy, probability.ece):
        assert metric(rows) == Undefined("not a probability: 2 of 3 predictions lie outside [0, 1]")


def test_calibration_is_predicted_over_observed():
    assert probability.calibration(build_rows([1, 0, 1, 0], [0.9, 0.1, 0.9, 0.5])).value() == pytest.approx(1.2)
    assert probability.calibration(build_rows([0, 0], [0.1, 0.2])) == Undefined("the labels do not sum to a positive number")


def test_ece_agrees_with_scikit_learns_quantile_bins(rng):
    predicted = rng.random(1500)
    label = rng.random(1500) < predicted**2
    observed, mean = sklearn_curve(label, predicted, n_bins=15, strategy="quantile")
    assert probability.ece(build_rows(label, predicted)).value() == pytest.approx(np.abs(observed - mean).mean(), abs=2e-3)


def test_tied_predictions_share_a_bin():
    """However the rows are ordered, a constant prediction has one bin: |mean label − prediction|."""
    label = np.array([1, 0, 0, 0, 0] * 20)
    for order in (np.argsort(label), np.argsort(-label)):
        assert probability.ece(build_rows(label[order], np.full(100, 0.3))).value() == pytest.approx(0.1)


def test_calibration_curve_by_hand():
    curve = calibration_curve(np.array([0, 1, 0, 1, 1, np.nan]), np.array([0.1, 0.2, 0.3, 0.8, 0.9, 0.5]), bins=2)
    assert curve["n"].tolist() == [2, 3]
    assert curve["mean_predicted"].tolist() == pytest.approx([0.15, 2.0 / 3])
    assert curve["mean_observed"].tolist() == pytest.approx([0.5, 2 / 3])
    z = 1.959964  # Wilson's interval of 2 in 3
    middle, half = (2 / 3 + z**2 / 6) / (1 + z**2 / 3), z / (1 + z**2 / 3) * math.sqrt(2 / 27 + z**2 / 36)
    assert curve[["low", "high"]].to_numpy()[1] == pytest.approx([middle - half, middle + half])


def test_calibration_curve_of_numbers_uses_standard_errors(rng):
    curve = calibration_curve(np.array([2.0, 4.0, 9.0]), np.array([1.0, 1.0, 5.0]), bins=2)
    assert curve["mean_observed"].tolist() == [3, 9]
    assert curve["high"].iloc[0] == pytest.approx(3 + 1.959964 * 1.0)
    assert np.isnan(curve["high"].iloc[1])


def test_calibration_curve_covers_the_truth(rng):
    predicted = rng.random(20_000)
    curve = calibration_curve((rng.random(20_000) < predicted).astype(float), predicted, bins=40)
    covered = (curve["low"] <= curve["mean_predicted"]) & (curve["mean_predicted"] <= curve["high"])
    assert covered.mean() >= 0.85


def test_calibration_curve_refuses_what_it_cannot_bin():
    with pytest.raises(ValueError, match="one length"):
        calibration_curve(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="1 predictions"):
        calibration_curve(np.zeros(2), np.array([0.1, np.nan]))
    with pytest.raises(ValueError, match="bins is 0"):
        calibration_curve(np.zeros(2), np.zeros(2), bins=0)


def test_a_curve_of_other_predictions_keeps_the_bins_it_is_asked_for(rng):
    before, label = rng.random(300), (rng.random(300) < 0.3).astype(float)
    after = np.round(before**2, 1)  # ties, which would make bins of their own
    first, second = calibration_curve(label, before, bins=10), calibration_curve(label, after, bins=10, by=before)
    assert second[["mean_observed", "n", "low", "high"]].equals(first[["mean_observed", "n", "low", "high"]])
    assert second["mean_predicted"].to_numpy() == pytest.approx([part.mean() for part in np.split(after[np.argsort(before)], 10)])
    with pytest.raises(ValueError, match="of one length"):
        calibration_curve(label, after, by=before[1:])
