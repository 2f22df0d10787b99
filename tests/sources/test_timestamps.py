"""Timestamps of every unit, form and zone, each against what datetime or pandas says of the same values."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from recsys.config import TimeOptions
from recsys.errors import DataError
from tests.sources.logs import make_log, write_log


@pytest.mark.parametrize(("unit", "factor"), [("s", 0.001), ("ms", 1), ("us", 1000), ("ns", 1_000_000)])
def test_units_of_whole_numbers(tmp_path: Path, ingest: Callable, unit: str, factor: float) -> None:
    log = make_log(20)
    expected = log["ts"].tolist()
    log.assign(ts=(log["ts"] * factor).astype("int64")).to_csv(tmp_path / "log.csv", index=False)
    assert ingest(time={"unit": unit}).events()["timestamp"].tolist() == expected


def test_fractions_of_seconds(tmp_path: Path, ingest: Callable) -> None:
    write_log(tmp_path, ts=["1704103200.5", "1704103201.25", "1704103202"])
    assert ingest(time={"unit": "s"}).events()["timestamp"].tolist() == [1704103200500, 1704103201250, 1704103202000]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/New_York"])
def test_iso_with_and_without_offset_and_the_day_of_the_zone(tmp_path: Path, ingest: Callable, zone: str) -> None:
    texts = ["2024-07-01T00:30:00", "2024-07-01 00:30:00+09:00", "2024-07-01T00:30:00.250Z", "2024-07-01 23:59"]
    write_log(tmp_path, ts=texts)
    result = ingest(time={"unit": "iso", "zone": zone})
    moments = [datetime.fromisoformat(text.replace("Z", "+00:00")) for text in texts]
    moments = [moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone)) for moment in moments]
    assert sorted(result.events()["timestamp"]) == sorted(round(moment.timestamp() * 1000) for moment in moments)
    days = {path.name.removeprefix("day=") for path in (result.folder / "events").glob("day=*")}
    assert days == {moment.astimezone(ZoneInfo(zone)).date().isoformat() for moment in moments}


@pytest.mark.parametrize(
    "text",
    [
        *("2024-07-01 00:30:00 UTC", "2024-07-01T00:30:00z", "2024-07-01 00:30:00,000+0000", "2024-07-01 00:30Z", " 2024-07-01T00:30Z "),
        *(
            "2024-07-01 02:30:00 +0200",
            "2024-06-30 19:00:00 -05:30",
            "2024-07-01 01:30  +01",
            "2024-07-01 00:30:00  UTC",
            " 2024-07-01 09:30 ",
        ),
    ],
)
def test_every_way_to_write_an_offset_is_honoured(tmp_path: Path, ingest: Callable, text: str) -> None:
    write_log(tmp_path, ts=[text] * 3)
    expected = datetime(2024, 7, 1, 0, 30, tzinfo=UTC).timestamp() * 1000
    assert set(ingest(time={"unit": "iso", "zone": "Asia/Tokyo"}).events()["timestamp"]) == {expected}


@pytest.mark.parametrize("text", ["2024-07-01 00:30:00 Europe/Berlin", "2024-07-01 10:30:00 PM", "2024-07-01 10:30:00 x", "infinity"])
def test_what_stands_behind_a_time_is_never_passed_over(tmp_path: Path, ingest: Callable, text: str) -> None:
    write_log(tmp_path, ts=[text] * 3)
    with pytest.raises(DataError, match=r"log\.csv:2 column ts: .*expected an ISO date and time between 1971 and 2100; 3 of 3 rows"):
        ingest(time={"unit": "iso"})


def test_parquet_times_finer_than_a_microsecond_are_cut(tmp_path: Path, ingest: Callable) -> None:
    stamps = pa.array([1704103200000123456, 1704103201000000001], pa.timestamp("ns", "UTC"))
    log = pa.Table.from_pandas(make_log(2).drop(columns="ts")).append_column("ts", stamps).append_column("seen", stamps)
    pq.write_table(log, tmp_path / "log.parquet")
    table = ingest("log.parquet").table("events")
    assert table["timestamp"].to_pylist() == [1704103200000, 1704103201000]
    assert table["log.seen"].cast(pa.int64()).to_pylist() == [1704103200000123, 1704103201000000]


def test_parquet_times_need_no_unit(tmp_path: Path, ingest: Callable) -> None:
    aware = pd.to_datetime([1704103200000, 1704103200001], unit="ms", utc=True).tz_convert("Asia/Tokyo")
    pq.write_table(pa.Table.from_pandas(make_log(2).assign(ts=aware, local=aware.tz_localize(None))), tmp_path / "log.parquet")
    table = ingest("log.parquet", time={"unit": "s", "zone": "Asia/Tokyo"}).table("events")
    assert table["timestamp"].to_pylist() == [1704103200000, 1704103200001]
    assert table["log.local"].to_pylist()[0].replace(tzinfo=UTC).timestamp() == 1704103200.0


def test_a_wrong_unit_is_named(tmp_path: Path, ingest: Callable) -> None:
    make_log().to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(
        DataError, match=r'log\.csv:2 column ts: found "1704103200000", expected seconds .*200 of 200 rows\. Fix: the unit seems to be ms'
    ):
        ingest(time={"unit": "s"})


@pytest.mark.parametrize("kind", ["int64", "float64", "text"])
@pytest.mark.parametrize(
    ("unit", "since", "zone", "first"),
    [
        ("s", "2020-02-01", "UTC", datetime(2020, 2, 1, tzinfo=UTC)),
        ("ms", "2020-02-01", "Asia/Tokyo", datetime(2020, 2, 1, tzinfo=ZoneInfo("Asia/Tokyo"))),
        ("us", "2020-02-01T06:30:00", "Europe/Berlin", datetime(2020, 2, 1, 6, 30, tzinfo=ZoneInfo("Europe/Berlin"))),
        ("s", "2020-02-01T06:30:00.250+02:00", "Asia/Tokyo", datetime(2020, 2, 1, 4, 30, 0, 250_000, tzinfo=UTC)),
        ("s", "1971-01-01", "UTC", datetime(1971, 1, 1, tzinfo=UTC)),
        ("ns", "2020-02-01", "UTC", datetime(2020, 2, 1, tzinfo=UTC)),
    ],
)
def test_numbers_count_from_the_moment_that_the_pipeline_names(
    tmp_path: Path, ingest: Callable, kind: str, unit: str, since: str, zone: str, first: datetime
) -> None:
    per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[unit]
    seconds = np.array([0, 1, 86_400, 31_536_000])
    log = make_log(4).assign(ts=(seconds * per_second).astype("int64" if kind == "text" else kind))
    name = "log.csv" if kind == "text" else "log.parquet"
    log.to_csv(tmp_path / name, index=False) if kind == "text" else log.to_parquet(tmp_path / name)
    found = ingest(name, time={"unit": unit, "since": since, "zone": zone}).table("events")["timestamp"].to_pylist()
    assert found == [round((first.timestamp() + second) * 1_000) for second in seconds.tolist()]


def test_numbers_before_the_start_and_beyond_all_days_are_refused(tmp_path: Path, ingest: Callable) -> None:
    log = make_log(200).assign(ts=np.arange(200) * 1_000)
    log.loc[7, "ts"], log.loc[8, "ts"] = -1, 2**62
    log.to_csv(tmp_path / "log.csv", index=False)
    rows = ingest(time={"unit": "s", "since": "2020-01-01"}).table("quarantine").to_pylist()
    assert [row["source_row"] for row in rows] == [9, 10]
    assert "expected seconds since 2020-01-01 00:00:00, between 1971 and 2100" in rows[0]["reason"]


def test_numbers_that_count_from_elsewhere_are_told(tmp_path: Path, ingest: Callable) -> None:
    make_log().assign(ts=lambda log: np.arange(len(log)) * 60).to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(
        DataError, match=r'log\.csv:2 column ts: found "0", expected seconds .*200 of 200 rows\. Fix: say in source\.time\.since'
    ):
        ingest(time={"unit": "s"})


@pytest.mark.parametrize("kind", ["int64", "float64", "text"])
def test_nanoseconds_are_read_and_named(tmp_path: Path, ingest: Callable, kind: str) -> None:
    expected = (log := make_log())["ts"].tolist()
    log = log.assign(ts=(log["ts"] * 1_000_000 + 999).astype("int64" if kind == "text" else kind))
    name = "log.csv" if kind == "text" else "log.parquet"
    log.to_csv(tmp_path / name, index=False) if kind == "text" else log.to_parquet(tmp_path / name)
    assert ingest(name, time={"unit": "ns"}).table("events").sort_by("timestamp")["timestamp"].to_pylist() == sorted(expected)
    with pytest.raises(DataError, match=r'200 of 200 rows\. Fix: the unit seems to be ns: set source\.time\.unit = "ns"'):
        ingest(name, to="out-ms")


def test_an_implausible_time_goes_to_quarantine_with_a_hint(tmp_path: Path, ingest: Callable) -> None:
    log = make_log(200)
    log.loc[7, "ts"] //= 1000
    log.to_csv(tmp_path / "log.csv", index=False)
    (row,) = ingest().table("quarantine").to_pylist()
    assert row["source_row"] == 9
    assert "the unit seems to be s" in row["reason"]


@pytest.mark.parametrize(
    ("form", "texts", "expected"),
    [
        ("%Y-%m-%d %H", ["2014-12-06 02", "2014-12-06 23"], [datetime(2014, 12, 6, 2), datetime(2014, 12, 6, 23)]),
        ("%d.%m.%Y %H:%M", ["06.12.2014 02:03", " 07.12.2014 00:00 "], [datetime(2014, 12, 6, 2, 3), datetime(2014, 12, 7)]),
        ("%Y%m%d", ["20141206", "19710102"], [datetime(2014, 12, 6), datetime(1971, 1, 2)]),
        ("%b %d %Y %I:%M %p", ["Dec 06 2014 02:15 PM", "Jan 01 1997 12:00 AM"], [datetime(2014, 12, 6, 14, 15), datetime(1997, 1, 1)]),
        (
            "%Y-%m-%dT%H:%M:%S%z",
            ["2014-12-06T02:00:00+0100", "2014-12-06T02:00:00+0000"],
            [datetime(2014, 12, 6, 1), datetime(2014, 12, 6, 2)],
        ),
    ],
)
def test_times_in_any_form(tmp_path: Path, ingest: Callable, form: str, texts: list[str], expected: list[datetime]) -> None:
    """Against Python's own clock: without an offset in the zone of the log, Berlin, which is an hour ahead in winter."""
    make_log(2).assign(ts=texts).to_csv(tmp_path / "log.csv", index=False)
    shift = 0 if "%z" in form else 3_600_000
    found = ingest(time={"format": form, "zone": "Europe/Berlin"}).table("events")["timestamp"].to_pylist()
    assert sorted(found) == sorted(int(moment.replace(tzinfo=UTC).timestamp() * 1_000) - shift for moment in expected)


