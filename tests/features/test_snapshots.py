"""Users and items that change from day to day: each day joins the newest snapshot that is not after it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from recsys import artifacts
from recsys.errors import ArtifactError
from recsys.progress import Console
from recsys.stages import STAGES, Job, examples_of
from tests.features.asking import ask, comparable
from tests.features.conftest import ITEMS, USERS
from tests.staged import build

QUIET = Console(quiet=True)
MAKER = pa.field("log.maker", pa.int64())  # who made the item, as the snapshot of its day says it
FEATURES: dict[str, Any] = {
    "context": ["tab", "maker"],
    "category": ["tab", "maker"],
    "entities": [["author_id"], ["maker"], ["user_id", "author_id"], ["user_id", "maker"], ["tag", "tab"]],
    "today": [["user_id", "author_id"], ["user_id", "maker"]],
    "windows": [1, 3],
}


def items_on(feed: Any, place: int) -> list[dict[str, Any]]:
    """The items of a snapshot: each time others have made them."""
    authors = [10, 11, None, 12]
    return [{**item, "author_id": authors[(number + place) % 4]} for number, item in enumerate(feed.items)]


def users_on(feed: Any, place: int) -> list[dict[str, Any]]:
    return [{**user, "level": user["level"] + 100 * place} for user in feed.users]


def write_snapshots(folder: Path, feed: Any, days: list[str], moved: int = 0) -> Path:
    """Snapshots of these days in place of the one file. Those from the third day on may be `moved`."""
    for name, columns, rows_on in (("users", USERS, users_on), ("items", ITEMS, items_on)):
        with artifacts.writing(folder / name, stage="ingest", fingerprint="test") as output:
            for place, day in enumerate(days):
                rows = rows_on(feed, place + (moved if place >= 2 else 0))
                output.write_table(f"day={day}/part-0.parquet", pa.Table.from_pylist(rows, schema=columns))
    return folder


def with_makers(feed: Any, rows: list[dict[str, Any]], days: list[str]) -> list[dict[str, Any]]:
    """The rows, each with what its day's snapshot says of its item."""
    found = []
    for row in rows:
        place = max((place for place, day in enumerate(days) if day <= feed.day_of(row)), default=0)
        makers = {item["item_id"]: item["author_id"] for item in items_on(feed, place)}
        found.append(row | {MAKER.name: makers.get(row["item_id"])})
    return found


def snapshot_days(feed: Any) -> list[str]:
    """No snapshot of the second day, and of a day without impressions."""
    first, _, third, fourth = feed.days
    return [first, "2022-03-03", third, fourth]


def fingerprints(folder: Path, pipeline: Any) -> dict[str, str]:
    job = Job(pipeline, folder, folder / "runs" / "test", examples_of(pipeline, folder), folder / "encoded", QUIET)
    stage = STAGES["features"]
    return {part.name: part.origin.fingerprint for part in stage.parts(job, stage.receives(pipeline))}


@pytest.mark.words
def test_a_day_joins_the_newest_snapshot_that_is_not_after_it(feed: Any) -> None:
    """So its counters by author are those by a column of the log that says the same."""
    days = snapshot_days(feed)
    workspace = feed.write("log", with_makers(feed, feed.tasteful_events(1), days), [MAKER])
    built = build(feed.pipeline(features=FEATURES), write_snapshots(workspace, feed, days), console=QUIET)
    for day, table in feed.examples(built.folder).items():
        joined = [name for name in table.column_names if "author_id" in name and not name.startswith(("id.", "history"))]
        assert len(joined) > 10
        for name in joined:
            assert table[name].equals(table[name.replace("author_id", "maker")]), f"{name} on {day}"
        place = max(place for place, each in enumerate(days) if each <= day)
        levels = {user["user_id"]: user["level"] for user in users_on(feed, place)}
        assert table["user.level"].to_pylist() == [levels.get(user) for user in table["user_id"].to_pylist()]


