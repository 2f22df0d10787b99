"""Rounds and learning rates, against the words that define them."""

import itertools
import math
from dataclasses import replace

import pytest

from recsys.config import Negatives, Train
from recsys.encoding import Period, Thinning
from recsys.objectives import Objective
from recsys.training.pace import pace_of
from recsys.training.rounds import day_rounds, learned, learning_rate_share, rounds, thinning

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]  # the first is day 19,723 since 1970
FOLLOWING = {DAYS[0]: DAYS[1], DAYS[1]: DAYS[2], DAYS[2]: "2024-01-08"}


def test_thinning_is_of_the_objective_by_its_place_and_absent_without_the_option() -> None:
    objectives = [Objective(name=name, label="x") for name in ("like", "click")]
    assert thinning(Train(), objectives, 3) is None
    assert thinning(Train(negatives=Negatives(objective="click", keep=0.2)), objectives, 3) == Thinning(1, 0.2, 3)


def test_shuffled_rounds_hold_all_days() -> None:
    pace = pace_of(Train(order="shuffled", passes=3), 1000)
    plan = rounds(pace, DAYS, FOLLOWING)
    assert [(this.days, this.number) for this in plan] == [(tuple(DAYS), n) for n in range(3)]
    assert {this.known for this in plan} == {Period(until=19_730)}, "what is known before 2024-01-08"
    assert {this.known for this in rounds(pace, DAYS, {**FOLLOWING, DAYS[-1]: None})} == {Period()}


def test_in_time_order_a_days_rounds_learn_what_becomes_known_from_the_end_of_the_last_one_up_to_its_own() -> None:
    """Half-open, one after another without a gap, whatever day comes next."""
    train = Train(order="time", day_passes=2)
    first, second = day_rounds(train, pace_of(train, 1000), DAYS[0], "", ())
    assert (first.days, first.known, first.earlier) == ((DAYS[0],), Period(0, 19_724), ())
    assert second == replace(first, number=1)
    (later, _) = day_rounds(train, pace_of(train, 1000), "2024-01-08", DAYS[0], DAYS[:1])
    assert (later.known, later.earlier) == (Period(19_724, 19_731), (DAYS[0],))
    dropping = Train(order="time", late="drop")
    assert not any(this.earlier for this in day_rounds(dropping, pace_of(dropping, 1000), DAYS[1], DAYS[0], DAYS[:1]))


def test_what_has_been_learned_of_the_first_days() -> None:
    assert learned(Train(order="time"), DAYS[:2], FOLLOWING) == [Period(until=19_725)] * 2
    assert learned(Train(order="shuffled", late="drop"), DAYS, FOLLOWING) == [Period(until=19_730)] * 3
    assert learned(Train(order="time", late="drop"), DAYS[:2], FOLLOWING) == [Period(until=19_724), Period(until=19_725)]


def test_warm_up_is_linear_over_two_percent_then_half_a_cosine_to_zero() -> None:
    train, steps = Train(order="shuffled", schedule="cosine"), 1000
    shares = [learning_rate_share(train, step, steps) for step in range(steps)]
    for step in range(20):
        assert shares[step] == pytest.approx((step + 1) / 20, rel=2e-3)
    for step in range(20, steps):
        assert shares[step] == pytest.approx(math.cos(math.pi * step / steps / 2) ** 2)
    assert shares[-1] < 1e-5
    assert all(later < earlier for earlier, later in itertools.pairwise(shares[20:]))


def test_constant_schedules_stay_at_the_full_rate() -> None:
    constant = Train(order="shuffled", schedule="constant")
    assert {learning_rate_share(constant, step, 1000) for step in range(20, 1000)} == {1.0}
    assert learning_rate_share(constant, 0, 1000) == pytest.approx(1 / 20)
    assert {learning_rate_share(Train(order="time"), step, 1000) for step in range(1000)} == {1.0}


def test_a_plan_of_one_step_learns() -> None:
    assert learning_rate_share(Train(order="shuffled"), 0, 1) == 1.0
