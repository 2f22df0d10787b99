"""Conditions that a day's rows must meet before they are learned from."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from recsys import schema
from recsys.days import DAY_MS, Day
from recsys.errors import DataError, Place, data_error, many
from recsys.features.impressions import signal_number, whole_number
from recsys.features.operands import LARGEST_FLOAT
from recsys.features.plan import FRACTION, Plan, Signal
from recsys.features.values import finite
from recsys.objectives import Objective

_LARGEST_SIGNAL = 1e12  # a row of millionths then fits into 64 bits, as the sum of a day must (`_too_large_sums`)

_MOST_OFF = 0.05  # share of a day's sum that rounding to millionths may change

Answer = Callable[[ir.Table], Mapping[str, Any]]


@dataclass(frozen=True)
class _Rule:
    column: str
    value: ir.Value
    bad: ir.BooleanValue
    expected: str
    fix: str


def require_valid(answer: Answer, impressions: ir.Table, events: ir.Table, plan: Plan, day: Day, file: Path) -> dict[str, str]:
    """Raise DataError for the first rule that some row of a day breaks, or its signals together. Return signal → doubt about its values.

    The rules are those of `broken_rules`, before them that a row is in its day, and behind them that sums of signals fit into 64 bits.
    """
    for error in broken_rules(answer, impressions, events, plan, file, _in_day(events, day)):
        raise error
    found = _sums(answer, events, plan)
    for error in _too_large_sums(found, plan, file):
        raise error
    return dict(_too_small(found, plan, day))


def broken_rules(answer: Answer, impressions: ir.Table, events: ir.Table, plan: Plan, file: Path, *more: _Rule) -> list[DataError]:
    """Return one error per rule that some row breaks.

    The rules reject, in this order: what `more` rejects, signals outside their range, weights that are no finite number of 0 or more, and
    labels that their objective cannot learn. `answer` runs an expression of one row over the tables.
    """
    of_events = [*more, *(_signal_rule(events, signal) for signal in plan.signals)]
    of_impressions = [] if plan.weight is None else [_weight_rule(impressions, plan.weight)]
    of_impressions += [_label_rule(impressions, objective) for objective in plan.objectives]
    errors = []
    for table, rules in ((events, of_events), (impressions, of_impressions)):
        found = answer(_tally(table, rules)) if rules else {}
        errors += [
            data_error(
                Place(file, column=rule.column),
                found=_shown(found[f"example.{index}"]),
                expected=rule.expected,
                bad_rows=found[f"bad.{index}"],
                rows=found["rows"],
                fix=rule.fix,
            )
            for index, rule in enumerate(rules)
            if found[f"bad.{index}"]
        ]
    return errors


def _shown(value: float | None) -> str:
    if value is None:
        return "null"
    return str(int(value)) if abs(value) < 2**53 and value == int(value) else repr(value)


def _tally(table: ir.Table, rules: list[_Rule]) -> ir.Table:
    counts = {f"bad.{index}": rule.bad.cast("int64").sum().fill_null(0).cast("int64") for index, rule in enumerate(rules)}
    examples = {f"example.{index}": rule.value.max(where=rule.bad) for index, rule in enumerate(rules)}
    return table.agg(rows=table.count(), **counts, **examples)


def _in_day(events: ir.Table, day: Day) -> _Rule:
    moment = events[schema.TIMESTAMP]
    return _Rule(
        schema.TIMESTAMP,
        moment,
        (moment < day.start) | (moment >= day.end),
        f"moments of {day.iso} in {day.zone} (ms from {day.start} to before {day.end})",
        "run ingest again with the zone of this pipeline; if it had that zone, the packages duckdb and tzdata have other rules of its"
        " clock: update both",
    )


def _signal_rule(events: ir.Table, signal: Signal) -> _Rule:
    value = signal_number(signal, events).cast("float64")
    bad = ((value < 0) | (value > _LARGEST_SIGNAL)) & ~value.isnan()
    fix = f"leave {signal.name} out of features.signals, or mend the {'expression' if signal.is_computed else 'column'}"
    return _Rule(_where(signal), value, bad, f"a signal from 0 to {_LARGEST_SIGNAL:g}", fix)


def _sums(answer: Answer, events: ir.Table, plan: Plan) -> Mapping[str, Any]:
    """Return `rows`, and per signal its sum, the number of its values above 0, and by how much rounding changes them all."""
    sums: dict[str, ir.Value] = {}
    for signal in plan.signals:
        value = finite(signal_number(signal, events))
        sums[f"sum.{signal.name}"] = value.sum()
        if signal.scale != 1:
            sums[f"above.{signal.name}"] = (value > 0).sum()
            sums[f"off.{signal.name}"] = (value - whole_number(signal, events).cast("float64") / float(signal.scale)).abs().sum()
    return answer(events.agg(rows=events.count(), **sums)) if sums else {}


def _too_small(found: Mapping[str, Any], plan: Plan, day: Day) -> Iterator[tuple[str, str]]:
    """Yield each signal of which rounding changes a large share, with the words for it."""
    for signal in plan.signals:
        total, off = found[f"sum.{signal.name}"] or 0.0, found.get(f"off.{signal.name}") or 0.0
        if off > _MOST_OFF * total:
            mean = total / found[f"above.{signal.name}"]
            factor = 10 ** min(math.ceil(-math.log10(mean)), 300)
            what = f"values of {mean:.2g} on average on {day.iso} (zeros left out)"
            what += f", of which rounding to millionths changes {off / total:.0%}"
            fix = f"count it in a smaller unit by features.expressions: multiply by {factor:,}"
            yield signal.name, f"{_where(signal)}: found {what}, expected larger ones: signals are summed in whole millionths. Fix: {fix}"


def _too_large_sums(found: Mapping[str, Any], plan: Plan, file: Path) -> Iterator[DataError]:
    """Yield an error per signal of which a day holds so much that a sum of whole numbers would run over.

    What becomes known on a day comes from two days, and what becomes known in a window of hours from one more per day of these hours.
    """
    if not plan.signals:
        return
    most = 2.0**63 / (2 + plan.reach // DAY_MS)
    for signal in plan.signals:
        total = found[f"sum.{signal.name}"] or 0.0
        if total * signal.scale > most:
            divisor = 10 ** (math.ceil(math.log10(total * FRACTION / most)) + 1)
            yield data_error(
                Place(file, column=_where(signal)),
                found=f"values that add up to {total:.3g} in {many(found['rows'], 'row')}",
                expected=f"at most {most / signal.scale:.3g} on a day, for sums of 64 bits",
                fix=f"count it in a larger unit by features.expressions: divide by {divisor:,}",
            )


def _where(signal: Signal) -> str:
    return f"features.expressions.{signal.name}" if signal.is_computed else signal.stored


def _weight_rule(impressions: ir.Table, stored: str) -> _Rule:
    """Require a weight in every row, because only the log's owner can fill a gap.

    A missing weight read as 0 would silently drop the row; read as 1, it would be invented.
    """
    value = impressions[schema.WEIGHT]
    bad = value.isnull() | value.isnan() | (value < 0) | (value > LARGEST_FLOAT)
    fix = "fill the column (1 counts a row once, 0 leaves it out), or leave train.weight out"
    return _Rule(stored, value, bad, "a finite number of 0 or more in every row, for train.weight", fix)


def _label_rule(impressions: ir.Table, objective: Objective) -> _Rule:
    column, legal = schema.label_column(objective.name), objective.legal_labels()
    value = impressions[column]
    outside = (value.abs() > LARGEST_FLOAT) | value.isnan()
    if legal.numbers:  # a value that is no float32 is null there, and `outside` here
        kind = "float32" if legal.as_float32 else "float64"
        bad = outside | ~value.try_cast(kind).isin([ibis.literal(number, kind) for number in legal.numbers])
    else:
        bad = outside | (value < legal.least) | (value > legal.most)
    expected = f"{legal.words} for the {objective.kind} objective {objective.name}"
    return _Rule(column, value, bad, expected, f'mend objective.{objective.name}.label = "{objective.label}", or change its kind')
