"""Days of zones whose clocks change."""

import pytest

from recsys.features.clock import Day

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


def test_ordinal_and_weekday() -> None:
    day = Day("1970-01-05", "UTC")
    assert (day.ordinal, day.weekday, day.start) == (4, 0, 4 * 24 * HOUR)