def test_a_text_that_is_no_time_of_the_form_goes_to_quarantine(tmp_path: Path, ingest: Callable) -> None:
    make_log(200).assign(ts=["2014-12-06 02"] * 199 + ["2014-12-06 02:30"]).to_csv(tmp_path / "log.csv", index=False)
    (row,) = ingest(time={"format": "%Y-%m-%d %H"}).table("quarantine").to_pylist()
    assert row["reason"] == 'column ts: found "2014-12-06 02:30", expected a time of the form "%Y-%m-%d %H" between 1971 and 2100'


def test_another_form_of_times_is_told_how_to_be_said(tmp_path: Path, ingest: Callable) -> None:
    make_log(3).assign(ts=["06.12.2014 02:03"] * 3).to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(DataError, match=r"Fix: say in source\.time\.format how times are written, such as"):
        ingest()


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("%Y-%m", "expected a year, a month and a day"),
        ("%H:%M", "expected a year"),
        ("%Y-%m-%d %Q", "found %Q, expected the letters"),
        ("", "a year"),
    ],
)
def test_a_form_that_tells_no_day_is_refused(form: str, words: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)):
        TimeOptions(format=form)


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1_000), ("us", 1_000_000), ("ns", 1_000_000_000)])
def test_times_of_1997_are_read_and_a_wrong_unit_is_still_named(tmp_path: Path, ingest: Callable, unit: str, factor: int) -> None:
    """The days of MovieLens-100k."""
    make_log(3).assign(ts=[(874_965_758 + n) * factor for n in range(3)]).to_csv(tmp_path / "log.csv", index=False)
    assert sorted(ingest(time={"unit": unit}).table("events")["timestamp"].to_pylist()) == [(874_965_758 + n) * 1_000 for n in range(3)]
    for other in {"s", "ms", "us", "ns"} - {unit}:
        with pytest.raises(DataError, match=rf'the unit seems to be {unit}: set source\.time\.unit = "{unit}"'):
            ingest(time={"unit": other}, to=f"out-{other}")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "%Y-%m-%d %"}, "expected the letters of strptime"),
        ({"format": "%Y-%m-%d %\nH"}, "expected the letters of strptime"),
        ({"format": "%Y-%m-%d %I:%M"}, "expected %p beside %I"),
        ({"format": "%Y-%m-%d", "unit": "s"}, "found unit beside it"),
        ({"format": "%Y-%m-%dT%H:%M:%SZ", "zone": "Europe/Berlin"}, "expected UTC, or %z for the offset"),
    ],
)
def test_forms_that_would_be_read_wrongly_are_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)):
        TimeOptions(**options)


