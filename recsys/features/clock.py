"""A day of the source's zone as the engine sees it: whole milliseconds, and the offset of the local clock."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir

from recsys import schema

DAY, LOCAL, WEEKDAY = "day", "local", "weekday"  # what `stamped` adds
_EPOCH = date(1970, 1, 1)
_QUARTER = timedelta(minutes=15)  # every change of a clock since 1970 falls on one


@dataclass(frozen=True)
class Day:
    """Half-open: `start` belongs to the day, `end` to the next (ms UTC)."""

    iso: str
    zone: str

    @property
    def ordinal(self) -> int:
        """Days since 1970-01-01."""
        return (date.fromisoformat(self.iso) - _EPOCH).days

    @property
    def start(self) -> int:
        return _midnight(self.iso, self.zone)

    @property
    def end(self) -> int:
        return self.next().start

    @property
    def weekday(self) -> int:
        """Monday is 0."""
        return date.fromisoformat(self.iso).weekday()

    def next(self) -> "Day":
        return Day((date.fromisoformat(self.iso) + timedelta(days=1)).isoformat(), self.zone)

    @cached_property
    def offsets(self) -> tuple[tuple[int, int], ...]:
        """(from, local minus UTC), both ms: one entry, and one more for each change of the clock within the day."""
        found: list[tuple[int, int]] = []
        moment, end = datetime.fromtimestamp(self.start / 1000, UTC), datetime.fromtimestamp(self.end / 1000, UTC)
        while moment < end:
            offset = moment.astimezone(ZoneInfo(self.zone)).utcoffset()
            assert offset is not None
            offset_ms = offset // timedelta(milliseconds=1)
            if not found or found[-1][1] != offset_ms:
                found.append((int(moment.timestamp() * 1000), offset_ms))
            moment += _QUARTER
        return tuple(found)


def stamped(events: ir.Table, day: Day) -> ir.Table:
    """A day's events with its ordinal and weekday, and the local clock of each (ms)."""
    moment = events[schema.TIMESTAMP]
    (_, offset), *changes = day.offsets
    local = moment + offset
    for start, offset in changes:
        local = (moment >= start).ifelse(moment + offset, local)
    return events.mutate(**{DAY: ibis.literal(day.ordinal, "int32"), WEEKDAY: ibis.literal(str(day.weekday)), LOCAL: local})


def _midnight(iso: str, zone: str) -> int:
    """The first moment of a day; where the clock skips midnight, the moment of the change."""
    return int(datetime.fromisoformat(iso).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)
