"""A day's events as the engine sees them: with the day's number, its weekday and the local clock."""

import ibis
import ibis.expr.types as ir

from recsys import schema
from recsys.days import Day

DAY, LOCAL, WEEKDAY = "day", "local", "weekday"  # the columns that `stamped` adds


def stamped(events: ir.Table, day: Day) -> ir.Table:
    """Add to a day's events the day's ordinal and weekday, and each event's time on the local clock (ms)."""
    moment = events[schema.TIMESTAMP]
    (_, offset), *changes = day.offsets
    local = moment + offset
    for start, offset in changes:
        local = (moment >= start).ifelse(moment + offset, local)
    return events.mutate(**{DAY: ibis.literal(day.ordinal, "int32"), WEEKDAY: ibis.literal(str(day.weekday)), LOCAL: local})
