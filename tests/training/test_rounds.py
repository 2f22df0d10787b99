"""Rounds and learning rates, against the words that define them."""

import itertools
import math
from collections.abc import Sequence

import pytest

from recsys.config import Negatives, Train
from recsys.encoding import Period, Thinning
from recsys.objectives import Objective
from recsys.training.pace import pace_of
from recsys.training.rounds import Round, learned, learning_rate_share, rounds, thinning

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]  # the first is day 19,723 since 1970
FOLLOWING = {DAYS[0]: DAYS[1], DAYS[1]: DAYS[2], DAYS[2]: "2024-01-08"}


def rounds_of(train: Train, days: list[str], following: dict[str, str | None], earlier: Sequence[str] = ()) -> list[Round]:
    return rounds(train, pace_of(train, 1000), days, following, earlier)


def test_thinning_is_of_the_objective_by_its_place_and_absent_without_the_option() -> None:
    objectives = [Objective(name=name, label="x") for name in ("like", "click")]
    assert thinning(Train(), objectives, 3) is None
    assert thinning(Train(negatives=Negatives(objective="click", keep=0.2)), objectives, 3) == Thinning(1, 0.2, 3)


def test_shuffled_rounds_hold_all_days() -> None:
    plan = rounds_of(Train(order="shuffled", passes=3), DAYS, FOLLOWING)
    assert [(this.days, this.number, this.predicted_first) for this in plan] == [(tuple(DAYS), n, False) for n in range(3)]
    assert {this.known for this in plan} == {Period(until=19_730)}, "what is known before 2024-01-08"
    assert {this.known for this in rounds_of(Train(order="shuffled"), DAYS, {**FOLLOWING, DAYS[-1]: None})} == {Period()}


def test_in_time_order_each_day_is_predicted_once_before_it_is_learned() -> None:
    plan = rounds_of(Train(order="time", day_passes=2), DAYS, FOLLOWING)
    assert [this.days for this in plan] == [(day,) for day in DAYS for _ in range(2)]
    assert [this.predicted_first for this in plan] == [True, False] * 3


def test_in_time_order_a_round_learns_what_becomes_known_up_to_the_next_predicted_day() -> None:
    """Half-open, one after another without a gap, the refit's from where the training days ended."""
    plan = rounds_of(Train(order="time"), DAYS, FOLLOWING)
    assert [this.known for this in plan] == [Period(0, 19_724), Period(19_724, 19_725), Period(19_725, 19_730)]
    assert [this.earlier for this in plan] == [(), tuple(DAYS[:1]), tuple(DAYS[:2])]
    (refit,) = rounds_of(Train(order="time"), ["2024-01-09"], {**FOLLOWING, "2024-01-09": None}, DAYS)
    assert (refit.known, refit.earlier) == (Period(19_730, None), tuple(DAYS))
    assert all(not this.earlier for this in rounds_of(Train(order="time", late="drop"), DAYS, FOLLOWING))


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
