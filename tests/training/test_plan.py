"""Rounds and learning rates, against the words that define them."""

import itertools
import math

import pytest

from recsys.config import Negatives, Train
from recsys.encoding import Thinning
from recsys.objectives import Objective
from recsys.training.plan import learning_rate_share, rounds, thinning

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]


def test_thinning_is_of_the_objective_by_its_place_and_absent_without_the_option() -> None:
    objectives = [Objective(name=name, label="x") for name in ("like", "click")]
    assert thinning(Train(), objectives, 3) is None
    assert thinning(Train(negatives=Negatives(objective="click", keep=0.2)), objectives, 3) == Thinning(1, 0.2, 3)


def test_shuffled_rounds_hold_all_days() -> None:
    plan = rounds(Train(order="shuffled", passes=3), DAYS)
    assert [(this.days, this.number, this.predicted_first) for this in plan] == [(tuple(DAYS), n, False) for n in range(3)]


def test_in_time_order_each_day_is_predicted_once_before_it_is_learned() -> None:
    plan = rounds(Train(order="time", day_passes=2), DAYS)
    assert [this.days for this in plan] == [(day,) for day in DAYS for _ in range(2)]
    assert [this.predicted_first for this in plan] == [True, False] * 3


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
