"""The times of a log: rows that have none, times of another form, days alone, and logs that name no time."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.checkup import look
from recsys.errors import DataError
from recsys.proposal import propose
from tests.proposal.small_feed import small_feed


@pytest.mark.words
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(("nth", "max_bad"), [(25, 0.05), (12, 0.1), (200, None)])
def test_rows_without_a_time_are_set_aside(nth: int, max_bad: float | None, suffix: str, tmp_path: Path) -> None:
    feed = small_feed()
    feed.loc[feed.index % nth == 0, "ts"] = pd.NaT
    feed = feed.assign(ts=feed["ts"].dt.strftime("%Y-%m-%d %H:%M:%S.123")) if suffix == "csv" else feed
    path = tmp_path / f"log.{suffix}"
    feed.to_csv(path, index=False) if suffix == "csv" else feed.to_parquet(path)
    proposal = propose([path], tmp_path)
    assert proposal.tables["source"].get("max_bad") == max_bad
    assert (" of the rows have no time. A run sets them aside" in proposal.text) == (max_bad is not None)
    (tmp_path / "own.toml").write_text(proposal.text, encoding="utf-8")
    assert look(tmp_path / "own.toml").error is None


def test_many_rows_without_a_time_are_an_error_that_says_so(tmp_path: Path) -> None:
    feed = small_feed()
    feed.loc[feed.index % 5 == 0, "ts"] = pd.NaT
    feed.to_csv(tmp_path / "log.csv", index=False)
    words = r"log.csv column ts: found no time \(an empty cell\), expected one in 90% of the rows or more; 600 of 3,000 rows. Fix: fill"
    with pytest.raises(DataError, match=words):
        propose([tmp_path / "log.csv"], tmp_path)


@pytest.mark.parametrize(
    ("form", "expected"),
    [("%Y-%m-%d %H:%M", "an ISO date and time between 1971 and 2100"), ("%d.%m.%Y %H:%M", 'a time of the form "%d.%m.%Y %H:%M"')],
)
def test_times_of_another_form_are_said_in_words(form: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie beyond the rows that are looked at."""
    monkeypatch.setattr(import_module("recsys.proposal.propose"), "MOST_ROWS", 2_000)
    feed = small_feed()
    ts = feed["ts"].dt.strftime(form).where(feed.index < 2_500, "yesterday")
    feed.assign(ts=ts).to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(DataError) as caught:
        propose([tmp_path / "log.csv"], tmp_path)
    assert f'column ts: found "yesterday", expected {expected}' in str(caught.value)
    assert "; 500 of 3,000 rows. Fix: mend these times: all are of one form" in str(caught.value)


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_log_whose_first_rows_are_of_no_training_day_is_judged_by_rows_of_one(
    newest_first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of each long log in the order of time: its first rows are of its first hours, or of its last ones."""
    monkeypatch.setattr(import_module("recsys.proposal.propose"), "MOST_ROWS", 300)
    feed = small_feed()
    feed = feed[::-1] if newest_first else feed
    feed.to_csv(tmp_path / "log.csv", index=False)
    proposal = propose([tmp_path / "log.csv"], tmp_path)
    first, last = proposal.tables["split"]["train"]
    day = feed["ts"].dt.strftime("%Y-%m-%d")
    assert not day[:300].between(first, last).any()
    begin = int(np.argmax(day.between(first, last)))
    looked_at = feed[begin : begin + 300][day[begin : begin + 300].between(first, last)]
    assert f"1 in {looked_at['click'].mean():.2%} of {len(looked_at):,} training rows" in proposal.text


def test_a_part_that_has_only_a_header_has_no_times(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    feed = small_feed()
    feed.to_csv(tmp_path / "parts" / "a.csv", index=False)
    feed[:0].to_csv(tmp_path / "parts" / "b.csv", index=False)
    assert propose([tmp_path / "parts"], tmp_path).tables["source"]["columns"]["timestamp"] == "ts"


@pytest.mark.words
def test_a_table_without_times_lies_in_folders_of_days(tmp_path: Path) -> None:
    """Of such a table docs/bring-your-own-log.md says so in its section 7."""
    rows = small_feed(1_500).drop(columns="ts")
    for number in (1, 2, 3):
        folder = tmp_path / "log" / f"date=2024-01-0{number}"
        folder.mkdir(parents=True)
        rows[500 * (number - 1) : 500 * number].to_csv(folder / "part.csv", index=False)
    proposal = propose([tmp_path / "log/*/*.csv"], tmp_path)
    (tmp_path / "own.toml").write_text(proposal.text, encoding="utf-8")
    assert look(tmp_path / "own.toml").error is None
    assert proposal.tables["source"]["columns"]["timestamp"] == "date"
    assert proposal.tables["split"] == {"train": ["2024-01-01"] * 2, "validation": ["2024-01-02"] * 2, "test": ["2024-01-03"] * 2}


@pytest.mark.parametrize(
    ("form", "is_said"), [("%Y-%m-%d", True), ("%Y%m%d", True), ("%Y-%m-%d 00:00:00", True), ("%Y-%m-%d %H:%M", False)]
)
def test_days_without_a_time_of_day_are_doubtful(form: str, is_said: bool, tmp_path: Path) -> None:
    rows = small_feed()
    rows.assign(date=rows.pop("ts").dt.strftime(form)).to_csv(tmp_path / "feed.csv", index=False)
    assert ("date holds days alone" in propose([tmp_path / "feed.csv"], tmp_path).text) == is_said