@pytest.mark.words
def test_days_before_the_first_snapshot_join_it(feed: Any) -> None:
    days = [feed.days[2]]
    workspace = feed.write("log", with_makers(feed, feed.events(2), days), [MAKER])
    built = build(feed.pipeline(features=FEATURES), write_snapshots(workspace, feed, days), console=QUIET)
    levels = {table["user.level"][at].as_py() for table in feed.examples(built.folder).values() for at in range(len(table))}
    assert levels == {0.0, 1.0, 2.0, 3.0, None}


@pytest.mark.words
def test_a_new_snapshot_makes_no_earlier_day_stale_and_the_days_end_as_all_at_once(feed: Any) -> None:
    days, pipeline = snapshot_days(feed), feed.pipeline(features=FEATURES)
    rows = with_makers(feed, feed.tasteful_events(3), days)
    whole = build(pipeline, write_snapshots(feed.write("whole", rows, [MAKER]), feed, days), console=QUIET)
    first, second, third, fourth = feed.days
    for last in (third, fourth):
        split = {"train": [first, second], "test": [last, last]}
        some = [row for row in rows if feed.day_of(row) <= last]
        grown_folder = write_snapshots(feed.write("grown", some, [MAKER]), feed, [day for day in days if day <= last])
        grown = build(feed.pipeline(features=FEATURES, split=split), grown_folder, console=QUIET)
    assert grown.fresh == 2, "the first two; the third got no examples again, because no part of the split has it"
    of_whole, of_grown = (feed.bytes(folder.parents[1] / "state") for folder in (whole.folder, grown.folder))
    assert of_whole == of_grown
    assert feed.examples(grown.folder)[fourth].equals(feed.examples(whole.folder)[fourth])


def test_a_corrected_snapshot_makes_its_days_stale_and_what_follows(feed: Any) -> None:
    days, pipeline = snapshot_days(feed), feed.pipeline(features=FEATURES)
    workspace = write_snapshots(feed.write("log", with_makers(feed, feed.events(4), days), [MAKER]), feed, days)
    before = fingerprints(workspace, pipeline)
    after = fingerprints(write_snapshots(workspace, feed, days, moved=1), pipeline)
    assert [day for day in before if before[day] != after[day]] == list(feed.days[2:])


@pytest.mark.words
def test_candidates_join_the_snapshot_of_their_moment(feed: Any, tmp_path: Path) -> None:
    days, pipeline = snapshot_days(feed), feed.pipeline(features=FEATURES)
    rows = with_makers(feed, feed.tasteful_events(5), days)
    workspace = write_snapshots(feed.write("log", rows, [MAKER]), feed, days)
    built = build(pipeline, workspace, console=QUIET)
    examples = feed.examples(built.folder)
    for day in feed.days[1:]:
        wanted = examples[day]
        by_id = {row["event_id"]: row for row in rows}
        given = [by_id[event] for event in wanted["event_id"].to_pylist()]
        candidates = [
            {name: row[name] for name in ("event_id", "user_id", "item_id", "timestamp")}
            | {"tab": row["log.tab"], "maker": row[MAKER.name]}
            for row in given
        ]
        found, expected = ask(pipeline, workspace, candidates, tmp_path / day), comparable(wanted)
        assert [name for name in expected.column_names if not found[name].equals(expected[name])] == []


@pytest.mark.words
def test_a_snapshot_with_other_columns_is_named(feed: Any) -> None:
    days = snapshot_days(feed)
    workspace = write_snapshots(feed.write("log", feed.events(6)), feed, days)
    other = pa.Table.from_pylist(items_on(feed, 3), schema=ITEMS).drop_columns(["tag"])
    with artifacts.writing(workspace / "items", stage="ingest", fingerprint="test") as output:
        for place, day in enumerate(days):
            table = other if place == 3 else pa.Table.from_pylist(items_on(feed, place), schema=ITEMS)
            output.write_table(f"day={day}/part-0.parquet", table)
    with pytest.raises(ArtifactError, match=r"day=2022-03-05/part-0\.parquet: found other columns or types than on the first day"):
        build(feed.pipeline(), workspace, console=QUIET)
