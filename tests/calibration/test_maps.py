"""The maps against scikit-learn's, against examples worked by hand, and against what every monotone map must do."""

import warnings

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import special
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from recsys.calibration import MOST_BINS, Isotonic, Platt, fit_expected, fit_isotonic, fit_platt


def sample(rng: np.random.Generator, rows: int = 2000, *, digits: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Predictions that are too sure of themselves, and labels; with `digits`, many ties."""
    logit = rng.normal(-1.5, 1.2, rows)
    label = (rng.random(rows) < special.expit(0.6 * logit - 0.3)).astype(float)
    predicted = special.expit(logit)
    return predicted if digits is None else predicted.round(digits), label


# --- Isotonic -----------------------------------------------------------------------------------------------------
def test_adjacent_violators_are_pooled_as_by_hand():
    """Means .3 → 1, .4 → 0 violate: pooled to ½. .5 → 0 violates that: pooled to ⅓ over three. .2 → 0 and .8 → 1 stand."""
    predicted, label = np.array([0.2, 0.3, 0.4, 0.5, 0.8]), np.array([0.0, 1.0, 0.0, 0.0, 1.0])
    found = fit_isotonic(predicted, label)
    assert found.predicted == (0.2, 0.3, 0.5, 0.8)
    assert found.calibrated == pytest.approx((0, 1 / 3, 1 / 3, 1))
    assert found(np.array([0.1, 0.25, 0.4, 0.65, 0.9])) == pytest.approx([0, 1 / 6, 1 / 3, 2 / 3, 1])


def test_rows_of_one_prediction_are_one_point_that_weighs_as_many():
    """.5 → ⅔ of three rows, .7 → 0 of one: pooled to 2/4."""
    found = fit_isotonic(np.array([0.5, 0.5, 0.5, 0.7]), np.array([1.0, 1.0, 0.0, 0.0]))
    assert found.calibrated == pytest.approx((0.5, 0.5))


def test_an_end_that_says_never_or_always_counts_one_row_of_its_neighbour():
    predicted, label = np.arange(1, 7) / 10, np.array([0.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    assert fit_isotonic(predicted, label)(predicted) == pytest.approx([0, 0, 1 / 2, 1 / 2, 1, 1])
    assert fit_isotonic(predicted, label, low=0, high=1)(predicted) == pytest.approx([1 / 6, 1 / 6, 1 / 2, 1 / 2, 5 / 6, 5 / 6])
    separated = fit_isotonic(predicted, np.array([0.0, 0, 0, 1, 1, 1]), low=0, high=1)
    assert separated(predicted) == pytest.approx([1 / 4] * 3 + [3 / 4] * 3)
    seconds = fit_isotonic(predicted, np.array([0.0, 0, 0, 30, 20, 60]), low=0)
    assert seconds(predicted) == pytest.approx([25 / 4] * 3 + [25, 25, 60])


@pytest.mark.parametrize("digits", [None, 2])
def test_isotonic_is_scikit_learns_away_from_the_ends(rng, digits):
    predicted, label = sample(rng, digits=digits)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(predicted, label)
    anywhere = np.linspace(-0.1, 1.1, 500)
    assert fit_isotonic(predicted, label)(anywhere) == pytest.approx(theirs.predict(anywhere), abs=1e-9)
    bounded = fit_isotonic(predicted, label, low=0, high=1)
    inside = anywhere[(anywhere > np.quantile(predicted, 0.2)) & (anywhere < np.quantile(predicted, 0.9))]
    assert bounded(inside) == pytest.approx(theirs.predict(inside), abs=1e-9)


def test_isotonic_of_values_is_scikit_learns(rng):
    value = rng.gamma(2.0, 20.0, 1500)
    label = np.where(rng.random(1500) < 0.3, 0.0, value * rng.gamma(2.0, 0.4, 1500))
    theirs = IsotonicRegression(out_of_bounds="clip").fit(value, label)
    assert fit_isotonic(value, label)(value) == pytest.approx(theirs.predict(value), abs=1e-9)


def test_isotonic_is_idempotent_monotone_and_right_in_sum(rng):
    predicted, label = sample(rng)
    once = fit_isotonic(predicted, label, low=0, high=1)
    calibrated = once(predicted)
    twice = fit_isotonic(calibrated, label, low=0, high=1)
    assert twice(calibrated) == pytest.approx(calibrated, abs=1e-12)
    assert (np.diff(once(np.sort(predicted))) >= 0).all()
    assert calibrated.sum() == pytest.approx(label.sum(), abs=1)  # the row that an end counts more
    assert fit_isotonic(predicted, label)(predicted).sum() == pytest.approx(label.sum())


# --- An expected label --------------------------------------------------------------------------------------------
def watched(rng: np.random.Generator, rows: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    """Outputs, and durations of which most are 0 and the others the longer the higher the output."""
    output = rng.normal(size=rows)
    return output, (rng.random(rows) < 0.3) * np.exp(output + rng.normal(size=rows))


def test_an_expected_label_is_scikit_learns_isotonic_regression_of_the_bins(rng):
    """5,000 rows in 50 bins of 100: a knot a pooled block, at the block's means, times one factor."""
    output, label = watched(rng)
    bins = np.argsort(output).reshape(MOST_BINS, -1)
    theirs = IsotonicRegression().fit_transform(np.arange(MOST_BINS), label[bins].mean(1))
    blocks = [theirs == value for value in np.unique(theirs)]
    found = fit_expected(output, label)
    assert found.predicted == pytest.approx([output[bins[block]].mean() for block in blocks])
    factors = np.array(found.calibrated) / [theirs[block][0] for block in blocks]
    assert factors == pytest.approx(np.full(len(blocks), factors[0]))
    assert factors[0] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("digits", [None, 1])
def test_expected_labels_add_up_and_never_fall(rng, weighted, digits):
    output, label = watched(rng)
    output = output if digits is None else output.round(digits)
    weight = rng.uniform(0.1, 3.0, len(label)) if weighted else np.ones(len(label))
    found = fit_expected(output, label, weight if weighted else None)
    assert weight @ found(output) == pytest.approx(weight @ label, rel=1e-12)
    inside = np.linspace(found.predicted[0], found.predicted[-1], 100)
    assert (np.diff(found(inside)) > 0).all()
    assert len(found.predicted) <= MOST_BINS


def test_rows_of_one_output_have_their_mean_and_few_rows_have_few_bins(rng):
    output, label = watched(rng, 39)
    for one in (fit_expected(np.zeros(39), label), fit_expected(output, label)):
        assert one.calibrated == pytest.approx([label.mean()])
    assert fit_expected(output, np.zeros(39)).calibrated == (0.0,)
    with pytest.raises(ValueError, match="found no row"):
        fit_expected(output[:0], label[:0])


# --- Platt --------------------------------------------------------------------------------------------------------
def test_platt_is_logistic_regression_on_his_targets(rng):
    """scikit-learn takes a target of .97 as a row of 1 that weighs .97 and one of 0 that weighs .03."""
    predicted, label = sample(rng)
    positives, negatives = label.sum(), (1 - label).sum()
    target = np.where(label > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    logit = special.logit(predicted)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
        theirs.fit(np.r_[logit, logit], np.r_[np.ones(len(label)), np.zeros(len(label))], sample_weight=np.r_[target, 1 - target])
    found = fit_platt(predicted, label)
    assert found.slope == pytest.approx(theirs.coef_.item(), rel=1e-4)
    assert found.intercept == pytest.approx(theirs.intercept_.item(), rel=1e-4)
    assert found(predicted) == pytest.approx(theirs.predict_proba(logit)[:, 1], abs=1e-5)


def test_platt_finds_the_truth_and_leaves_what_is_right(rng):
    predicted, label = sample(rng, 200_000)
    found = fit_platt(predicted, label)
    assert (found.slope, found.intercept) == (pytest.approx(0.6, abs=0.02), pytest.approx(-0.3, abs=0.04))
    again = fit_platt(found(predicted), label)
    assert (again.slope, again.intercept) == (pytest.approx(1, abs=1e-3), pytest.approx(0, abs=1e-3))


def test_platt_is_finite_where_a_threshold_separates_the_labels():
    predicted = np.linspace(0.01, 0.99, 200)
    found = fit_platt(predicted, (predicted > 0.5).astype(float))
    assert 0 < found(predicted).min() < 0.05
    assert 0.95 < found(predicted).max() < 1


@pytest.mark.parametrize("predicted", [np.full(200, 0.3), np.linspace(0.9, 0.1, 200)], ids=["constant", "the wrong way round"])
def test_platt_never_turns_the_order_round(predicted):
    label = (np.arange(200) >= 150).astype(float)
    found = fit_platt(predicted, label)
    assert found.slope == 0
    assert found(predicted) == pytest.approx([51 / 52 * 0.25 + 1 / 152 * 0.75] * 200)


# --- Both ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fit", [fit_isotonic, fit_platt])
def test_unknown_stays_unknown_and_what_was_saved_gives_the_same_bits(rng, fit):
    predicted, label = sample(rng)
    found = fit(predicted, label)
    assert np.isnan(found(np.array([np.nan, 0.5]))).tolist() == [True, False]
    loaded = type(found).model_validate_json(found.model_dump_json())
    assert loaded(predicted).tobytes() == found(predicted).tobytes()


@pytest.mark.parametrize(
    ("form", "values"),
    [
        (Isotonic, {"predicted": (0.1, 0.2), "calibrated": (0.3, 0.2)}),
        (Isotonic, {"predicted": (0.2, 0.1), "calibrated": (0.1, 0.2)}),
        (Isotonic, {"predicted": (0.1, 0.2), "calibrated": (0.1,)}),
        (Platt, {"slope": -1.0, "intercept": 0.0}),
    ],
)
def test_a_map_that_is_not_monotone_is_none(form, values):
    with pytest.raises(ValidationError):
        form(**values)
