"""Files that describe users or items: which they are, and which of their columns are features."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.checkup import look
from recsys.cli import run_command
from recsys.proposal import propose
from tests.proposal.as_they_lie import csv_with_tabs
from tests.proposal.small_feed import proposed, small_feed

pytestmark = pytest.mark.words


@pytest.mark.parametrize(("length", "role"), [(None, "items"), (7, None)])
def test_equal_rows_count_as_one_row_of_their_key(length: int | None, role: str | None, tmp_path: Path) -> None:
    """As in a run, which stops at two rows of one key that differ."""
    files = csv_with_tabs(tmp_path)
    videos = pd.read_csv(tmp_path / "videos.csv")
    again = videos[:3] if length is None else videos[:3].assign(length=length)
    pd.concat([videos, again]).to_csv(tmp_path / "videos.csv", index=False)
    proposal = propose(files, tmp_path)
    assert proposal.tables["source"].get("items") == (None if role is None else "videos.csv")
    (tmp_path / "own.toml").write_text(proposal.text)
    assert run_command(["check", str(tmp_path / "own.toml")]) == 0


@pytest.mark.parametrize("name", [".length", "[length]", "a.b"])
def test_a_column_of_items_may_have_any_name(name: str, tmp_path: Path) -> None:
    """Arrow reads a point in front as a path into a nest."""
    pd.DataFrame({"item_id": range(90), name: range(90)}).to_csv(tmp_path / "items.csv", index=False)
    tables, _ = proposed(tmp_path, small_feed(), tmp_path / "items.csv")
    assert tables["features"]["item"] == [name]


def test_a_folder_per_day_of_items_that_change_is_told_how_to_read(tmp_path: Path) -> None:
    log, *_ = csv_with_tabs(tmp_path)[1:]
    for day, factor in (("2024-01-02", 1), ("2024-01-03", 2)):
        (tmp_path / "items" / f"date={day}").mkdir(parents=True)
        videos = pd.read_csv(tmp_path / "videos.csv")
        videos.assign(length=factor * videos["length"]).to_csv(tmp_path / "items" / f"date={day}" / "a.csv", index=False)
    text = propose([log, tmp_path / "items"], tmp_path).text
    assert "where folders are of days, write their path with {day} as users or items" in text


@pytest.mark.parametrize("has_header", [True, False])
def test_names_of_folders_are_no_names_of_fields(has_header: bool, tmp_path: Path) -> None:
    """A file without a header gets names for its own fields alone."""
    feed, items = small_feed(), pd.DataFrame({"called": range(90), "length": np.arange(90) % 41 / 2})
    feed["day"], items["kind"] = feed.pop("ts").dt.date, np.arange(90) % 3
    for name, table in (("log", feed), ("items", items)):
        for value, rows in table.groupby(column := table.columns[-1]):
            (tmp_path / name / f"{column}={value}").mkdir(parents=True)
            rows.drop(columns=column).to_csv(tmp_path / name / f"{column}={value}" / "a.csv", index=False, header=has_header)
    proposal = propose([tmp_path / "log", tmp_path / "items"], tmp_path)
    (tmp_path / "own.toml").write_text(proposal.text, encoding="utf-8")
    assert look(tmp_path / "own.toml").error is None
    assert proposal.tables["source"]["columns"] == {"user_id": "user_id", "item_id": "item_id", "timestamp": "day"}
    assert proposal.tables["features"]["item"] == ["length" if has_header else "item_column_2", "kind"]


def test_counts_over_all_days_are_no_features(tmp_path: Path) -> None:
    items = pd.DataFrame(
        {"item_id": range(90), "genre": ["a", "b", "c"] * 30, "show_cnt": range(90), "avg_rating": [n % 7 for n in range(90)],
         "completion": range(90)}
    )  # fmt: skip
    items.to_csv(tmp_path / "items.csv", index=False)
    tables, text = proposed(tmp_path, small_feed(), tmp_path / "items.csv")
    assert tables["features"]["item"] == ["genre"]
    assert "they may count what happened on later days: show_cnt (items), avg_rating (items), completion (items)." in text


def test_length_price_and_times_of_an_item_are_features(tmp_path: Path) -> None:
    """They are known before the impression. Nothing is counted by a time: each is one of its own."""
    times = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(90) % 40, unit="D")
    known = {"duration_ms": range(90), "upload_time": times.astype(str), "release_time": times, "list_price": range(90)}
    items = pd.DataFrame({"item_id": range(90), **known, "avg_watch_time": range(90), "stay_duration": range(90)})
    items.to_parquet(tmp_path / "items.parquet")
    tables, text = proposed(tmp_path, small_feed(), tmp_path / "items.parquet")
    assert tables["features"]["item"] == list(known)
    assert tables["features"]["entities"] == [["user_id"], ["item_id"]]
    assert "# Left out, because they may count what happened on later days: avg_watch_time (items), stay_duration (items)." in text


def test_the_time_that_a_user_has_spent_is_no_feature_and_that_of_the_first_visit_is_one(tmp_path: Path) -> None:
    feed = small_feed()
    ids = feed["user_id"].unique()
    signed_up = (pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(len(ids)) % 40, unit="D")).astype(str)
    users = pd.DataFrame({"user_id": ids, "signup_time": signed_up, "online_time": range(len(ids)), "usage_duration": range(len(ids))})
    users.to_csv(tmp_path / "users.csv", index=False)
    tables, text = proposed(tmp_path, feed, tmp_path / "users.csv")
    assert tables["features"]["user"] == ["signup_time"]
    assert "# Left out, because they may count what happened on later days: online_time (users), usage_duration (users)." in text


def test_of_two_files_on_items_the_richer_one_is_taken(tmp_path: Path) -> None:
    pd.DataFrame({"item_id": range(90), "genre": ["a", "b"] * 45, "length": range(90)}).to_csv(tmp_path / "items.csv", index=False)
    pd.DataFrame({"item_id": range(90), "tmdb": [n % 50 for n in range(90)]}).to_csv(tmp_path / "links.csv", index=False)
    tables, text = proposed(tmp_path, small_feed(), tmp_path / "items.csv", tmp_path / "links.csv")
    assert tables["source"]["items"] == "items.csv"
    assert "# Not used, because another file describes the same: links.csv." in text


def test_the_newest_snapshot_tells_what_a_path_with_a_day_describes(tmp_path: Path) -> None:
    for day in (1, 2):
        (tmp_path / "items" / f"date=2024-01-0{day}").mkdir(parents=True)
        items = pd.DataFrame({"item_id": range(90), "genre": ["a", "b"] * 45, "length": range(day, 90 + day)})
        items.to_parquet(tmp_path / "items" / f"date=2024-01-0{day}" / "part.parquet")
    tables, _ = proposed(tmp_path, small_feed(), tmp_path / "items" / "date={day}" / "*.parquet")
    assert tables["source"]["items"] == "items/date={day}/*.parquet"
    assert tables["features"]["item"] == ["genre", "length"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_index_of_a_frame_is_no_feature(tmp_path: Path, suffix: str) -> None:
    items = pd.DataFrame({"item_id": range(90), "genre": ["a", "b"] * 45}).sample(frac=1, random_state=1)
    path = tmp_path / f"items.{suffix}"
    items.to_csv(path) if suffix == "csv" else items.to_parquet(path)
    tables, _ = proposed(tmp_path, small_feed(), path)
    assert tables["features"]["item"] == ["genre"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_key_that_the_log_calls_otherwise_is_named(tmp_path: Path, suffix: str) -> None:
    items = pd.DataFrame({"genre": ["a", "b"] * 45, "id": range(90)})
    path = tmp_path / f"items.{suffix}"
    items.to_csv(path, index=False) if suffix == "csv" else items.to_parquet(path)
    tables, _ = proposed(tmp_path, small_feed(), path)
    assert tables["source"]["format"]["items"] == {"key": "id"}
    assert tables["features"]["item"] == ["genre"]


def _editions() -> tuple[pd.DataFrame, pd.DataFrame]:
    """A log whose items have an id and one of all their editions, and a file that describes the latter."""
    feed = small_feed()
    editions = feed.pop("item_id")
    feed["asin"], feed["parent_asin"] = [f"B{n:03}" for n in editions], [f"B{n - n % 3:03}" for n in editions]
    return feed, pd.DataFrame({"parent_asin": [f"B{n:03}" for n in range(0, 90, 3)], "genre": ["a", "b"] * 15})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_item_is_the_column_by_which_the_file_of_items_names_it(tmp_path: Path, suffix: str) -> None:
    feed, items = _editions()
    path = tmp_path / f"items.{suffix}"
    items.to_csv(path, index=False) if suffix == "csv" else items.to_parquet(path)
    tables, text = proposed(tmp_path, feed, path)
    assert tables["source"]["columns"]["item_id"] == "parent_asin"
    assert tables["source"]["items"] == path.name
    assert "# unsure: parent_asin rather than asin, because a file describes items by it" in text


def test_the_guessed_item_stays_where_a_file_has_it(tmp_path: Path) -> None:
    feed, items = _editions()
    items.to_csv(tmp_path / "parents.csv", index=False)
    feed[["asin"]].drop_duplicates().assign(length=range(90)).to_csv(tmp_path / "items.csv", index=False)
    tables, text = proposed(tmp_path, feed, tmp_path / "items.csv", tmp_path / "parents.csv")
    assert (tables["source"]["columns"]["item_id"], tables["source"]["items"]) == ("asin", "items.csv")
    assert "# Not used: parents.csv (" in text


def test_a_file_of_authors_describes_no_items(tmp_path: Path) -> None:
    """Numbers from 0 on fit both, and the log says whose they are."""
    pd.DataFrame({"author_id": range(80), "fans": ["few", "many"] * 40}).to_csv(tmp_path / "authors.csv", index=False)
    feed = small_feed().assign(author_id=lambda feed: feed["item_id"] % 80)
    tables, text = proposed(tmp_path, feed, tmp_path / "authors.csv")
    assert tables["source"]["columns"]["item_id"] == "item_id"
    assert "items" not in tables["source"]
    assert "and no name of another column of the log" in text


def test_a_row_number_of_the_log_is_no_key_of_a_file(tmp_path: Path) -> None:
    pd.DataFrame({"id": range(90), "genre": ["a", "b"] * 45}).to_csv(tmp_path / "items.csv", index=False)
    tables, _ = proposed(tmp_path, small_feed().reset_index(names="id"), tmp_path / "items.csv")
    assert tables["source"]["items"] == "items.csv"


def test_json_objects_are_no_lists_of_values(tmp_path: Path) -> None:
    """Their commas part no values: the features were "Type": "P" and "Confidence": 1.0."""
    files = csv_with_tabs(tmp_path)
    videos = pd.read_csv(tmp_path / "videos.csv")
    entity = '[{"Label": "X%d", "Type": "P", "Confidence": 1.0}]'
    videos["entities"] = [entity % (row % 5) if row % 3 else "[]" for row in range(len(videos))]
    videos["moods"] = ["[calm, loud]" if row % 2 else "[loud]" for row in range(len(videos))]
    videos.to_csv(tmp_path / "videos.csv", index=False)
    proposal = propose(files, tmp_path)
    assert "entities" not in proposal.tables["features"]["item"]
    assert list(proposal.tables["features"]["multi"]) == ["tags", "moods"]
    assert "Left out, because they hold JSON objects: entities (items)" in proposal.text


@pytest.mark.parametrize(
    ("owner", "name", "role"), [("item_id", "asin", "items"), ("user_id", "cust", "users"), ("item_id", "id", "items")]
)
def test_a_key_that_the_log_repeats_under_its_name_describes_the_ids(owner: str, name: str, role: str, tmp_path: Path) -> None:
    feed = small_feed()
    feed[name] = feed.groupby("user_id").cumcount() if name == "id" else feed[owner]
    keys = np.sort(feed[owner].unique())
    pd.DataFrame({name: keys, "genre": keys % 5}).to_csv(tmp_path / "side.csv", index=False)
    tables, _ = proposed(tmp_path, feed, tmp_path / "side.csv")
    assert tables["source"][role] == "side.csv"


def test_a_count_whose_values_are_like_ids_is_no_key(tmp_path: Path) -> None:
    """Numbers from 0 on may be those of users, and the views of articles."""
    pd.DataFrame({"article": [f"a{n}" for n in range(150)], "total_pageviews": range(150)}).to_csv(tmp_path / "articles.csv", index=False)
    tables, text = proposed(tmp_path, small_feed(), tmp_path / "articles.csv")
    assert not {"users", "items"} & set(tables["source"])
    assert "Not used: articles.csv" in text
