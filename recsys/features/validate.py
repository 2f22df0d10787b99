"""Conditions that a day's rows must meet before they are learned from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from recsys import schema
from recsys.days import Day
from recsys.errors import DataError, Place, data_error
from recsys.features.impressions import signal_number
from recsys.features.plan import Plan, Signal
from recsys.objectives import Objective

_LARGEST_FLOAT = 3.4e38  # float32
_LARGEST_SIGNAL = 1e12  # so that 10⁶ rows of millionths fit into 64 bits

Answer = Callable[[ir.Table], Mapping[str, Any]]


@dataclass(frozen=True)
class _Rule:
    column: str
    value: ir.Value
    bad: ir.BooleanValue
    expected: str
    fix: str


def require_valid(answer: Answer, impressions: ir.Table, events: ir.Table, plan: Plan, day: Day, file: Path) -> None:
    """Raise DataError for the first rule that some row of a day breaks: those of `broken_rules`, and before them that it is in its day."""
    for error in broken_rules(answer, impressions, events, plan, file, _in_day(events, day)):
        raise error


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
    return "null" if value is None else f"{value:g}"


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
        "run ingest again with the zone of this pipeline",
    )


def _signal_rule(events: ir.Table, signal: Signal) -> _Rule:
    value = signal_number(signal, events).cast("float64")
    bad = ((value < 0) | (value > _LARGEST_SIGNAL)) & ~value.isnan()
    where, what = (f"features.expressions.{signal.name}", "expression") if signal.is_computed else (signal.stored, "column")
    fix = f"leave {signal.name} out of features.signals, or mend the {what}"
    return _Rule(where, value, bad, f"a signal from 0 to {_LARGEST_SIGNAL:g}", fix)


def _weight_rule(impressions: ir.Table, stored: str) -> _Rule:
    """Require a weight in every row, because only the log's owner can fill a gap.

    A missing weight read as 0 would silently drop the row; read as 1, it would be invented.
    """
    value = impressions[schema.WEIGHT]
    bad = value.isnull() | value.isnan() | (value < 0) | (value > _LARGEST_FLOAT)
    fix = "fill the column (1 counts a row once, 0 leaves it out), or leave train.weight out"
    return _Rule(stored, value, bad, "a finite number of 0 or more in every row, for train.weight", fix)


def _label_rule(impressions: ir.Table, objective: Objective) -> _Rule:
    column, legal = schema.label_column(objective.name), objective.legal_labels()
    value = impressions[column]
    outside = (value.abs() > _LARGEST_FLOAT) | value.isnan()
    if legal.numbers:  # a value that is no float32 is null there, and `outside` here
        kind = "float32" if legal.as_float32 else "float64"
        bad = outside | ~value.try_cast(kind).isin([ibis.literal(number, kind) for number in legal.numbers])
    else:
        bad = outside | (value < legal.least) | (value > legal.most)
    expected = f"{legal.words} for the {objective.kind} objective {objective.name}"
    return _Rule(column, value, bad, expected, f'mend objective.{objective.name}.label = "{objective.label}", or change its kind')
