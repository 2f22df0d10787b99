"""Event logs: what counts as an impression, which action goes to which, and what becomes of each row, against a reading row by row."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from recsys.config import EventsSource
from recsys.errors import DataError
from recsys.progress import Console
from tests.sources.logs import START, Ingested

COLUMNS = {"user_id": "user", "item_id": "item", "timestamp": "time", "action": "did"}
MINUTE = 60_000
SOURCE = {
    "kind": "events",
    "columns": COLUMNS,
    "views": ["pv", "impression"],
    "ignore": ["scroll"],
    "feedback": [{"name": "cart", "within": "1h"}, {"name": "paid", "actions": ["buy", "order"], "value": "price"}],
}


def _random_log(seed: int, rows: int = 400) -> pd.DataFrame:
    """A log of few users and items, so that sessions, repeated views, late actions and orphans all occur."""
    rng = np.random.default_rng(seed)
    words = rng.choice(["pv", "impression", "cart", "buy", "order", "scroll"], rows, p=[0.45, 0.1, 0.2, 0.1, 0.05, 0.1])
    steps = rng.choice([0, 1, 3, 9, 10, 11, 59, 61, 700], rows, p=[0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.04, 0.04, 0.02])
    log = pd.DataFrame({
        "user": rng.integers(0, 4, rows), "item": rng.integers(0, 5, rows), "time": START + np.cumsum(steps) * MINUTE, "did": words,
        "price": np.where(np.isin(words, ["buy", "order"]), rng.integers(1, 9, rows), np.nan), "page": rng.integers(0, 3, rows),
    })  # fmt: skip
    log = log.drop_duplicates(["user", "item", "time", "did"])
    return pd.concat([log, log.iloc[::40]]).sample(frac=1, random_state=seed)  # some rows twice, all in any order


@dataclass
class Expected:
    shown: dict[tuple[int, int, int], dict[str, float]] = field(default_factory=dict)  # (user, item, time) → feedback
    joined: int = 0
    repeated: int = 0
    orphans: list[tuple[int, int, int]] = field(default_factory=list)


def _sessions(rows: Sequence[Any], gap: int) -> dict[int, int]:
    """Return place → session, a number by user and pause. `rows` are in time order."""
    last: dict[int, int] = {}
    session: dict[int, int] = {}
    found = {}
    for place, row in enumerate(rows):
        if row.user not in last or row.time - last[row.user] >= gap:
            session[row.user] = len(found)
        last[row.user] = row.time
        found[place] = session[row.user]
    return found


def _expected(log: pd.DataFrame, *, gap: int, keep: bool) -> Expected:
    within = {"cart": 60 * MINUTE, "buy": 24 * 60 * MINUTE, "order": 24 * 60 * MINUTE}
    name = {"cart": "cart", "buy": "paid", "order": "paid"}
    rows = [row for row in log.drop_duplicates().sort_values("time", kind="stable").itertuples() if row.did != "scroll"]
    sessions = _sessions(rows, gap)

    def first(places: Sequence[int]) -> set[int]:
        """Return the first of these rows in each session and of each item."""
        found: dict[tuple[int, int], int] = {}
        for place in places:
            found.setdefault((sessions[place], rows[place].item), place)
        return set(found.values())

    def impression(place: int) -> int | None:
        """Return the impression that an action joins."""
        act = rows[place]
        earlier = [n for n in shown if (rows[n].user, rows[n].item) == (act.user, act.item) and rows[n].time <= act.time]
        best = max(earlier, key=lambda n: rows[n].time, default=None)
        return best if best is not None and rows[best].time >= act.time - within[act.did] else None

    views = [place for place, row in enumerate(rows) if row.did in ("pv", "impression")]
    actions = [place for place, row in enumerate(rows) if row.did in within]
    shown = first(views)
    joins = {place: impression(place) for place in actions}
    while keep and (orphans := [place for place in actions if joins[place] is None]):
        shown |= first(orphans)
        joins |= {place: impression(place) for place in orphans}
    values: dict[int, dict[str, list[tuple[int, float]]]] = {place: defaultdict(list) for place in shown}
    for place, to in joins.items():
        if to is not None:
            act = rows[place]
            values[to][name[act.did]].append((act.time, 1.0 if act.did == "cart" else act.price))
    return Expected(
        {(rows[n].user, rows[n].item, rows[n].time): {each: max(of_name)[1] for each, of_name in of.items()} for n, of in values.items()},
        joined=sum(to is not None and place not in shown for place, to in joins.items()),
        repeated=len(set(views) - shown),
        orphans=sorted((rows[n].user, rows[n].item, rows[n].time) for n, to in joins.items() if to is None),
    )


@pytest.mark.parametrize("orphan", ["quarantine", "keep"])
@pytest.mark.parametrize("gap", ["10m", "1h"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_event_log_becomes_what_a_reading_row_by_row_gives(
    tmp_path: Path, ingest: Callable[..., Ingested], seed: int, gap: str, orphan: str
) -> None:
    log = _random_log(seed)
    log.to_csv(tmp_path / "log.csv", index=False)
    found = ingest(**SOURCE, session_gap=gap, orphan=orphan)
    expected = _expected(log, gap={"10m": 10, "1h": 60}[gap] * MINUTE, keep=orphan == "keep")
    events = found.events()
    shown = {
        (row["user_id"], row["item_id"], row["timestamp"]): {
            name: row[f"feedback.{name}"] for name in ("cart", "paid") if not np.isnan(row[f"feedback.{name}"])
        }
        for _, row in events.iterrows()
    }
    assert shown == expected.shown
    account = found.account
    told = log[log["did"] != "scroll"]
    assert (account.read, account.kept, account.duplicate) == (len(log), len(expected.shown), told.duplicated().sum())
    assert (account.joined, account.repeated) == (expected.joined, expected.repeated)
    assert (account.ignored, account.quarantined) == (len(log) - len(told), len(expected.orphans))
    assert bool(expected.orphans) == (orphan == "quarantine")
    quarantine = found.table("quarantine").to_pylist()
    lines = [row["source_row"] for row in quarantine]
    at = [tuple(log.iloc[line - 2][["user", "item", "time"]]) for line in lines]
    assert sorted(at) == expected.orphans
    assert all("of the item by the user at most" in row["reason"] for row in quarantine)


def test_the_order_of_the_rows_and_of_the_files_changes_nothing(tmp_path: Path, ingest: Callable[..., Ingested]) -> None:
    log = _random_log(4)
    log.to_csv(tmp_path / "log.csv", index=False)
    whole = ingest(**SOURCE, to="whole").events()
    (tmp_path / "parts").mkdir()
    for part, name in enumerate("ba"):
        log.sample(frac=1, random_state=part + 9).iloc[part::2].to_csv(tmp_path / "parts" / f"{name}.csv", index=False)
    rest = log.drop_duplicates()
    rest.to_csv(tmp_path / "parts" / "c.csv", index=False)
    pd.testing.assert_frame_equal(ingest("parts", **SOURCE, to="split").events(), whole)


def _write(path: Path, rows: Sequence[tuple[object, ...]], names: str = "user,item,time,did") -> None:
    path.write_text("\n".join([names, *(",".join(map(str, row)) for row in rows)]) + "\n")


PLAIN: Mapping[str, Any] = {"kind": "events", "columns": COLUMNS, "views": ["pv"], "feedback": [{"name": "buy"}]}


def test_a_request_of_the_log_takes_the_place_of_a_session(tmp_path: Path, ingest: Callable[..., Ingested]) -> None:
    rows = [(1, 7, START, "pv", "r1"), (1, 7, START + MINUTE, "pv", "r2"), (1, 7, START + 99 * MINUTE, "pv", "r2"), (1, 7, START, "pv", "")]
    _write(tmp_path / "log.csv", rows, "user,item,time,did,request")
    events = ingest(**{**PLAIN, "columns": {**COLUMNS, "request_id": "request"}}).events()
    assert sorted(events["request_id"].fillna("none")) == ["none", "r1", "r2"]


def test_impressions_of_one_session_share_a_request(tmp_path: Path, ingest: Callable[..., Ingested]) -> None:
    rows = [(1, 7, START, "pv"), (1, 8, START + 9 * MINUTE, "pv"), (1, 9, START + 19 * MINUTE, "pv"), (2, 7, START, "pv")]
    _write(tmp_path / "log.csv", rows)
    events = ingest(**PLAIN).events().set_index(["user_id", "item_id"])["request_id"]
    assert events[1, 7] == events[1, 8]
    assert events.nunique() == 3


def test_an_action_extends_a_session_and_one_that_is_ignored_does_not(tmp_path: Path, ingest: Callable[..., Ingested]) -> None:
    for did, sessions in (("buy", 1), ("scroll", 2)):
        _write(tmp_path / "log.csv", [(1, 7, START, "pv"), (1, 7, START + 9 * MINUTE, did), (1, 7, START + 18 * MINUTE, "pv")])
        assert len(ingest(**PLAIN, ignore=["scroll"], to=did).events()) == sessions


def test_numbers_as_actions(tmp_path: Path, ingest: Callable[..., Ingested]) -> None:
    log = pd.DataFrame({"user": [1, 1, 2], "item": [7, 7, 7], "time": [START, START + MINUTE, START], "did": [1, 4, 1]})
    options = {**PLAIN, "views": ["1"], "feedback": [{"name": "buy", "actions": ["4"]}]}
    for name, kind in (("log.csv", "int64"), ("ints.parquet", "int64"), ("floats.parquet", "float64")):
        frame = log.astype({"did": kind})
        frame.to_parquet(tmp_path / name) if name.endswith("parquet") else frame.to_csv(tmp_path / name, index=False)
        assert ingest(name, **options, to=name.replace(".", "-")).events()["feedback.buy"].fillna(0).tolist() in ([1.0, 0.0], [0.0, 1.0])


def test_a_kept_orphan_takes_nothing_from_a_view(tmp_path: Path, ingest: Callable[..., Ingested]) -> None:
    _write(tmp_path / "log.csv", [(1, 7, START, "buy"), (1, 7, START + MINUTE, "pv"), (1, 7, START + 60 * MINUTE, "buy")])
    events = ingest(**{**PLAIN, "feedback": [{"name": "buy", "within": "1h"}]}, session_gap="2h", orphan="keep").events()
    assert events["timestamp"].tolist() == [START, START + MINUTE]
    assert events["feedback.buy"].tolist() == [1.0, 1.0]


def test_each_orphan_that_none_before_it_serves_is_kept(tmp_path: Path, ingest: Callable[..., Ingested]) -> None:
    times = [START + minutes * MINUTE for minutes in (0, 50, 62, 63, 200)]
    _write(tmp_path / "log.csv", [(1, 7, time, "buy") for time in times])
    found = ingest(**{**PLAIN, "feedback": [{"name": "buy", "within": "1h"}]}, session_gap="24h", orphan="keep")
    assert found.events()["timestamp"].tolist() == [times[0], times[2], times[4]]
    assert (found.account.joined, found.account.quarantined) == (2, 0)


def test_rows_to_ignore_say_nothing_about_types(tmp_path: Path, ingest: Callable[..., Ingested]) -> None:
    _write(tmp_path / "log.csv", [(1, 7, START, "pv"), (1, "", START, "scroll"), (1, "home", START, "scroll"), ("x", 8, "?", "scroll")])
    found = ingest(**PLAIN, ignore=["scroll"])
    assert found.events()["item_id"].tolist() == [7]
    assert found.account.ignored == 3


def test_an_orphan_lies_in_quarantine_as_it_was_written(tmp_path: Path, ingest: Callable[..., Ingested]) -> None:
    _write(tmp_path / "log.csv", [(1, 7, START, "pv"), (1, 8, START + 1, "buy")])
    (row,) = ingest(**PLAIN).table("quarantine").to_pylist()
    assert (row["source_file"], row["source_row"]) == ("log.csv", 3)
    assert row["reason"] == 'column did: found "buy", expected a view of the item by the user at most 24h earlier'
    assert json.loads(row["raw"]) == {"did": "buy", "item": "8", "time": str(START + 1), "user": "1"}


@pytest.mark.parametrize("odd", [float("inf"), 1e300, 1.5])
def test_an_action_that_is_no_word_is_refused(tmp_path: Path, ingest: Callable[..., Ingested], odd: float) -> None:
    log = pd.DataFrame({"user": [1, 1], "item": [7, 7], "time": [START, START], "did": [1.0, odd]})
    log.to_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match=r"column did: found .*, expected one of 1, buy"):
        ingest("log.parquet", **{**PLAIN, "views": ["1"]})


def test_a_value_of_another_type_is_refused(tmp_path: Path, ingest: Callable[..., Ingested]) -> None:
    log = pd.DataFrame({"user": [1], "item": [7], "time": [START], "did": ["pv"], "at": pd.to_datetime(["2024-01-01"])})
    log.to_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match=r"column at: found values of type timestamp.*, expected numbers, for source\.feedback\.buy\.value"):
        ingest("log.parquet", **{**PLAIN, "feedback": [{"name": "buy", "value": "at"}]})


def test_the_action_and_its_value_are_no_columns_of_the_impression(tmp_path: Path, ingest: Callable[..., Ingested]) -> None:
    """With orphan = "keep" the action of an impression would tell its label."""
    _random_log(5).to_csv(tmp_path / "log.csv", index=False)
    columns = ingest(**SOURCE, orphan="keep").events().columns
    assert [name for name in columns if name.startswith("log.")] == ["log.page"]


def test_an_action_of_another_name_is_refused_with_what_to_do(tmp_path: Path, ingest: Callable[..., Ingested]) -> None:
    _write(tmp_path / "log.csv", [(1, 7, START, "pv"), (1, 7, START + 1, "fav"), (1, 8, START + 2, "")])
    with pytest.raises(DataError, match=r'log\.csv:3 column did: found "fav", expected one of pv, buy; 2 of 3 rows\. Fix: name each'):
        ingest(**PLAIN)


def test_a_value_that_is_no_number_is_refused(tmp_path: Path, ingest: Callable[..., Ingested]) -> None:
    _write(tmp_path / "log.csv", [(1, 7, START, "pv", "x"), (1, 7, START + 1, "buy", "much")], "user,item,time,did,price")
    with pytest.raises(DataError, match=r'log\.csv:3 column price: found "much", expected a number'):
        ingest(**{**PLAIN, "feedback": [{"name": "buy", "value": "price"}]})


def test_an_action_without_a_value_gives_none(tmp_path: Path, ingest: Callable[..., Ingested]) -> None:
    _write(
        tmp_path / "log.csv",
        [(1, 7, START, "pv", ""), (1, 7, START + 1, "buy", ""), (1, 7, START + 2, "buy", 3)],
        "user,item,time,did,price",
    )
    found = ingest(**{**PLAIN, "feedback": [{"name": "buy", "value": "price"}]})
    assert found.events()["feedback.buy"].tolist() == [3.0]
    assert found.account.joined == 2


def test_a_log_without_a_view_says_what_it_has(tmp_path: Path, ingest: Callable[..., Ingested]) -> None:
    _write(tmp_path / "log.csv", [(1, 7, START, "buy"), (1, 8, START, "buy")])
    with pytest.raises(
        DataError, match=r"log\.csv column did: found no view among buy \(2 rows\), expected rows of pv\. Fix: name in source\.views"
    ):
        ingest(**PLAIN)
    assert len(ingest(**PLAIN, orphan="keep").events()) == 2


def test_what_the_actions_became_is_said(tmp_path: Path, ingest: Callable[..., Ingested], capfd: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path / "log.csv", [(1, 7, START, "pv"), (1, 7, START + 1, "buy"), (1, 8, START + 1, "buy")])
    ingest(**PLAIN, console=Console())
    said = capfd.readouterr().out
    assert "feedback buy: 2 different actions" in said
    assert "of 2 different actions 1 follow no view; they are in quarantine" in said
    assert "read 3 = kept 1 + duplicate 0 + quarantined 1 + joined 1" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"views": []}, "views"),
        ({"views": [""]}, "views"),
        ({"feedback": [{"name": "buy"}, {"name": "buy", "actions": ["b"]}]}, "found the name buy more than once"),
        ({"feedback": [{"name": "buy"}, {"name": "Buy"}]}, "feedback: found Buy, buy, expected names that differ by more than case"),
        ({"feedback": [{"name": "buy", "actions": ["pv"]}]}, "found pv more than once among views, ignore and feedback"),
        ({"session_gap": "1h", "columns": {"request_id": "r"}}, "session_gap: found it beside columns.request_id"),
        ({"columns": {"propensity": "p"}}, "propensity"),
    ],
)
def test_options_that_do_not_fit(change: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EventsSource.model_validate({"kind": "events", "log": "log.csv", "views": ["pv"], **change})
