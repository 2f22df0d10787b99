"""A day held against the days before it: what is usual, what is warned of, what stops, and what nothing can be said of."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recsys.config import Checks
from recsys.health.measures import DayMeasures, Numbers
from recsys.health.verdicts import judge

USUAL = DayMeasures(
    day="2024-01-05",
    counts={"impressions": 1000, "users": 1000, "items": 50},
    nulls={"log.tab": 0.05, "log.like": 0.0},
    unknown={"user_id": 0.1, "item_id": 0.02},
    rates={"click": (0.2, 1000), "watch": (30.0, 1000), "rare": (0.01, 1000)},
    spreads={"user.age": Numbers(np.linspace(18, 80, 300), 0), "agg.item_id.click.7": Numbers(np.linspace(-1, 1, 300), 0)},
)


def before(days: int) -> list[DayMeasures]:
    """So many days like the usual one, up to the day before it."""
    return [replace(USUAL, day=f"2024-01-{5 - place:02d}") for place in range(days, 0, -1)]


def verdicts(day: DayMeasures, *, days: int = 4, age: int = 10, checks: Checks | None = None) -> dict[tuple[str, str], str]:
    found = judge(day, before(days), checks or Checks(), age=age, longest=7)
    return {(each.check, each.column): each.verdict for each in found}


def test_a_day_like_the_others_is_usual() -> None:
    found = verdicts(USUAL)
    assert found.pop(("base_rate", "rare")) == "untold"
    assert set(found.values()) == {"usual"}
    assert {check for check, _ in found} == {"gap", "rows", "nulls", "unknown", "labels", "base_rate", "psi", "shift"}


def test_a_rate_is_judged_once_half_of_its_labels_are_known() -> None:
    """An answer that may still come is no 0: neither of this day nor of those before it."""
    some, few = ({"rates": {"click": (0.2, rows)}, "due": {"click": rows}} for rows in (500, 499))
    assert verdicts(replace(USUAL, **some))[("labels", "click")] == "usual"
    found = verdicts(replace(USUAL, **few))
    assert found[("labels", "click")] == "untold"
    assert ("base_rate", "click") not in found
    still_open = [replace(each, **few) for each in before(2)]
    held = judge(USUAL, [*before(4)[:2], *still_open], Checks(), age=10, longest=7)
    assert [each.reason for each in held if (each.check, each.column) == ("base_rate", "click")] == ["2 days before it, 3 are needed"]


def test_a_rate_near_1_is_judged_by_its_zeros_where_there_are_enough() -> None:
    """Six zeros are expected among 2,000 labels: two or twelve are chance. Of 400 expected ones, 700 are not."""
    for usual, rate, verdict in ((0.997, 0.999, "usual"), (0.997, 0.994, "usual"), (0.8, 0.65, "warn"), (0.997, 0.6, "warn")):
        days = [replace(each, rates={"click": (usual, 2000)}) for each in before(4)]
        held = judge(replace(USUAL, rates={"click": (rate, 2000)}), days, Checks(), age=10, longest=7)
        assert [each.verdict for each in held if each.check == "base_rate"] == [verdict]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"counts": {"impressions": 330, "users": 1000, "items": 50}, "rates": {"click": (0.2, 330)}}, ("rows", "impressions")),
        ({"counts": {"impressions": 1000, "users": 3001, "items": 50}}, ("rows", "users")),
        ({"nulls": {"log.tab": 0.16, "log.like": 0.0}}, ("nulls", "log.tab")),
        ({"nulls": {"log.tab": 0.05, "log.like": 1.0}}, ("nulls", "log.like")),
        ({"unknown": {"user_id": 0.31, "item_id": 0.02}}, ("unknown", "user_id")),
        ({"day": "2024-01-06"}, ("gap", "days")),
        ({"rates": {"click": (0.301, 1000), "watch": (30.0, 1000)}}, ("base_rate", "click")),
        ({"rates": {"click": (0.2, 1000), "watch": (None, 0)}}, ("labels", "watch")),
        ({"rates": {"click": (0.2, 600)}}, ("labels", "click")),
        ({"rates": {"click": (0.2, 1000), "watch": (19.9, 1000)}}, ("base_rate", "watch")),
        ({"spreads": {"user.age": Numbers(np.linspace(40, 80, 300), 0)}}, ("psi", "user.age")),
        ({"spreads": {"agg.item_id.click.7": Numbers(np.linspace(-0.7, 1.3, 300), 0)}}, ("shift", "agg.item_id.click.7")),
    ],
)
def test_what_is_warned_of_and_nothing_else(change: dict[str, Any], where: tuple[str, str]) -> None:
    found = verdicts(replace(USUAL, **change))
    assert [key for key, verdict in found.items() if verdict == "warn"] == [where]


def test_rates_near_one_and_below_zero() -> None:
    """.77 of labels are 1: that all are is a great change. Means below 0 are held against each other as those above."""
    usual = [replace(each, rates={"click": (0.77, 1000), "mood": (-0.2, 1000)}) for each in before(4)]
    for rates, click, mood in (((0.8, -0.25), "usual", "usual"), ((1.0, -0.31), "warn", "warn"), ((0.77, 0.2), "usual", "warn")):
        day = replace(USUAL, rates={"click": (rates[0], 1000), "mood": (rates[1], 1000)})
        found = {each.column: each.verdict for each in judge(day, usual, Checks(), age=10, longest=7) if each.check == "base_rate"}
        assert found == {"click": click, "mood": mood}


def test_gaps_that_are_usual() -> None:
    """A log of working days: each Monday comes after two days without impressions."""
    days = ["2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09", "2024-01-10", "2024-01-11", "2024-01-12"]
    week = [replace(USUAL, day=day) for day in days]
    (gap,) = [each for each in judge(replace(USUAL, day="2024-01-15"), week, Checks(), age=10, longest=7) if each.check == "gap"]
    assert (gap.value, gap.usual, gap.verdict) == (2, 2, "usual")
    (gap,) = [each for each in judge(replace(USUAL, day="2024-01-16"), week, Checks(), age=10, longest=7) if each.check == "gap"]
    assert (gap.value, gap.verdict) == (3, "warn")


def test_what_grows_with_time_is_no_shift() -> None:
    day = replace(USUAL, spreads={"agg.item_id.age": Numbers(np.full(300, 9.0), 0)})
    assert not any(check == "shift" for check, _ in verdicts(day))


def test_fewer_new_users_than_usual_are_no_reason_for_a_warning() -> None:
    assert verdicts(replace(USUAL, unknown={"user_id": 0.0, "item_id": 0.02}))[("unknown", "user_id")] == "usual"


def test_limits_of_the_toml() -> None:
    checks = Checks.model_validate({"warn": {"rows": 1.2}, "stop": {"rows": 2.0, "psi": 0.1}})
    found = verdicts(replace(USUAL, counts={"impressions": 700, "users": 400, "items": 50}), checks=checks)
    assert [found[("rows", name)] for name in ("impressions", "users", "items")] == ["warn", "stop", "usual"]
    assert found[("nulls", "log.tab")] == "usual"  # the other limits keep their defaults
    assert (
        verdicts(replace(USUAL, spreads={"user.age": Numbers(np.linspace(40, 80, 300), 0)}), checks=checks)[("psi", "user.age")] == "stop"
    )


def test_what_nothing_can_be_said_of() -> None:
    assert set(verdicts(USUAL, days=2).values()) == {"untold"}
    young = judge(USUAL, before(4), Checks(), age=6, longest=7)
    (counter,) = [each for each in young if each.check == "shift"]
    assert (counter.verdict, counter.reason) == ("untold", "its window was still filling up on the days before")
    (rare,) = [each for each in young if (each.check, each.column) == ("base_rate", "rare")]
    assert (rare.verdict, rare.reason) == ("untold", "1,000 labels are too few for a rate of 0.01")
