"""Hold a day against the days before it: rows of `schema.HEALTH`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys import schema
from recsys.config import Checks
from recsys.days import ordinal
from recsys.errors import many
from recsys.health.measures import DayMeasures, Numbers, Spread, Values

# Legend: B bins, E edges of bins.

FEWEST_DAYS = 3  # days before, from which one can say what is usual
FEWEST_LABELS = 50  # labels, or expected positives or negatives, from which a base rate can be told from chance
_BINS = 10
_SHOWN_VALUES = 20  # of a text: the others are one bin
_SMALLEST = 1e-3  # unit of a shift: a counter that was always 0
_CLOCKS = (".age", ".recency")  # of counters: they grow with time itself
_NOT_YET = "the log ends before most of its labels are known"
_HALF = 0.5  # of a user's rows, added to each bin: the logarithm of 0 would decide alone


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
        _of_gap(day, before, checks),
        *_of_counts(day.counts, [each.counts for each in before], checks),
        *_of_differences("nulls", day.nulls, [each.nulls for each in before], checks),
        *_of_differences("unknown", day.unknown, [each.unknown for each in before], checks, only_above=True),  # a log that grows knows more
        *_of_rates(day, before, checks),
        *_of_spreads(day, before, checks, age=age, longest=longest),
    ]


def _limits(checks: Checks, check: str) -> tuple[float | None, float | None]:
    key = "base_rate" if check == "labels" else check
    return getattr(checks.warn, key), getattr(checks.stop, key)


def _of_gap(day: DayMeasures, before: Sequence[DayMeasures], checks: Checks) -> Found:
    """Count the days without any impression just before this one, beside those between the days before."""
    days = [ordinal(each.day) for each in (*before, day)]
    missing = [later - earlier - 1 for earlier, later in pairwise(days)]
    if len(before) < FEWEST_DAYS:
        return Found("gap", "days", float(missing[-1] if missing else 0), reason=_too_few(before))
    usual = float(max(missing[:-1]))
    warn, stop = _limits(checks, "gap")
    verdict = _verdict(*(limit is not None and missing[-1] >= usual + limit for limit in (warn, stop)))
    return Found("gap", "days", float(missing[-1]), usual, None, None if warn is None else usual + warn - 1, verdict)


def _of_counts(counts: Mapping[str, int], before: Sequence[Mapping[str, int]], checks: Checks) -> Iterator[Found]:
    for name, count in counts.items():
        yield _ratio("rows", name, float(count), [float(each[name]) for each in before], checks)


def _ratio(check: str, name: str, value: float, before: Sequence[float], checks: Checks, *, is_share: bool = False) -> Found:
    if len(before) < FEWEST_DAYS:
        return Found(check, name, value, reason=_too_few(before))
    usual = float(np.median(before))
    warn, stop = (None if limit is None else _around(usual, limit, is_share=is_share) for limit in _limits(checks, check))
    low, high = (None, None) if warn is None else warn
    verdict = _verdict(*(ends is not None and not ends[0] <= value <= ends[1] for ends in (warn, stop)))
    return Found(check, name, value, usual, low, high, verdict)


def _around(usual: float, ratio: float, *, is_share: bool) -> tuple[float, float]:
    """Return the limits of a number that may be a ratio off; of a share above a half its complement, too: .77 → 1 is a great change."""
    low, high = sorted((usual / ratio, usual * ratio))
    if not is_share or usual < 0.5:
        return low, high
    return max(low, 1 - (1 - usual) * ratio), min(high, 1 - (1 - usual) / ratio)


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
        if not day.is_known(name):
            yield Found("labels", name, labels / day.counts["impressions"], reason=_NOT_YET)
            continue
        rows, earlier = day.labelled(name), [each for each in before if name in each.rates and each.is_known(name)]
        shares = [each.rates[name][1] / each.labelled(name) for each in earlier]
        if len(shares) >= FEWEST_DAYS and rows * float(np.median(shares)) >= FEWEST_LABELS:
            yield _ratio("labels", name, labels / rows, shares, checks)
        known = [value for each in earlier if (value := each.rates[name][0]) is not None]
        usual = float(np.median(known)) if known else 0.0
        if mean is None:
            continue  # no label at all: that is said of `labels`
        if len(known) < FEWEST_DAYS or labels * min(abs(usual), 1.0) < FEWEST_LABELS:
            reason = _too_few(known) if len(known) < FEWEST_DAYS else f"{labels:,} labels are too few for a rate of {usual:.3g}"
            yield Found("base_rate", name, mean, usual if known else None, reason=reason)
            continue
        yield _ratio("base_rate", name, mean, known, checks, is_share=0 <= usual <= 1 and labels * (1 - usual) >= FEWEST_LABELS)


def _of_spreads(day: DayMeasures, before: Sequence[DayMeasures], checks: Checks, *, age: int, longest: int) -> Iterator[Found]:
    for name, spread in day.spreads.items():
        others = [each.spreads[name] for each in before if name in each.spreads and type(each.spreads[name]) is type(spread)]
        is_counter = name.startswith((schema.AGGREGATE, schema.HISTORY))
        if is_counter and name.endswith(_CLOCKS):
            continue
        check = "shift" if is_counter else "psi"
        users = (day.users, sum(each.users for each in before))
        value = 0.0 if not others else shift(spread, others) if is_counter else stability(spread, others, users=users)
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

    A counter whose mean moves from day to day has a larger unit: eight standard deviations of the days' means, if that is more. One that
    hardly varies has a tenth of its mean. Counters get no index of stability: the rate of a tab, of which there are ten, is another number
    on each day, in another bin.
    """
    numbers = [each for each in before if isinstance(each, Numbers) and len(each.sorted_N)]
    if not isinstance(day, Numbers) or not len(day.sorted_N) or not numbers:
        return 0.0
    then_N = np.concatenate([each.sorted_N for each in numbers])
    means = np.array([each.sorted_N.mean() for each in numbers])
    unit = max(float(then_N.std()), 8 * float(means.std()), abs(float(then_N.mean())) / 10, _SMALLEST)
    return abs(float(day.sorted_N.mean() - then_N.mean())) / unit


