"""`recsys init` on parquet files whose types say less than their values do."""

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.checkup import look
from recsys.cli import run_command
from recsys.errors import DataError
from recsys.proposal import propose
from tests.proposal.small_feed import small_feed

pytestmark = pytest.mark.words


def _feed(rows: int = 3_000) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    ts = pd.Timestamp("2024-01-02").value // 10**6 + np.sort(rng.integers(0, 6 * 86_400_000, rows))
    click = (rng.random(rows) < 0.3).astype(int)
    watched = (click * rng.exponential(20, rows)).round(1)
    return pd.DataFrame({
        "user_id": rng.integers(0, 150, rows), "item_id": rng.integers(0, 90, rows), "ts": ts, "is_click": click, "watch_time": watched,
    })  # fmt: skip


def _init(path: Path) -> tuple[dict, list[str]]:
    """The tables of the proposal, on which check finds no error, and the base rates in its comments."""
    out = path.with_name("own.toml")
    assert run_command(["init", str(path), "--out", str(out)]) == 0
    found = look(out)
    assert found.error is None, found.error
    text = out.read_text(encoding="utf-8")
    return tomllib.loads(text), re.findall(r"# (?:1 in|mean) .*", text)


@pytest.mark.parametrize("form", [str, lambda value: f"{value:.1f}"])
def test_numbers_that_are_texts_become_labels_and_signals(tmp_path: Path, form: Callable[[float], str]) -> None:
    feed = _feed()
    (tmp_path / "numbers").mkdir()
    feed.to_parquet(tmp_path / "numbers" / "log.parquet")
    feed.assign(is_click=feed["is_click"].map(form), watch_time=feed["watch_time"].map(str)).to_parquet(tmp_path / "log.parquet")
    tables, rates = _init(tmp_path / "log.parquet")
    assert len(rates) == 2
    assert rates == _init(tmp_path / "numbers" / "log.parquet")[1]
    assert tables["features"]["signals"] == ["click", "watch_time_value"]
    assert tables["features"]["expressions"] == {
        "click": f"is_click = '{form(1)}'", "watch_time_value": "cast(watch_time as double)",
    }  # fmt: skip


@pytest.mark.parametrize("words", [("no", "yes"), ("false", "true")])
def test_words_of_yes_and_no_are_signals_too(tmp_path: Path, words: tuple[str, str]) -> None:
    feed = _feed()
    feed.assign(is_click=feed["is_click"].map(dict(enumerate(words)))).to_parquet(tmp_path / "log.parquet")
    tables, _ = _init(tmp_path / "log.parquet")
    assert tables["objective"][0]["label"] == f"is_click = '{words[1]}'"
    assert tables["features"]["signals"] == ["click", "watch_time"]


def _parts(tmp_path: Path, first: pa.Table | pd.DataFrame, rest: pd.DataFrame) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    pq.write_table(first if isinstance(first, pa.Table) else pa.Table.from_pandas(first, preserve_index=False), folder / "0.parquet")
    rest.to_parquet(folder / "1.parquet")
    return folder


def test_a_first_file_without_rows_or_types_says_nothing_about_the_others(tmp_path: Path) -> None:
    feed = _feed()
    whole = _init(_parts(tmp_path, pa.table({name: pa.nulls(0) for name in feed}), feed))
    assert whole[0]["source"]["columns"] == {"user_id": "user_id", "item_id": "item_id", "timestamp": "ts"}
    assert [entry["label"] for entry in whole[0]["objective"]] == ["is_click = 1", "watch_time"]


def test_a_column_of_several_types_is_looked_at_as_a_run_reads_it(tmp_path: Path) -> None:
    feed = _feed()
    first, rest = feed[:1_000], feed[1_000:]
    naive, aware = pd.to_datetime(first["ts"], unit="ms"), pd.to_datetime(rest["ts"], unit="ms", utc=True)
    folder = _parts(tmp_path, first.assign(ts=naive), rest.assign(is_click=rest["is_click"].astype(str), ts=aware))
    tables, _ = _init(folder)
    assert tables["source"]["time"] == {"unit": "iso", "zone": "UTC"}
    assert tables["objective"][0]["label"] == "is_click = '1'"


@pytest.mark.parametrize("start", ["1934-01-02", "2324-01-02"])
def test_times_of_other_centuries_are_named(tmp_path: Path, start: str) -> None:
    feed = _feed()
    moved = feed["ts"].to_numpy() + (np.datetime64(start) - np.datetime64("2024-01-02")) // np.timedelta64(1, "ms")
    feed.assign(ts=moved.astype("datetime64[ms]")).to_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match=rf'column ts: found "{start} .*, expected a time between 1971 and 2100; 3,000 of 3,000 rows'):
        propose([tmp_path / "log.parquet"], tmp_path)


@pytest.mark.parametrize("ours", [("user_id", "item_id"), ("uid", "vid")])
def test_users_and_items_with_the_same_numbers_are_told_apart_by_their_names(tmp_path: Path, ours: tuple[str, str]) -> None:
    """Numbers from 0 on fit both: the name of the key decides which file describes which."""
    feed = _feed().assign(user_id=lambda log: log["user_id"] % 90).rename(columns=dict(zip(("user_id", "item_id"), ours, strict=True)))
    feed.to_parquet(tmp_path / "log.parquet")
    rng = np.random.default_rng(6)
    pd.DataFrame({ours[1]: range(90), "genre": rng.choice(["a", "b"], 90)}).to_parquet(tmp_path / "items.parquet")
    pd.DataFrame({ours[0]: range(80), "country": rng.choice(["DE", "FR"], 80)}).to_parquet(tmp_path / "users.parquet")
    tables = propose([tmp_path / name for name in ("log.parquet", "items.parquet", "users.parquet")], tmp_path).tables
    assert (tables["source"]["users"], tables["source"]["items"]) == ("users.parquet", "items.parquet")
    assert (tables["features"]["user"], tables["features"]["item"]) == (["country"], ["genre"])


