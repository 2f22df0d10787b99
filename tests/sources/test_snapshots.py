"""Users and items as they were on a day: files with a day in their names."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from recsys import sources
from recsys.errors import DataError
from recsys.workspace import PART, USERS, day_folder
from tests.sources.feeds import Feed, day_of_log
from tests.sources.logs import COLUMNS, make_pipeline

DAYS = ("2024-01-02", "2024-01-03", "2024-01-04")


def people(age: int, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"uid": range(100, 117), "age": range(age, age + 17), **columns})


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    return Feed(tmp_path, users=tmp_path / "users" / "{day}.csv")


def night(feed: Feed, day: int, users: pd.DataFrame | None = None) -> None:
    """Write the files of a day of the log, from 1."""
    feed.write(**{f"log_{day}": day_of_log(day)}, **({} if users is None else {f"users_{DAYS[day - 1]}": users}))


def ages(feed: Feed, day: str) -> list[int]:
    found: list[int] = pq.read_table(day_folder(feed.folder / "night" / USERS, day) / PART)["age"].to_pylist()
    return found


@pytest.mark.words
def test_a_snapshot_a_day_is_what_all_files_at_once_leave(feed: Feed) -> None:
    for day in (1, 2, 3):
        night(feed, day, people(20 + day))
        assert feed.ingest().reread is None
        feed.require_equal()
    assert ages(feed, DAYS[1]) == list(range(22, 39))


def test_snapshots_that_stand_are_not_read(feed: Feed) -> None:
    night(feed, 1, people(20))
    feed.ingest()
    stays = day_folder(feed.folder / "night" / USERS, DAYS[0]) / PART
    inode = stays.stat().st_ino
    night(feed, 2, people(30))
    said = feed.ingest()
    assert "users: read 17 = kept 17 + duplicate 0 + quarantined 0" in said.texts
    assert stays.stat().st_ino == inode


@pytest.mark.words
def test_a_day_may_come_without_a_snapshot_and_with_one_of_two_files(feed: Feed, tmp_path: Path) -> None:
    feed.source["users"] = tmp_path / "users" / "{day}-*.csv"
    for day, parts in ((1, 2), (2, 0), (3, 1)):
        feed.write(**{f"log_{day}": day_of_log(day)})
        for part in range(parts):
            feed.write(**{f"users_{DAYS[day - 1]}-{part}": people(20).iloc[part::parts]})
        assert feed.ingest().reread is None
        feed.require_equal()
    assert ages(feed, DAYS[0]) == ages(feed, DAYS[2]) == list(range(20, 37))


@pytest.mark.parametrize("change", ["corrected", "gone", "more of a day"])
def test_a_snapshot_that_changes_is_read_with_all_others_and_the_log_is_not(feed: Feed, tmp_path: Path, change: str) -> None:
    feed.source["users"] = tmp_path / "users" / "{day}*.csv"
    for day in (1, 2):
        night(feed, day, people(20))
    feed.ingest()
    if change == "corrected":
        feed.write(**{f"users_{DAYS[0]}": people(50)})
    elif change == "gone":
        (tmp_path / "users" / f"{DAYS[0]}.csv").unlink()
    else:
        feed.write(**{f"users_{DAYS[1]}-more": people(20).assign(uid=range(200, 217))})
    said = feed.ingest()
    assert said.reread is None
    assert "users: snapshots that were read have changed, or are others: all are read again" in said.texts
    feed.require_equal()


@pytest.mark.parametrize(
    ("users", "reason"),
    [
        (people(20).assign(age=0.5), "have other columns or types than those that were read"),
        (people(20).assign(age=None), "have other columns or types than those that were read"),
    ],
)
def test_a_snapshot_in_another_form_makes_all_be_read(feed: Feed, users: pd.DataFrame, reason: str) -> None:
    night(feed, 1, people(20))
    feed.ingest()
    night(feed, 2, users)
    assert f"new files of users {reason}" in str(feed.ingest().reread)
    feed.require_equal()


def test_users_without_days_in_their_names_are_those_of_all_days_and_that_is_said(feed: Feed, tmp_path: Path) -> None:
    feed.source["users"] = tmp_path / "users" / "all.csv"
    feed.write(log_1=day_of_log(1), users_all=people(20))
    feed.ingest()
    feed.write(users_all=people(21))
    assert any("users: changed, and all days take what stands there now. Fix, where that takes long: a file per day, and {day} in" in text
               for text in feed.ingest().texts)  # fmt: skip


def test_a_user_has_one_row_in_a_snapshot(feed: Feed) -> None:
    night(feed, 1, people(20))
    night(feed, 2, pd.concat([people(30), people(31).iloc[:1], people(30).iloc[5:7]]))
    refused = feed.ingest().refused
    assert refused is not None
    assert "2024-01-03.csv:19 column user_id: found the key 100 of 2024-01-03.csv:2 with other values" in str(refused)


def test_days_before_the_first_snapshot_join_it_and_that_is_said(feed: Feed) -> None:
    night(feed, 1)
    night(feed, 2, people(20))
    assert "users: days before 2024-01-03 join the first snapshot, which is of 2024-01-03" in feed.ingest().texts


def test_the_same_files_with_and_without_their_days_are_other_files(feed: Feed, tmp_path: Path) -> None:
    night(feed, 1, people(20))
    dated = sources.raw_states(make_pipeline(feed.source))
    assert sources.raw_states(make_pipeline({**feed.source, "users": tmp_path / "users" / "*.csv"})) != dated


def test_a_name_without_a_day_of_the_calendar_is_refused(feed: Feed, tmp_path: Path) -> None:
    night(feed, 1)
    with pytest.raises(
        DataError, match=r"\{day\}\.csv: found no such file, expected files with a day such as 2024-01-31 in the place of \{day\}"
    ):
        sources.raw_states(make_pipeline(feed.source))
    feed.write(**{"users_2024-13-45": people(20)})
    with pytest.raises(DataError, match=r"2024-13-45\.csv: found the day 2024-13-45, expected a day of the calendar, such as 2024-01-31"):
        sources.raw_states(make_pipeline(feed.source))


@pytest.mark.parametrize(
    ("key", "path", "message"),
    [
        ("users", "u/{day}/{day}.csv", "expected {day} once"),
        ("items", "i/*{day}.csv", r"none of \* \? \[ before it in the same name"),
        ("items", "**/i/{day}.csv", r"expected no \*\* beside {day}"),
        ("log", "log-{day}.csv", r"each row of a log has its own moment. Fix: \* in its place"),
    ],
)
def test_the_place_of_a_day_must_be_clear(key: str, path: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make_pipeline({"kind": "table", "log": "log.csv", "columns": COLUMNS, key: path})
