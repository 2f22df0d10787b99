"""New files of a log are read alone: what stands is what reading all files at once would leave, to the byte."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recsys.errors import DataError
from recsys.sources import increment, merged_days
from recsys.workspace import EVENTS
from tests.sources.feeds import DAY, Feed, answers_to, day_of_log
from tests.sources.logs import START


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    return Feed(tmp_path)


@pytest.mark.words
def test_a_day_at_a_time_is_all_days_at_once(feed: Feed) -> None:
    feed.with_answers()
    for day in range(1, 5):
        log = day_of_log(day)
        feed.write(**{f"log_{day}": log, f"answers_{day}": answers_to(log, day)})
        said = feed.ingest()
        assert said.reread is None
        feed.require_equal()
    assert any("read 1 new files of the log and 1 of its feedback; days 2024-01-05 written, all others stay" in text for text in said.texts)


def test_days_that_stay_are_not_read_or_written(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in (1, 2):
        feed.write(**{f"log_{day}": day_of_log(day)})
    feed.ingest()
    stays = feed.folder / "night" / EVENTS / "day=2024-01-02" / "part-0.parquet"
    inode = stays.stat().st_ino
    read: list[str] = []
    original = merged_days.stored
    monkeypatch.setattr(increment, "stored", lambda events, days, *more: read.extend(days) or original(events, days, *more))
    feed.write(log_3=day_of_log(3))
    assert feed.ingest().reread is None
    assert stays.stat().st_ino == inode
    assert not read, "no day of events has been read"


def test_of_many_days_those_are_read_that_new_answers_may_belong_to(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    feed.with_answers(within="24h")
    for day in range(1, 7):
        feed.write(**{f"log_{day}": day_of_log(day), f"answers_{day}": answers_to(day_of_log(day), day)})
    feed.ingest()
    read: set[str] = set()
    original = merged_days.stored
    monkeypatch.setattr(increment, "stored", lambda events, days, *more: read.update(days) or original(events, days, *more))
    feed.write(log_7=day_of_log(7), answers_7=answers_to(day_of_log(7), 7))
    assert feed.ingest().reread is None
    assert read == {"2024-01-07"}, "the day before: an answer may be a day late"
    feed.require_equal()


@pytest.mark.words
@pytest.mark.parametrize("late", [0.0, 20.0, 40.0])
def test_answers_that_come_on_a_later_day_go_to_the_impressions_of_the_earlier_one(feed: Feed, late: float) -> None:
    feed.with_answers()
    logs = {day: day_of_log(day) for day in range(1, 5)}
    answers = pd.concat([answers_to(log, day, late) for day, log in logs.items()])
    of_day = (answers["ts"] - START) // DAY
    for day, log in logs.items():
        feed.write(**{f"log_{day}": log, f"answers_{day}": answers[of_day == day]})
        assert feed.ingest().reread is None
        feed.require_equal()
    assert feed.contents("night")[f"{EVENTS} account"]["kept"] == 240


def test_a_day_that_is_sent_twice_changes_nothing(feed: Feed) -> None:
    feed.with_answers()
    feed.write(log_1=day_of_log(1), answers_1=answers_to(day_of_log(1), 1), log_2=day_of_log(2))
    feed.ingest()
    before = {name: entry for name, entry in feed.contents("night").items() if name.startswith(f"{EVENTS}/day")}
    feed.write(log_2again=day_of_log(2))
    assert feed.ingest().reread is None
    feed.require_equal()
    assert {name: entry for name, entry in feed.contents("night").items() if name.startswith(f"{EVENTS}/day")} == before
    assert feed.account.duplicate == 60


def test_late_rows_go_to_their_day(feed: Feed) -> None:
    feed.write(log_1=day_of_log(1), log_2=day_of_log(2))
    feed.ingest()
    feed.write(log_3=pd.concat([day_of_log(3), day_of_log(1, 10, slot=77), day_of_log(7)]))
    assert feed.ingest().reread is None
    feed.require_equal()


def test_days_that_get_rows_are_those_of_this_workspace(tmp_path: Path) -> None:
    """What the engine takes for a pattern would name the folder beside it."""
    beside, feed = Feed(tmp_path / "w 1"), Feed(tmp_path / "w [1]")
    beside.write(log_1=day_of_log(7).assign(ts=day_of_log(1)["ts"]))
    beside.ingest()
    for name, rows in (("log_1", slice(0, 40)), ("log_late", slice(40, None))):
        feed.write(**{name: day_of_log(1)[rows]})
        assert feed.ingest().reread is None
    feed.require_equal()


def test_users_alone_may_change(feed: Feed, tmp_path: Path) -> None:
    feed.source["users"] = tmp_path / "users.csv"
    users = pd.DataFrame({"uid": range(100, 117), "age": range(17)})
    feed.write(log_1=day_of_log(1), users=users)
    feed.ingest()
    feed.write(users=users.assign(age=99))
    said = feed.ingest()
    assert said.reread is None
    feed.require_equal()
    feed.write(users=users.iloc[:3], log_2=day_of_log(2))
    assert feed.ingest().reread is None
    feed.require_equal()


def test_rows_that_cannot_be_used_are_added_to_those_before(feed: Feed) -> None:
    feed.source["max_bad"] = 0.2
    bad = day_of_log(1).astype({"ts": object})
    bad.loc[3, "ts"] = "soon"
    feed.write(log_1=bad, log_2=day_of_log(2))
    feed.ingest()
    worse = day_of_log(3).astype({"ts": object})
    worse.loc[[5, 7], "ts"] = "later"
    feed.write(log_3=worse)
    assert feed.ingest().reread is None
    feed.require_equal()
    assert feed.account.quarantined == 3


def changed_file(feed: Feed) -> None:
    feed.write(log_1=day_of_log(1, 61))


def grown_file(feed: Feed) -> None:
    day_of_log(3).to_csv(feed.folder / "log/2.csv", mode="a", header=False, index=False)


def file_that_is_gone(feed: Feed) -> None:
    (feed.folder / "log/1.csv").unlink()


def another_type(feed: Feed) -> None:
    feed.write(log_3=day_of_log(3, slot="first"))


def fractions(feed: Feed) -> None:
    feed.write(log_3=day_of_log(3, clicked=0.5))


def a_name_that_is_no_number(feed: Feed) -> None:
    feed.write(log_3=day_of_log(3).astype({"uid": str}).assign(uid=lambda log: "u" + log["uid"]))


def other_folder(feed: Feed) -> None:
    feed.source["log"] = feed.folder / "**" / "*.csv"
    feed.write(more_3=day_of_log(3))


def other_separator(feed: Feed) -> None:
    day_of_log(3).to_csv(feed.folder / "log/3.csv", index=False, sep=";")


def one_more_column(feed: Feed) -> None:
    feed.write(log_3=day_of_log(3, more=1))


def one_column_less(feed: Feed) -> None:
    feed.write(log_3=day_of_log(3).drop(columns=["watch"]))


def an_empty_file(feed: Feed) -> None:
    (feed.folder / "log/3.csv").touch()


def a_header_alone(feed: Feed) -> None:
    feed.write(log_3=day_of_log(3).iloc[:0])


def parquet(feed: Feed) -> None:
    day_of_log(3).to_parquet(feed.folder / "log/3.parquet", index=False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (changed_file, "a file of log that was read has changed"),
        (grown_file, "a file of log that was read has changed"),
        (file_that_is_gone, "a file of log that was read has changed, is gone"),
        (another_type, "column log.slot of the new files is string, expected int64"),
        (fractions, "column log.clicked of the new files is double, expected int64"),
        (a_name_that_is_no_number, "column user_id of the new files is string, expected int64"),
        (other_folder, "is called otherwise"),
        (other_separator, "new files of log have other separators"),
        (one_more_column, "new files of log have other names"),
        (one_column_less, "new files of log have other names"),
        (an_empty_file, "3.csv: found an empty file, expected a header and rows"),
        (a_header_alone, "3.csv: found a header without rows, expected rows"),
        (parquet, "new files of log have other format"),
    ],
)
def test_where_new_files_do_not_do_all_are_read_and_the_reason_is_said(feed: Feed, change: Callable[[Feed], None], reason: str) -> None:
    feed.write(log_1=day_of_log(1), log_2=day_of_log(2))
    feed.ingest()
    change(feed)
    said = feed.ingest()
    assert said.reread is not None
    assert reason in said.reread
    if not isinstance(said.refused, DataError):
        feed.require_equal()


def test_whole_numbers_and_empty_columns_fit_a_column_of_fractions(feed: Feed) -> None:
    feed.write(log_1=day_of_log(1, note="a"), log_2=day_of_log(2, note="b"))
    feed.ingest()
    feed.write(log_3=day_of_log(3, note=None).assign(watch=range(60)))
    assert feed.ingest().reread is None
    feed.require_equal()
    feed.write(log_4=day_of_log(4, note=None).assign(watch=None))
    assert feed.ingest().reread is None
    feed.require_equal()


def test_rows_before_actions_that_were_read_may_take_these_actions(feed: Feed) -> None:
    feed.with_answers()
    feed.write(log_2=day_of_log(2), answers_2=answers_to(day_of_log(2), 2))
    feed.ingest()
    feed.write(log_1=day_of_log(1))
    assert "before actions that were read" in str(feed.ingest().reread)
    feed.require_equal()


def test_an_action_before_others_that_were_read_does_not_count_over_them(feed: Feed) -> None:
    feed.with_answers()
    log = day_of_log(2)
    feed.write(log_2=log, answers_2=answers_to(log, 2, late=1.0))
    feed.ingest()
    feed.write(answers_1=answers_to(log, 3, late=0.5))
    assert "before some that were read" in str(feed.ingest().reread)
    feed.require_equal()
    feed.write(answers_3=answers_to(log, 4, late=30.0))
    assert feed.ingest().reread is None
    feed.require_equal()


def test_fractions_of_a_millisecond_are_not_in_events(tmp_path: Path) -> None:
    feed = Feed(tmp_path, time={"unit": "us"}).with_answers()
    log = day_of_log(1).assign(ts=lambda rows: rows["ts"] * 1000 + 7)
    feed.write(log_1=log, answers_1=answers_to(log, 1))
    feed.ingest()
    feed.write(answers_2=answers_to(log, 2).assign(ts=lambda rows: rows["ts"] + DAY * 1000))
    assert "fractions of a millisecond" in str(feed.ingest().reread)
    feed.require_equal()


def test_new_files_with_too_many_bad_rows_are_judged_with_all_files(feed: Feed) -> None:
    """Alone 3 of 20 are too many; of 200 rows in all they are not, and a day bears ten."""
    feed.source["max_bad"] = 0.1
    for day in (1, 2, 3):
        feed.write(**{f"log_{day}": day_of_log(day)})
    feed.ingest()
    bad = day_of_log(4, 20).astype({"ts": object})
    bad.loc[[1, 2, 3], "ts"] = "soon"
    feed.write(log_4=bad)
    assert "soon" in str(feed.ingest().reread)
    feed.require_equal()
    assert feed.account.quarantined == 3


def test_a_header_that_the_tomls_names_replace_is_the_same_in_all_files(feed: Feed) -> None:
    """Else columns are swapped in silence."""
    names = list(day_of_log(1).columns)
    feed.source["format"] = {"log": {"names": names}}
    feed.write(log_1=day_of_log(1), log_2=day_of_log(2))
    feed.ingest()
    feed.write(log_3=day_of_log(3)[["uid", "vid", "ts", "clicked", "slot", "watch"]])
    said = feed.ingest()
    assert "new files of log have other header" in str(said.reread)
    assert "found the header" in str(said.refused)


@pytest.mark.parametrize("gone", ["users/part-0.parquet", "events/day=2024-01-02", "events/day=2024-01-03", "quarantine"])
def test_what_is_gone_or_cut_is_made_again(feed: Feed, gone: str) -> None:
    feed.write(log_1=day_of_log(1), log_2=day_of_log(2))
    feed.ingest()
    place = feed.folder / "night" / gone
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.write_bytes(place.read_bytes()[:-10])
    feed.write(log_3=day_of_log(3))
    feed.ingest()
    feed.require_equal()


def test_large_whole_numbers_do_not_fit_fractions(feed: Feed) -> None:
    """From 1e15 on, the id of an impression tells them apart."""
    feed.write(log_1=day_of_log(1), log_2=day_of_log(2))
    feed.ingest()
    feed.write(log_3=day_of_log(3, watch=1_704_103_200_123_456))
    assert "column log.watch of the new files is int64" in str(feed.ingest().reread)
    feed.require_equal()


def test_types_and_refusals_are_those_of_all_files(feed: Feed) -> None:
    feed.source["max_bad"] = 0.2
    feed.write(log_1=day_of_log(1), log_2=day_of_log(2))
    feed.ingest()
    whole = day_of_log(3).assign(watch=range(60)).astype({"watch": object})
    whole.loc[4, "watch"] = "99999999999999999999"
    feed.write(log_3=whole)
    assert feed.ingest().reread is not None
    feed.require_equal()


def test_answers_that_cannot_be_used_are_judged_among_all_answers(feed: Feed) -> None:
    feed.source["max_bad"] = 0.5
    feed.with_answers()
    answers = answers_to(day_of_log(1), 1).astype({"uid": object})
    answers.loc[answers.index[2], "uid"] = "nobody"
    feed.write(log_1=day_of_log(1), answers_1=answers)
    feed.ingest()
    feed.write(log_2=day_of_log(2), answers_2=answers_to(day_of_log(2), 2))
    assert "which all of its files together decide" in str(feed.ingest().reread)
    feed.require_equal()


def test_a_file_that_comes_while_others_are_read_is_new_the_next_time(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    feed.write(log_1=day_of_log(1))
    feed.ingest()
    original = increment._Increment._account

    def late(*arguments: Any) -> Any:
        feed.write(log_3=day_of_log(3))
        return original(*arguments)

    feed.write(log_2=day_of_log(2))
    with monkeypatch.context() as patch:
        patch.setattr(increment._Increment, "_account", late)
        assert feed.ingest().reread is None
    assert feed.account.kept == 120
    assert feed.ingest().reread is None
    assert feed.account.kept == 180
    feed.require_equal()


def test_a_link_that_points_elsewhere_is_another_file(feed: Feed) -> None:
    feed.write(all_1=day_of_log(1), all_2=day_of_log(2))
    link = feed.folder / "log" / "latest.csv"
    link.symlink_to(feed.folder / "all/1.csv")
    feed.ingest()
    link.unlink()
    link.symlink_to(feed.folder / "all/2.csv")
    assert "has changed" in str(feed.ingest().reread)
    feed.require_equal()
