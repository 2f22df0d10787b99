"""A day held against the days before it: rows of `schema.HEALTH`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys import schema
from recsys.config import Checks
from recsys.health.measures import DayMeasures, Numbers, Spread, Values

# Legend: B bins, E edges of bins.

FEWEST_DAYS = 3  # days before, from which one can say what is usual
FEWEST_LABELS = 50  # labels, or expected positives, from which a base rate can be told from chance
_BINS = 10
_SHOWN_VALUES = 20  # of a text: the others are one bin
_SMALLEST = 1e-6  # of a standard deviation: a counter that never moved
_HALF = 0.5  # a row that is added to each bin: the logarithm of 0 would decide alone


@dataclass(frozen=True)
class Found:
    """One number of a day. `usual` is what the days before say, `low` and `high` are the limits of a warning."""

    check: str
    column: str
    value: float
    usual: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: str = schema.UNTOLD_DAY
    reason: str | None = None

    def row(self, day: str) -> dict[str, Any]:
        return {"day": day, **{name: getattr(self, name) for name in schema.HEALTH.names if name != "day"}}


def judge(day: DayMeasures, before: Sequence[DayMeasures], checks: Checks, *, age: int, longest: int) -> list[Found]:
    """Hold a day against the days `before` it.

    `age`: the days of the log before the first of these days. A counter over more days was still filling up then. `longest`: the longest
    window, which is that of counters whose name tells none.
    """
    return [
        *_of_counts(day.counts, [each.counts for each in before], checks),
        *_of_differences("nulls", day.nulls, [each.nulls for each in before], checks),
        *_of_differences("unknown", day.unknown, [each.unknown for each in before], checks, only_above=True),  # a log that grows knows more
        *_of_rates(day, before, checks),
        *_of_spreads(day, before, checks, age=age, longest=longest),
    ]


def _limits(checks: Checks, check: str) -> tuple[float | None, float | None]:
    return getattr(checks.warn, check), getattr(checks.stop, check)


def _of_counts(counts: Mapping[str, int], before: Sequence[Mapping[str, int]], checks: Checks) -> Iterator[Found]:
    for name, count in counts.items():
        yield _ratio("rows", name, float(count), [float(each[name]) for each in before], checks)


def _ratio(check: str, name: str, value: float, before: Sequence[float], checks: Checks) -> Found:
    if len(before) < FEWEST_DAYS:
        return Found(check, name, value, reason=_too_few(before))
    usual = float(np.median(before))
    warn, stop = _limits(checks, check)

    def beyond(limit: float | None) -> bool:
        return limit is not None and not usual / limit <= value <= usual * limit

    low, high = (None, None) if warn is None else (usual / warn, usual * warn)
    return Found(check, name, value, usual, low, high, _verdict(beyond(warn), beyond(stop)))


def _of_differences(
    check: str, values: Mapping[str, float], before: Sequence[Mapping[str, float]], checks: Checks, *, only_above: bool = False
) -> Iterator[Found]:
    warn, stop = _limits(checks, check)
    for name, value in values.items():
        known = [each[name] for each in before if name in each]
        if len(known) < FEWEST_DAYS:
            yield Found(check, name, value, reason=_too_few(known))
            continue
        usual = float(np.median(known))
        off = value - usual if only_above else abs(value - usual)
        low = None if warn is None or only_above else max(usual - warn, 0.0)
        high = None if warn is None else min(usual + warn, 1.0)
        yield Found(check, name, value, usual, low, high, _verdict(*(limit is not None and off > limit for limit in (warn, stop))))


def _of_rates(day: DayMeasures, before: Sequence[DayMeasures], checks: Checks) -> Iterator[Found]:
    for name, (mean, labels) in day.rates.items():
        known = [each.rates[name][0] for each in before if name in each.rates]
        usual = float(np.median(known)) if known else 0.0
        if labels * min(usual, 1.0) < FEWEST_LABELS:
            reason = _too_few(known) if len(known) < FEWEST_DAYS else f"{labels:,} labels are too few for a rate of {usual:.3g}"
            yield Found("base_rate", name, mean, usual if known else None, reason=reason)
            continue
        yield _ratio("base_rate", name, mean, known, checks)


def _of_spreads(day: DayMeasures, before: Sequence[DayMeasures], checks: Checks, *, age: int, longest: int) -> Iterator[Found]:
    for name, spread in day.spreads.items():
        others = [each.spreads[name] for each in before if name in each.spreads and type(each.spreads[name]) is type(spread)]
        is_counter = name.startswith((schema.AGGREGATE, schema.HISTORY))
        check, measured = ("shift", shift) if is_counter else ("psi", stability)
        value = measured(spread, others) if others else 0.0
        if len(others) < FEWEST_DAYS:
            yield Found(check, name, value, reason=_too_few(others))
        elif is_counter and age < _window(name, longest):
            yield Found(check, name, value, reason="its window was still filling up on the days before")
        else:
            warn, stop = _limits(checks, check)
            verdict = _verdict(*(limit is not None and value > limit for limit in (warn, stop)))
            yield Found(check, name, value, 0.0, None, warn, verdict)


def shift(day: Spread, before: Sequence[Spread]) -> float:
    """Return by how many standard deviations of the days before the mean of a counter has moved; of texts 0.

    Counters get no index of stability: the rate of a tab, of which there are ten, is another number on each day, in another bin.
    """
    numbers = [each for each in before if isinstance(each, Numbers) and len(each.sorted_N)]
    if not isinstance(day, Numbers) or not len(day.sorted_N) or not numbers:
        return 0.0
    then_N = np.concatenate([each.sorted_N for each in numbers])
    spread = max(float(then_N.std()), _SMALLEST)
    return abs(float(day.sorted_N.mean() - then_N.mean())) / spread


def _window(name: str, longest: int) -> int:
    """Return the days that a counter's window needs: 7 of `agg.item_id.count.7`, 1 of one that ends at the very moment."""
    last = name.rpartition(".")[2]
    if last.isdecimal():
        return int(last)
    return 1 if last == schema.TODAY or last.removesuffix(schema.HOURS).isdecimal() else longest


