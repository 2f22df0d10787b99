"""A day's events as the engine sees them: with the day's number, and the local clock."""

import ibis
import ibis.expr.types as ir

from recsys import schema
from recsys.days import Day

DAY, LOCAL, WEEKDAY = "day", "local", "weekday"  # what `stamped` adds


def stamped(events: ir.Table, day: Day) -> ir.Table:
    """A day's events with its ordinal and weekday, and the local clock of each (ms)."""
    moment = events[schema.TIMESTAMP]
    (_, offset), *changes = day.offsets
    local = moment + offset
    for start, offset in changes:
        local = (moment >= start).ifelse(moment + offset, local)
    return events.mutate(**{DAY: ibis.literal(day.ordinal, "int32"), WEEKDAY: ibis.literal(str(day.weekday)), LOCAL: local})