def test_times_of_parquet_may_lie_in_any_year_from_1971(tmp_path: Path, ingest: Callable) -> None:
    moments = [datetime(1971, 6, 1, tzinfo=UTC), datetime(1997, 6, 1, tzinfo=UTC), datetime(2097, 6, 1, tzinfo=UTC)]
    make_log(3).assign(ts=moments).to_parquet(tmp_path / "log.parquet")
    assert sorted(ingest("log.parquet").table("events")["timestamp"].to_pylist()) == [int(one.timestamp() * 1_000) for one in moments]
    make_log(3).assign(ts=[datetime(1970, 1, 1, tzinfo=UTC), *moments[1:]]).to_parquet(tmp_path / "log.parquet")
    (row,) = ingest("log.parquet", max_bad=0.5, to="again").table("quarantine").to_pylist()
    assert row["reason"] == 'column ts: found "1970-01-01 00:00:00+00:00", expected a time between 1971 and 2100'


def test_day_and_month_that_are_swapped_are_asked_about(tmp_path, ingest):
    log = make_log(60)
    log["ts"] = [f"{1 + n % 2:02d}.{13 + n % 17}.2024 10:00" for n in range(60)]  # months first: no day of them is a month
    log.to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(DataError, match=r'Fix: look whether source\.time\.format = "%m\.%d\.%Y %H:%M" is meant, or mend the rows'):
        ingest(time={"format": "%d.%m.%Y %H:%M"})
