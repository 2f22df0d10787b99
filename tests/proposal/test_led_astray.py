"""Logs that lead a guess of `recsys init` astray: indexes, swapped days and months, codes, times of other things."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.errors import DataError
from recsys.proposal import propose
from tests.proposal.small_feed import proposed, small_feed


@pytest.mark.words
def test_the_index_that_pandas_writes_is_no_user(tmp_path: Path) -> None:
    tables, _ = proposed(tmp_path, small_feed(), index=True)
    assert tables["source"]["columns"] == {"user_id": "user_id", "item_id": "item_id", "timestamp": "ts"}


@pytest.mark.words
def test_months_and_days_are_told_apart_by_the_shorter_span(tmp_path: Path) -> None:
    feed = small_feed()
    tables, text = proposed(tmp_path, feed.assign(ts=feed["ts"].dt.strftime("%m/%d/%Y %H:%M")))
    assert tables["source"]["time"]["format"] == "%m/%d/%Y %H:%M"
    assert "# unsure: %m/%d/%Y %H:%M and %d/%m/%Y %H:%M both read the times" in text


@pytest.mark.words
def test_the_time_of_an_item_is_no_time_of_an_impression(tmp_path: Path) -> None:
    feed = small_feed()
    published = pd.Timestamp("2020-01-01") + pd.to_timedelta(feed["item_id"] * 1_000_003, unit="s")
    tables, text = proposed(tmp_path, feed.assign(ts=feed["ts"].dt.strftime("%Y%m%d"), publish_time=published, click_time=feed["ts"]))
    assert tables["source"]["columns"]["timestamp"] == "ts"
    assert "# Other times of the log, not used: publish_time, click_time." in text


@pytest.mark.words
def test_what_is_written_after_the_impression_is_no_feature(tmp_path: Path) -> None:
    feed = small_feed()
    rng = np.random.default_rng(6)
    after = ["hours_played", "page_dwell", "applied_count", "type_of_purchase", "next_page", "exit_section"]
    feed = feed.assign(surface=rng.choice(["home", "search"], len(feed)), **{name: rng.integers(0, 6, len(feed)) for name in after})
    tables, text = proposed(tmp_path, feed)
    assert tables["features"]["context"] == ["surface"]
    assert "# Known before the impression? Their names sound so: check each." in text


@pytest.mark.words
def test_an_hour_and_a_weekday_of_the_log_are_no_context_because_ours_stand_for_them(tmp_path: Path) -> None:
    feed = small_feed()
    tables, text = proposed(tmp_path, feed.assign(surface=feed["user_id"] % 2, hour=feed["ts"].dt.hour, Weekday=feed["ts"].dt.day_name()))
    assert tables["features"]["context"] == ["surface"]
    assert "Weekday" not in text


@pytest.mark.words
def test_names_that_would_meet_get_numbers(tmp_path: Path) -> None:
    feed = small_feed()
    tables, _ = proposed(tmp_path, feed.assign(is_click=feed["click"].sample(frac=1, random_state=1).to_numpy()))
    assert [entry["name"] for entry in tables["objective"]] == ["click", "click_2"]


@pytest.mark.words
def test_a_kind_of_client_is_no_user_and_a_position_from_0_is_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    feed = small_feed().rename(columns={"user_id": "cookie", "item_id": "listing"})
    feed = feed.assign(client=rng.choice(["web", "ios"], len(feed)), position=rng.integers(0, 10, len(feed)))
    tables, text = proposed(tmp_path, feed)
    assert tables["source"]["columns"]["user_id"] == "cookie"
    assert "position" not in tables["source"]["columns"]
    assert "# unsure: position may be the position, but does not count from 1. A position is no feature." in text
    assert [entry["name"] for entry in tables["objective"]] == ["click"]


def test_a_table_without_rows_is_no_bug(tmp_path: Path) -> None:
    small_feed().head(0).to_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match="found no rows"):
        propose([tmp_path / "log.parquet"], tmp_path)


def test_a_file_in_sections_is_said_to_have_rows_of_another_width(tmp_path: Path) -> None:
    """As that of the Netflix prize: a line with a movie stands above the rows of those who rated it."""
    parts = [f"{movie}:\n" + "".join(f"{user},{user % 5 + 1},2005-09-{user % 9 + 1:02d}\n" for user in range(40)) for movie in range(1, 30)]
    (tmp_path / "combined_data_1.txt").write_text("".join(parts))
    with pytest.raises(
        DataError, match=r"txt:2: found 3 fields, expected 1, as in the header; 1,160 of 1,188 rows\. Fix: mend the header; where"
    ):
        propose([tmp_path / "combined_data_1.txt"], tmp_path)


def test_two_rows_of_another_century_do_not_end_the_split(tmp_path: Path) -> None:
    feed = small_feed()
    split = proposed(tmp_path, feed)[0]["split"]
    feed.loc[:1, "ts"] += pd.to_timedelta([27_000, 27_001], unit="D")
    (tmp_path / "far").mkdir()
    tables, text = proposed(tmp_path / "far", feed)
    assert tables["split"] == split
    assert "# unsure: left out: 2097-12-04, 2097-12-05 (2 rows), far from all other days." in text
