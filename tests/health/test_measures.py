"""The numbers of one day, and how far the spread of a feature is from that of other days, against plain loops."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys.health.measures import Known, Numbers, Values, _spread
from recsys.health.verdicts import shift, stability


def numbers(values: Any, missing: int = 0) -> Numbers:
    return Numbers(np.sort(np.asarray(values, np.float64)), missing)


def plain_index(now: list[Any], then: list[Any]) -> float:
    """Σ (p − q) ln(p / q) over the values that occur, each with half a user's rows more, less its mean and three sd under chance."""
    left, right = Counter(now), Counter(then)
    found, bins = 0.0, sorted({*left, *right}, key=str)
    for each in bins:
        halves = max(len(now) / 800, 0.5), max(len(then) / 1800, 0.5)  # half a user's rows
        sides = zip((left, right), (len(now), len(then)), halves, strict=True)
        p, q = ((counts[each] + half) / (rows + half * len(bins)) for counts, rows, half in sides)
        found += (p - q) * math.log(p / q)
    freedom = len(bins) - 1
    return max(found - (freedom + 3 * math.sqrt(2 * freedom)) * (1 / 400 + 1 / 900), 0.0)


def test_the_index_of_texts_is_its_formula(rng: np.random.Generator) -> None:
    now = rng.choice(["a", "b", "c", None], 500, p=[0.5, 0.2, 0.1, 0.2]).tolist()
    before = [rng.choice(["a", "b", "c", None], 400, p=[0.2, 0.5, 0.2, 0.1]).tolist() for _ in range(3)]
    found = stability(Values(Counter(now)), [Values(Counter(each)) for each in before], users=(400, 900))
    assert found == pytest.approx(plain_index(now, [each for day in before for each in day]))
    assert found > 0.3


def test_the_index_of_numbers_is_its_formula_over_tenths(rng: np.random.Generator) -> None:
    before = [rng.normal(size=1000) for _ in range(4)]
    now = rng.normal(0.7, 1.2, 1000)
    pooled = np.concatenate([np.sort(each)[np.linspace(0, 999, 200).astype(int)] for each in before])
    edges = np.quantile(pooled, np.arange(1, 10) / 10)

    def bins(values: Any) -> list[Any]:
        return [int(sum(value >= edge for edge in edges)) for value in values]

    found = stability(numbers(now, 40), [numbers(each) for each in before], users=(400, 900))
    expected = plain_index([*bins(now), *["missing"] * 40], [each for day in before for each in bins(day)])
    assert found == pytest.approx(expected)
    assert found > 0.25


@pytest.mark.parametrize(("users", "each"), [(60, 1), (60, 40), (3000, 1)])
def test_days_of_one_distribution_are_stable_however_few_and_alike_their_rows(rng: np.random.Generator, users: int, each: int) -> None:
    """A user's rows are all alike here: forty of each tell no more than one."""

    def day() -> Numbers:
        return numbers(np.repeat(rng.normal(size=users), each))

    found = [stability(day(), [day() for _ in range(3)], users=(users, 3 * users)) for _ in range(80)]
    assert np.mean(np.array(found) > 0.25) <= 0.02


def test_a_feature_that_never_varies_is_stable() -> None:
    users = (1000, 3000)
    assert stability(numbers([1.0] * 50), [numbers([1.0] * 50)] * 3, users=users) == 0
    assert stability(numbers([2.0] * 50), [numbers([1.0] * 50)] * 3, users=users) > 5
    assert stability(numbers([], 50), [numbers([1.0] * 50)] * 3, users=users) > 5
    assert stability(numbers([], 50), [numbers([], 50)] * 3, users=users) == 0


def test_the_shift_of_a_counter_is_in_standard_deviations(rng: np.random.Generator) -> None:
    before = [rng.normal(2, 3, 500) for _ in range(3)]
    now = rng.normal(5, 1, 300)
    pooled = np.concatenate(before)
    assert shift(numbers(now), [numbers(each) for each in before]) == pytest.approx((now.mean() - pooled.mean()) / pooled.std())
    restless = [numbers(each + place) for each, place in zip(before, (0, 2, 4), strict=True)]  # its mean moves by two each day
    unit = 8 * np.std([each.sorted_N.mean() for each in restless])
    assert shift(numbers(now), restless) == pytest.approx(abs(now.mean() - pooled.mean() - 2) / unit)
    assert shift(numbers([4.9] * 10), [numbers([5.0] * 30)] * 3) == pytest.approx(0.2)  # a tenth of the mean
    assert shift(numbers([0.0005] * 10), [numbers([0.0] * 30)] * 3) == pytest.approx(0.5)
    assert shift(Values({"a": 1}), [Values({"b": 1})]) == 0


def test_the_spread_of_a_column() -> None:
    found = _spread(pa.array([3.0, None, float("nan"), 1.0]))
    assert isinstance(found, Numbers)
    assert (found.sorted_N.tolist(), found.missing) == ([1.0, 3.0], 2)
    assert found.counts(np.array([1.0, 2.0])).tolist() == [0, 1, 1, 2]
    assert _spread(pa.array(["b", None, "b"])) == Values({"b": 2, None: 1})
    assert _spread(pa.array([["x", "y"], None, ["x"], []])) == Values({"x": 2, "y": 1, None: 1})


def test_what_comes_for_the_first_time() -> None:
    known = Known()

    def shares(users: list[int], items: list[str]) -> dict[str, float]:
        return known.shares_new(pa.table({"user_id": users, "item_id": items}), frozenset())

    assert shares([1, 1, 2], ["a", "a", "a"]) == {"user_id": 1, "item_id": 1}
    assert shares([1, 3, 3, 2], ["a", "b", "c", "a"]) == {"user_id": 0.5, "item_id": 0.5}
    assert (known.latest["user_id"].to_pylist(), known.latest["item_id"].to_pylist()) == ([3], ["b", "c"])
    assert shares([3], ["d"]) == {"user_id": 0, "item_id": 1}
    assert known.shares_new(pa.table({"user_id": [9], "item_id": ["a"]}), frozenset(["user_id"])) == {"item_id": 0}
    told = Known()
    for ids in ([1, 2], [3], []):
        told.add("user_id", pa.array(ids, pa.int64()))
    assert told.shares_new(pa.table({"user_id": [3, 4], "item_id": ["a", "a"]}), frozenset())["user_id"] == 0.5