def _window(name: str, longest: int) -> int:
    """Return the days that a counter's window needs: 7 of `agg.item_id.count.7`, 1 of one that ends at the very moment."""
    last = name.rpartition(".")[2]
    if last.isdecimal():
        return int(last)
    return 1 if last == schema.TODAY or last.removesuffix(schema.HOURS).isdecimal() else longest


def stability(day: Spread, before: Sequence[Spread], *, users: tuple[int, int]) -> float:
    """Return the population stability index of a day against the days before, Σ (p − q) ln(p / q), less what chance makes of it.

    The bins are the tenths of the days before, and one for what is missing; of texts, their most frequent values, and one for all others.
    Two samples of n and m independent values of one distribution have an index of (1/n + 1/m) χ², with B − 1 degrees of freedom. Its mean
    and three of its standard deviations are taken off, with n and m the `users` of the day and of the days before: the rows of a user are
    alike. The result is 0 at least.
    """
    if isinstance(day, Numbers):
        edges_E = _edges([each for each in before if isinstance(each, Numbers)])
        now_B = day.counts(edges_E)
        then_B = np.sum([each.counts(edges_E) for each in before if isinstance(each, Numbers)], axis=0)
    else:
        now_B, then_B = _value_counts(day, [each for each in before if isinstance(each, Values)])
    index, bins = _index(now_B, then_B, users)
    freedom = max(bins - 1, 0)
    by_chance = (freedom + 3 * np.sqrt(2 * freedom)) * sum(1 / max(count, 1) for count in users)
    return max(index - float(by_chance), 0.0)


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


def _index(now_B: NDArray[np.int64], then_B: NDArray[np.int64], users: tuple[int, int]) -> tuple[float, int]:
    """Return the index, and the number of bins that hold anything. Each bin gets half a user's rows more."""
    there_B = (now_B + then_B) > 0
    n, m = int(now_B.sum()), int(then_B.sum())
    if n == 0 or m == 0:
        return 0.0, 0
    bins = int(there_B.sum())
    halves = [_HALF * max(total / max(count, 1), 1.0) for total, count in zip((n, m), users, strict=True)]
    p_B, q_B = (
        (counts[there_B] + half) / (total + half * bins) for counts, total, half in zip((now_B, then_B), (n, m), halves, strict=True)
    )
    return float(np.sum((p_B - q_B) * np.log(p_B / q_B))), bins


def _verdict(warns: bool, stops: bool) -> str:
    return schema.STOPS if stops else schema.WARNS if warns else schema.USUAL


def _too_few(before: Sequence[Any]) -> str:
    return f"{many(len(before), 'day')} before it, {FEWEST_DAYS} are needed"
