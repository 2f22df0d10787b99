"""Columns that stand in the names of folders, as Hive and Spark write them: date=2024-01-01/device=tv/."""

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from recsys.cli import run_command
from recsys.days import Day
from recsys.errors import DataError
from recsys.sources import stage_candidates
from recsys.sources.input_files import resolve, states
from recsys.sources.partitions import kind

from .feeds import Feed, day_of_log
from .logs import make_log, make_pipeline

DEVICES = ["phone", "tv"]


def logged() -> pd.DataFrame:
    log = make_log()
    return log.assign(date=pd.to_datetime(log["ts"], unit="ms").dt.date, device=[DEVICES[n % 2] for n in range(len(log))])


def write(log: pd.DataFrame, folder: Path, suffix: str, *columns: str) -> None:
    """Write a file per value of the columns, in folders that are called by them. pandas does it for parquet."""
    if suffix == "parquet":
        log.to_parquet(folder, partition_cols=list(columns), index=False)
        return
    for values, rows in log.groupby(list(columns)):
        path = folder.joinpath(*(f"{name}={value}" for name, value in zip(columns, values, strict=True)))
        path.mkdir(parents=True)
        rows.drop(columns=list(columns)).to_csv(path / "part.csv", index=False)


def same(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    first, second = (events.sort_values("event_id").reset_index(drop=True) for events in (first, second))
    return first.equals(second[first.columns])


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_they_are_columns_as_if_they_stood_in_the_files(tmp_path: Path, ingest: Callable, suffix: str) -> None:
    """An independent reader, DuckDB, finds the same in the same folders."""
    write(logged(), tmp_path / "log", suffix, "date", "device")
    events = ingest("log").events()
    (logged().to_parquet if suffix == "parquet" else logged().to_csv)(tmp_path / f"whole.{suffix}", index=False)
    assert same(events, ingest(f"whole.{suffix}", to="whole").events())
    theirs = duckdb.sql(f"SELECT device, count(*) FROM '{tmp_path}/log/*/*/*.{suffix}' GROUP BY 1").fetchall()
    assert events["log.device"].value_counts().to_dict() == dict(theirs)


def test_a_column_of_the_file_itself_counts(tmp_path: Path, ingest: Callable) -> None:
    (tmp_path / "log" / "slot=77").mkdir(parents=True)
    make_log().to_parquet(tmp_path / "log" / "slot=77" / "a.parquet")
    assert 77 not in set(ingest("log").events()["log.slot"])


def test_values_may_be_null_and_names_may_be_quoted(tmp_path: Path, ingest: Callable) -> None:
    log = make_log()
    for place, folder in enumerate(["the place=__HIVE_DEFAULT_PARTITION__", "the place=a%2Fb %3D c", "the place=", "the place=7"]):
        (tmp_path / "log" / folder).mkdir(parents=True)
        log[place::4].to_parquet(tmp_path / "log" / folder / "a.parquet")
    found = ingest("log").events()["log.the place"]
    assert found.isna().sum() == 100
    assert set(found.dropna()) == {"a/b = c", "7"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", pa.int64()),
        ("-12", pa.int64()),
        ("9" * 18, pa.int64()),
        ("2024-02-29", pa.date32()),
        *((text, pa.string()) for text in ("007", "-0", "9" * 19, "2023-02-29", "2024-1-1", "1.5")),
        (None, pa.null()),
    ],
)
def test_whole_numbers_and_days_have_types(value: str | None, expected: pa.DataType) -> None:
    assert kind(value) == expected
    if value is not None:
        assert pa.scalar(value).cast(expected).cast(pa.string()).as_py() == value


def test_folders_that_the_path_spells_out_give_no_column(tmp_path: Path, ingest: Callable) -> None:
    write(logged(), tmp_path / "log", "parquet", "date", "device")
    of_one = ingest("log/date=2024-01-01").events()
    assert ("log.device" in of_one, "log.date" in of_one) == (True, False)
    assert "log.date" in ingest("log/date=2024-*/device=tv/*.parquet", to="other").events()
    (file,) = (tmp_path / "log" / "date=2024-01-01" / "device=tv").iterdir()
    assert "log.device" not in ingest(file, to="one").events()


def test_a_column_may_be_left_out(tmp_path: Path, ingest: Callable) -> None:
    write(logged(), tmp_path / "log", "parquet", "date", "device")
    events = ingest("log", format={"log": {"leave_out": ["device"]}}).events()
    assert ("log.device" in events, "log.date" in events) == (False, True)


def test_the_column_is_null_in_a_file_outside_of_the_folders(tmp_path: Path, ingest: Callable) -> None:
    log = make_log()
    write(logged()[:150].drop(columns="date"), tmp_path / "log", "parquet", "device")
    log[150:180].to_parquet(tmp_path / "log" / "more.parquet")
    log[180:].assign(device="radio").to_parquet(tmp_path / "log" / "own.parquet")
    counts = ingest("log").events()["log.device"].fillna("none").value_counts()
    assert counts.to_dict() == {"phone": 75, "tv": 75, "none": 30, "radio": 20}