def stability(day: Spread, before: Sequence[Spread]) -> float:
    """Return the population stability index of a day against the days before, Σ (p − q) ln(p / q), less what chance makes of it.

    The bins are the tenths of the days before, and one for what is missing; of texts, their most frequent values, and one for all others.
    Two samples of one distribution have an index of (B − 1) (1/n + 1/m) on average, whose difference is returned, at least 0.
    """
    if isinstance(day, Numbers):
        edges_E = _edges([each for each in before if isinstance(each, Numbers)])
        now_B = day.counts(edges_E)
        then_B = np.sum([each.counts(edges_E) for each in before if isinstance(each, Numbers)], axis=0)
    else:
        now_B, then_B = _value_counts(day, [each for each in before if isinstance(each, Values)])
    return _index(now_B, then_B)


def _edges(before: Sequence[Numbers]) -> NDArray[np.float64]:
    """Return the tenths of the days before, each once. A value that is several tenths by itself has a bin of its own."""
    filled = [each.sorted_N for each in before if len(each.sorted_N)]
    if not filled:
        return np.empty(0)
    tenths = [sorted_N[np.linspace(0, len(sorted_N) - 1, 200).astype(int)] for sorted_N in filled]
    edges_E, times_E = np.unique(np.quantile(np.concatenate(tenths), np.arange(1, _BINS) / _BINS), return_counts=True)
    return np.unique(np.concatenate([edges_E, np.nextafter(edges_E[times_E > 1], np.inf)]))


def _value_counts(day: Values, before: Sequence[Values]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    then: dict[str | None, int] = {}
    for each in before:
        for value, count in each.counts.items():
            then[value] = then.get(value, 0) + count
    most = sorted(then, key=lambda value: (-then[value], str(value)))[:_SHOWN_VALUES]
    counts = [[of.get(value, 0) for value in most] for of in (day.counts, then)]
    others = [sum(day.counts.values()) - sum(counts[0]), sum(then.values()) - sum(counts[1])]
    return np.array([*counts[0], others[0]]), np.array([*counts[1], others[1]])


def _index(now_B: NDArray[np.int64], then_B: NDArray[np.int64]) -> float:
    there_B = (now_B + then_B) > 0
    n, m = int(now_B.sum()), int(then_B.sum())
    if n == 0 or m == 0:
        return 0.0
    bins = int(there_B.sum())
    p_B, q_B = ((counts[there_B] + _HALF) / (total + _HALF * bins) for counts, total in ((now_B, n), (then_B, m)))
    index = float(np.sum((p_B - q_B) * np.log(p_B / q_B)))
    return max(index - (bins - 1) * (1 / n + 1 / m), 0.0)


def _verdict(warns: bool, stops: bool) -> str:
    return schema.STOPS if stops else schema.WARNS if warns else schema.USUAL


def _too_few(before: Sequence[Any]) -> str:
    return f"{len(before)} days before it, {FEWEST_DAYS} are needed"
