"""Probabilities of levels against the definitions in the literature, and by hand."""

import math

import numpy as np
import pytest

from recsys.evaluation.inputs.rows import level_of
from recsys.evaluation.intervals.bootstrap import Undefined
from recsys.evaluation.metrics import probability, ranked_probability
from tests.evaluation.samples import LEVELS, build_rows


def build(label, probabilities, levels=LEVELS):
    return build_rows(label, np.asarray(probabilities) @ np.asarray(levels), levels=levels, probability=probabilities)


def epstein(place: int, p: np.ndarray) -> float:
    """The score of Epstein (J. Appl. Meteorol. 8, 1969) of a forecast where category `place` came about: 1 is best, 0 worst."""
    k = len(p)
    both = sum(p[: i + 1].sum() ** 2 + p[i + 1 :].sum() ** 2 for i in range(k - 1))
    return 1.5 - both / (2 * (k - 1)) - sum(abs(i - place) * p[i] for i in range(k)) / (k - 1)


@pytest.mark.parametrize("levels", [(0.0, 1.0), (1.0, 2.0, 5.0), LEVELS])
def test_rps_is_one_minus_epsteins_score(levels, rng):
    p = rng.dirichlet(np.ones(len(levels)), size=50)
    place = rng.integers(len(levels), size=50)
    found = ranked_probability.rps(build(np.array(levels)[place], p, levels)).value()
    assert found == pytest.approx(np.mean([1 - epstein(at, each) for at, each in zip(place, p, strict=True)]))


def test_rps_by_hand_and_what_is_near_costs_less():
    near, far = ([[0, 0, 0, 0.5, 0.5]], [[0.5, 0, 0, 0, 0.5]])
    assert ranked_probability.rps(build([5], near)).value() == pytest.approx(0.25 / 4)
    assert ranked_probability.rps(build([5], far)).value() == pytest.approx(4 * 0.25 / 4)
    assert ranked_probability.rps(build([1], [[0, 0, 0, 0, 1]])).value() == 1
    assert probability.log_loss(build([5], near)).value() == probability.log_loss(build([5], far)).value() == pytest.approx(math.log(2))


def test_rps_of_two_levels_is_the_brier_score(rng):
    p = rng.random(40)
    label = (rng.random(40) < p).astype(float)
    rows = build(label, np.column_stack([1 - p, p]), (0.0, 1.0))
    assert ranked_probability.rps(rows).value() == pytest.approx(np.mean((p - label) ** 2))
    assert probability.log_loss(rows).value() == pytest.approx(probability.log_loss(build_rows(label, p)).value())


def test_a_level_that_was_ruled_out_costs_the_log_of_the_clip():
    assert probability.log_loss(build([1], [[0, 0, 0, 0, 1]])).value() == pytest.approx(-math.log(1e-12))


@pytest.mark.parametrize("metric", [ranked_probability.rps, probability.log_loss])
@pytest.mark.parametrize(
    ("probabilities", "reason"),
    [
        (None, "the run gives no probabilities of levels"),
        ([[0.2] * 5, [0.3] * 5], "not probabilities: in 1 of 2 rows the levels' are below 0 or do not sum to 1"),
        ([[0.2] * 5, [-0.5, 1.5, 0, 0, 0]], "not probabilities: in 1 of 2 rows the levels' are below 0 or do not sum to 1"),
    ],
)
def test_without_probabilities_there_is_a_reason(metric, probabilities, reason):
    assert metric(build_rows([1, 2], [1.0, 2.0], levels=LEVELS, probability=probabilities)) == Undefined(reason)


def test_probabilities_that_a_file_rounded_are_judged():
    assert ranked_probability.rps(build([3], [[0.333, 0, 0.333, 0, 0.333]])).value() == pytest.approx((2 * 0.333**2 * 2) / 4, rel=0.01)


def test_labels_are_found_among_the_levels_as_examples_hold_them():
    labels = np.array([0.1, 0.7, 0.5, 0.0, 2.0], np.float32).astype(float)
    assert level_of(labels, (0.1, 0.7, 2.0)).tolist() == [0, 1, -1, -1, 2]
    assert level_of(np.array([np.nan, np.inf]), (0.0, 1.0)).tolist() == [-1, -1]
