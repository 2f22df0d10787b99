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
    """Σ (p − q) ln(p / q) over the values that occur, each with half a row more, less its mean under chance."""
    left, right = Counter(now), Counter(then)
    found, bins = 0.0, sorted({*left, *right}, key=str)
    for each in bins:
        p, q = ((counts[each] + 0.5) / (rows + 0.5 * len(bins)) for counts, rows in ((left, len(now)), (right, len(then))))
        found += (p - q) * math.log(p / q)
    return max(found - (len(bins) - 1) * (1 / len(now) + 1 / len(then)), 0.0)


def test_the_index_of_texts_is_its_formula(rng: np.random.Generator) -> None:
    now = rng.choice(["a", "b", "c", None], 500, p=[0.5, 0.2, 0.1, 0.2]).tolist()
    before = [rng.choice(["a", "b", "c", None], 400, p=[0.2, 0.5, 0.2, 0.1]).tolist() for _ in range(3)]
    found = stability(Values(Counter(now)), [Values(Counter(each)) for each in before])
    assert found == pytest.approx(plain_index(now, [each for day in before for each in day]))
    assert found > 0.3


def test_the_index_of_numbers_is_its_formula_over_tenths(rng: np.random.Generator) -> None:
    before = [rng.normal(size=1000) for _ in range(4)]
    now = rng.normal(0.7, 1.2, 1000)
    pooled = np.concatenate([np.sort(each)[np.linspace(0, 999, 200).astype(int)] for each in before])
    edges = np.quantile(pooled, np.arange(1, 10) / 10)

    def bins(values: Any) -> list[Any]:
        return [int(sum(value >= edge for edge in edges)) for value in values]

    found = stability(numbers(now, 40), [numbers(each) for each in before])
    expected = plain_index([*bins(now), *["missing"] * 40], [each for day in before for each in bins(day)])
    assert found == pytest.approx(expected)
    assert found > 0.25


@pytest.mark.parametrize("size", [60, 3000])
def test_days_of_one_distribution_have_an_index_near_zero_however_small(rng: np.random.Generator, size: int) -> None:
    """Without the correction it would be .17 on average for days of 60 rows."""
    found = [stability(numbers(rng.normal(size=size)), [numbers(rng.normal(size=size)) for _ in range(3)]) for _ in range(60)]
    assert np.mean(found) < 0.3 * 10 * (1 / size + 1 / (3 * size))


def test_a_feature_that_never_varies_is_stable() -> None:
    assert stability(numbers([1.0] * 50), [numbers([1.0] * 50)] * 3) == 0
    assert stability(numbers([2.0] * 50), [numbers([1.0] * 50)] * 3) > 5
    assert stability(numbers([], 50), [numbers([1.0] * 50)] * 3) > 5
    assert stability(numbers([], 50), [numbers([], 50)] * 3) == 0


def test_the_shift_of_a_counter_is_in_standard_deviations(rng: np.random.Generator) -> None:
    before = [rng.normal(2, 3, 500) for _ in range(3)]
    now = rng.normal(5, 1, 300)
    pooled = np.concatenate(before)
    assert shift(numbers(now), [numbers(each) for each in before]) == pytest.approx((now.mean() - pooled.mean()) / pooled.std())
    assert shift(Values({"a": 1}), [Values({"b": 1})]) == 0


def test_the_spread_of_a_column() -> None:
    found = _spread(pa.array([3.0, None, float("nan"), 1.0]))
    assert isinstance(found, Numbers)
    assert (found.sorted_N.tolist(), found.missing, found.size) == ([1.0, 3.0], 2, 4)
    assert found.counts(np.array([1.0, 2.0])).tolist() == [0, 1, 1, 2]
    assert _spread(pa.array(["b", None, "b"])) == Values({"b": 2, None: 1})
    assert _spread(pa.array([["x", "y"], None, ["x"], []])) == Values({"x": 2, "y": 1, None: 1})


def test_what_comes_for_the_first_time() -> None:
    known = Known()
    assert known.share_new("user_id", pa.chunked_array([[1, 1, 2]])) == 1
    assert known.share_new("user_id", pa.chunked_array([[1, 3], [3, 2]])) == 0.5
    assert known.share_new("user_id", pa.chunked_array([[3]])) == 0
    assert known.share_new("item_id", pa.chunked_array([["a"]])) == 1
