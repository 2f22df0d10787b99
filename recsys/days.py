"""Calendar days of a time zone, in whole milliseconds: where a day begins and ends, and the day of a moment."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, cached_property
from importlib.resources import files
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

# Legend: N moments.

_EPOCH = date(1970, 1, 1)
DAY_MS = 86_400_000
_QUARTER = timedelta(minutes=15)  # every change of a clock since 1970 falls on a quarter of an hour


@dataclass(frozen=True)
class Day:
    """A half-open day: `start` belongs to it, `end` to the next day (ms UTC)."""

    iso: str
    zone: str

    @property
    def ordinal(self) -> int:
        """The days since 1970-01-01."""
        return ordinal(self.iso)

    @property
    def start(self) -> int:
        return _midnight(self.iso, self.zone)

    @property
    def end(self) -> int:
        return self.next().start

    @property
    def weekday(self) -> int:
        """The day of the week; Monday is 0."""
        return date.fromisoformat(self.iso).weekday()

    def next(self) -> "Day":
        return Day((date.fromisoformat(self.iso) + timedelta(days=1)).isoformat(), self.zone)

    @cached_property
    def offsets(self) -> tuple[tuple[int, int], ...]:
        """Pairs (from, local minus UTC), both ms: one pair, and one more for each change of the clock within the day."""
        found: list[tuple[int, int]] = []
        moment, end = datetime.fromtimestamp(self.start / 1000, UTC), datetime.fromtimestamp(self.end / 1000, UTC)
        while moment < end:
            offset = moment.astimezone(clock(self.zone)).utcoffset()
            assert offset is not None
            offset_ms = offset // timedelta(milliseconds=1)
            if not found or found[-1][1] != offset_ms:
                found.append((int(moment.timestamp() * 1000), offset_ms))
            moment += _QUARTER
        return tuple(found)


@cache
def clock(zone: str) -> ZoneInfo:
    """Return the rules of a zone's clock as the package tzdata has them.

    Those of the system come first in Python, and may be older than DuckDB's, by which ingestion parts the days.
    """
    try:
        with files("tzdata.zoneinfo").joinpath(*zone.split("/")).open("rb") as rules:
            return ZoneInfo.from_file(rules, key=zone)
    except OSError:  # only the system knows it
        return ZoneInfo(zone)


def ordinal(iso: str) -> int:
    """Return the days since 1970-01-01."""
    return (date.fromisoformat(iso) - _EPOCH).days


def iso_day(day: int) -> str:
    """Return the ISO day of so many days since 1970-01-01."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def day_of(moment: int, zone: str) -> str:
    """Return the ISO day of the zone in which a moment (ms UTC) lies."""
    return iso_day(int(ordinals(np.array([moment]), zone)[0]))


def ordinals(moments_N: NDArray[np.int64], zone: str) -> NDArray[np.int32]:
    """Return [N] the day of the zone in which each moment (ms UTC) lies, in days since 1970-01-01."""
    if not len(moments_N):
        return np.empty(0, np.int32)
    first, last = int(moments_N.min()) // DAY_MS - 1, int(moments_N.max()) // DAY_MS + 1  # no zone is a day away from UTC
    starts = [Day(iso_day(day), zone).start for day in range(first, last + 1)]
    return (first - 1 + np.searchsorted(starts, moments_N, side="right")).astype(np.int32)


def _midnight(iso: str, zone: str) -> int:
    """Return the first moment of a day; where the clock skips midnight, the moment of the change."""
    return int(datetime.fromisoformat(iso).replace(tzinfo=clock(zone)).timestamp() * 1000)
