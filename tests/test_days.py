"""Days of zones whose clocks change."""

import shutil
import zoneinfo
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from recsys.days import Day, clock, ordinal, ordinals

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("iso", "zone", "hours", "offsets"),
    [
        ("2022-04-25", "Asia/Shanghai", 24, [8]),
        ("2022-03-27", "Europe/Berlin", 23, [1, 2]),
        ("2022-10-30", "Europe/Berlin", 25, [2, 1]),
        ("2018-11-04", "America/Sao_Paulo", 23, [-2]),  # midnight is skipped
        ("2022-03-13", "America/Havana", 23, [-4]),
        ("2022-11-06", "America/Havana", 25, [-4, -5]),  # midnight comes twice
        ("2022-10-02", "Australia/Lord_Howe", 23.5, [10.5, 11]),
    ],
)
def test_length_and_offsets_of_a_day(iso: str, zone: str, hours: float, offsets: list[float]) -> None:
    day = Day(iso, zone)
    assert (day.end - day.start) / HOUR == hours
    assert [offset / HOUR for _, offset in day.offsets] == offsets
    assert day.offsets[0][0] == day.start


def test_old_rules_of_the_system_do_not_count(tmp_path: Path) -> None:
    """DuckDB, which parts the days of a log, has rules of its own: a day by older ones was refused after each ingest."""
    (tmp_path / "America").mkdir()
    shutil.copy(str(files("tzdata.zoneinfo") / "UTC"), tmp_path / "America" / "Regina")
    before = zoneinfo.TZPATH
    clock.cache_clear()
    ZoneInfo.clear_cache()
    try:
        zoneinfo.reset_tzpath([tmp_path])
        assert ZoneInfo("America/Regina").utcoffset(datetime(2026, 11, 5)).total_seconds() == 0
        day = Day("2026-11-05", "America/Regina")
        assert day.start == int(datetime(2026, 11, 5, 6, tzinfo=ZoneInfo("UTC")).timestamp() * 1000)
        assert day.offsets == ((day.start, -6 * HOUR),)
    finally:
        zoneinfo.reset_tzpath(before)
        ZoneInfo.clear_cache()


def test_ordinal_and_weekday() -> None:
    day = Day("1970-01-05", "UTC")
    assert (day.ordinal, day.weekday, day.start) == (4, 0, 4 * 24 * HOUR)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Sao_Paulo", "America/Havana", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_day_of_a_moment_is_that_of_the_calendar(zone: str) -> None:
    """Random moments of years, and each first and last millisecond of a day around the changes of the clock."""
    rng = np.random.default_rng(1)
    edges = [Day(f"{year}-{month:02}-{day:02}", zone).start for year in (2018, 2022) for month in (3, 10, 11) for day in range(1, 31)]
    moments = np.concatenate([rng.integers(1_500_000_000_000, 1_700_000_000_000, 500), edges, np.array(edges) - 1])
    expected = [datetime.fromtimestamp(moment / 1000, ZoneInfo(zone)).date().isoformat() for moment in moments.tolist()]
    np.testing.assert_array_equal(ordinals(moments, zone), [ordinal(iso) for iso in expected])
    assert ordinals(np.array([], np.int64), zone).dtype == np.int32