def test_the_day_of_a_snapshot_is_no_column(tmp_path: Path, ingest: Callable) -> None:
    make_log().to_csv(tmp_path / "log.csv", index=False)
    for day in (1, 2):
        (tmp_path / "users" / f"date=2024-01-0{day}").mkdir(parents=True)
        pd.DataFrame({"uid": range(100, 117), "age": day}).to_parquet(tmp_path / "users" / f"date=2024-01-0{day}" / "a.parquet")
    users = ingest(users=tmp_path / "users" / "date={day}" / "*.parquet").table("users")
    assert "date" not in users.column_names
    with pytest.raises(DataError, match=r"expected one row per key.*write \{day\} in the path.*\(date\) in leave_out"):
        ingest(users=tmp_path / "users")
    with pytest.raises(DataError, match=r"expected one row per key.*keep one row of each key$"):
        ingest(users=tmp_path / "users", format={"users": {"leave_out": ["date"]}})


@pytest.mark.words
def test_init_finds_such_columns(tmp_path: Path) -> None:
    log = logged().rename(columns={"uid": "user_id", "vid": "item_id", "ts": "timestamp"})
    write(log, tmp_path / "log", "csv", "date", "device")
    own = tmp_path / "own.toml"
    assert run_command(["init", str(tmp_path / "log"), "--out", str(own)]) == 0
    assert 'context = ["device"]' in own.read_text(encoding="utf-8")
    assert run_command(["check", str(own)]) == 0


@pytest.mark.parametrize("to", ["slot_id=2", "slot_id=1/more=3", "plain"])
def test_another_name_of_the_folders_is_another_state_of_the_files(tmp_path: Path, to: str) -> None:
    """The name of a file lacks the folders that hold all files, and moving it changes neither its size nor its time."""
    before, after = tmp_path / "log" / "slot_id=1", tmp_path / "log" / to
    before.mkdir(parents=True)
    make_log().to_parquet(before / "a.parquet")
    known = states(resolve([tmp_path / "log"]))
    after.parent.mkdir(exist_ok=True)
    (before / "a.parquet").rename(tmp_path / "a.parquet")
    after.mkdir(parents=True)
    (tmp_path / "a.parquet").rename(after / "a.parquet")
    assert states(resolve([tmp_path / "log"])) != known
    assert states(resolve([after])) != known


@pytest.mark.parametrize("patterns", [["log", "log/date=2024-01-01"], ["log/date=2024-01-01", "log"]])
def test_a_file_of_two_patterns_has_the_columns_of_both(tmp_path: Path, patterns: list[str]) -> None:
    write(logged(), tmp_path / "log", "csv", "date", "device")
    found = resolve([tmp_path / pattern for pattern in patterns])
    assert {dict(file.folders)["date"] for file in found} == {"2024-01-01", "2024-01-02"}


@pytest.mark.parametrize("name", [os.fsdecode(b"city=M\xfcnchen"), "city=M%FCnchen", "a%00b=1", "city=a/city=b"])
def test_names_that_tell_no_value_are_refused(tmp_path: Path, ingest: Callable, name: str) -> None:
    """Without that, cities with letters of another encoding would become one city."""
    (tmp_path / "log" / name).mkdir(parents=True)
    make_log().to_csv(tmp_path / "log" / name / "a.csv", index=False)
    with pytest.raises(DataError, match=r"found (the name .* in that of a folder|two folders that tell city), .*rename"):
        ingest("log")


@pytest.mark.words
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_new_folders_are_read_alone_unless_they_change_a_type(tmp_path: Path, suffix: str) -> None:
    """Each night brings a folder: what stands is what reading all at once would leave."""
    feed, reread = Feed(tmp_path), []
    for day, folder in enumerate([".", "version=1", "version=2", "version=3", "version=abc"], 1):
        path = tmp_path / "log" / folder
        path.mkdir(exist_ok=True)
        rows = day_of_log(day)
        rows.to_csv(path / "a.csv", index=False) if suffix == "csv" else rows.to_parquet(path / "a.parquet", index=False)
        reread.append(feed.ingest().reread is not None)
        feed.require_equal()
    assert reread == [False, True, False, False, True]


def test_candidates_in_one_folder_are_told_how_it_becomes_a_column(tmp_path: Path) -> None:
    folder = tmp_path / "asked" / "date=2024-01-01"
    folder.mkdir(parents=True)
    pd.DataFrame({"user_id": [1], "item_id": ["a"]}).to_parquet(folder / "part.parquet")
    needed = {"user_id": pa.int64(), "item_id": pa.string(), "log.date": pa.date32()}

    def stage(given: Path) -> list:
        written, first = tmp_path / "written.parquet", Day("2024-01-01", "UTC")
        stage_candidates(make_pipeline({"kind": "table", "log": "log.csv"}), given, needed, written, at=0, first=first, scratch=tmp_path)
        return pd.read_parquet(written)["log.date"].tolist()

    with pytest.raises(DataError, match="found no column date") as error:
        stage(folder)
    assert stage(folder.parent / str(error.value).rsplit(": ", 1)[1]) == [date(2024, 1, 1)]