@pytest.mark.parametrize("told", [{}, {"item_id": "thing"}], ids=["not found", "told"])
def test_nested_columns_are_named_where_a_role_is_missing(told: dict[str, str], tmp_path: Path) -> None:
    """The command in the message takes them apart, and init reads what it writes."""
    feed = small_feed()
    things = [{"id": item, "of": {"kind": f"k{item % 3}"}} for item in feed.pop("item_id")]
    feed.assign(thing=things).to_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError) as caught:
        propose([tmp_path / "log.parquet"], tmp_path, told)
    assert "found nested columns, which were passed over: thing (struct<id: int64, of: struct<kind: string>>)" in str(caught.value)
    command = str(caught.value).split("take them apart into columns: python ")[1].removesuffix(" and give init that file")
    subprocess.run([sys.executable, *shlex.split(command)], check=True)
    tables = propose([tmp_path / "log-flat.parquet"], tmp_path, {"item_id": "thing_id"}).tables
    assert tables["source"]["columns"]["item_id"] == "thing_id"


def test_a_row_that_holds_a_whole_list_is_said(tmp_path: Path) -> None:
    """As MIND has it. The command in the message writes a row per impression, and init reads what it writes."""
    feed = small_feed()
    marked = "N" + feed["item_id"].astype(str) + "-" + feed["click"].astype(str)
    lists = marked.groupby(feed.index // 5).agg(" ".join)
    first = feed[::5].reset_index(drop=True)
    ts = first["ts"].dt.strftime("%m/%d/%Y %I:%M:%S %p")
    rows = pd.DataFrame({"n": range(len(first)), "user": "U" + first["user_id"].astype(str), "ts": ts, "history": "N1 N2", "shown": lists})
    rows.to_csv(tmp_path / "behaviors.tsv", sep="\t", index=False, header=False)
    with pytest.raises(DataError, match="column column_5: found a whole list in a row") as caught:
        propose([tmp_path / "behaviors.tsv"], tmp_path)
    command = str(caught.value).split("write them so: python ")[1].removesuffix(" and give init that file")
    subprocess.run([sys.executable, *shlex.split(command)], check=True)
    proposal = propose([tmp_path / "behaviors-rows.parquet"], tmp_path)
    tables = proposal.tables
    columns = {"user_id": "column_2", "item_id": "item_id", "timestamp": "column_3", "request_id": "column_1"}
    assert tables["source"]["columns"] == columns
    assert "# unsure: column_1 numbers the lists: the rows of each value share a user and a moment\nrequest_id" in proposal.text
    assert [entry["name"] for entry in tables["objective"]] == ["clicked"]


def test_a_list_of_what_was_shown_beside_what_was_chosen_of_it_is_said(tmp_path: Path) -> None:
    """As EB-NeRD has it, with a page's own article and a time spent there. The command makes a row per impression, with its clicks."""
    rng = np.random.default_rng(3)
    feed = small_feed()
    feed["item_id"] = np.concatenate([rng.choice(90, 5, replace=False) for _ in range(len(feed) // 5)])
    lists = feed.groupby(feed.index // 5)
    behaviors = lists[["user_id", "ts"]].first()
    behaviors["article_id"] = pd.array(np.where(rng.random(len(behaviors)) < 0.3, rng.integers(0, 90, len(behaviors)), None), "Int32")
    behaviors["read_time"] = rng.exponential(30, len(behaviors))
    behaviors["shown"] = lists["item_id"].agg(list)
    behaviors["chosen"] = lists.apply(lambda rows: list(rows["item_id"][rows["click"] == 1]))
    behaviors["mood"] = [["calm"], ["calm", "odd"]] * (len(behaviors) // 2)
    behaviors.to_parquet(tmp_path / "behaviors.parquet", index=False)
    with pytest.raises(DataError, match="columns shown, chosen: found lists") as caught:
        propose([tmp_path / "behaviors.parquet"], tmp_path)
    command = str(caught.value).split("write them so: python ")[1].split(" and give init that file")[0]
    subprocess.run([sys.executable, *shlex.split(command)], check=True)
    made = pd.read_parquet(tmp_path / "behaviors-rows.parquet")
    assert (len(made), made["clicked"].sum(), made["clicked"].isna().sum()) == (len(feed), feed["click"].sum(), 0)
    tables = propose([tmp_path / "behaviors-rows.parquet"], tmp_path).tables
    assert tables["source"]["columns"] == {"user_id": "user_id", "item_id": "item_id", "timestamp": "ts"}
    assert tables["objective"][0]["label"] == "clicked is true"
    assert (
        propose([tmp_path / "behaviors.parquet"], tmp_path, {"item_id": "article_id"}).tables["source"]["columns"]["item_id"]
        == "article_id"
    )


def test_lists_of_properties_are_no_lists_of_what_was_shown(tmp_path: Path) -> None:
    """The main tags of a video are among its tags."""
    feed = _feed()
    tags = [[number % 7, 10 + number % 3, 20 + number % 5] for number in range(90)]
    feed["tags"], feed["main_tags"] = ([of[:kept] for of in map(tags.__getitem__, feed["item_id"])] for kept in (3, 1))
    feed.to_parquet(tmp_path / "log.parquet", index=False)
    tables, _ = _init(tmp_path / "log.parquet")
    assert tables["objective"][0]["label"] == "is_click = 1"
