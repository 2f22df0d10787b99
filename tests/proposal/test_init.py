"""`recsys init`: from files as they lie on disk to a pipeline that check finds nothing wrong with and run walks through, unedited."""

import gzip
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from recsys.checkup import look
from recsys.cli import run_command
from recsys.config import load
from recsys.errors import DataError
from recsys.proposal import propose
from tests.checkup.edits import make_files
from tests.proposal.as_they_lie import LOGS, csv_with_tabs, tianchi
from tests.proposal.small_feed import small_feed
from tests.spread import some


def _init(files: list[Path], out: Path) -> dict:
    assert run_command(["init", *map(str, files), "--out", str(out)]) == 0
    return tomllib.loads(out.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", LOGS)
def test_the_roles_of_a_log_as_it_lies(name: str, tmp_path: Path) -> None:
    lying = LOGS[name]
    raw = _init(lying.write(tmp_path), tmp_path / "own.toml")
    assert raw["source"]["kind"] == lying.kind
    assert raw["source"]["columns"] == lying.columns
    assert {key: value for key, value in raw["source"]["time"].items() if key != "zone"} == lying.time
    assert [entry["name"] for entry in raw["objective"]] == lying.objectives
    assert raw["source"] | lying.source == raw["source"]
    assert raw["features"] | lying.features == raw["features"]


@pytest.mark.words
@pytest.mark.parametrize("name", some(LOGS, 3))
def test_check_finds_nothing_wrong_with_it(name: str, tmp_path: Path) -> None:
    _init(LOGS[name].write(tmp_path), tmp_path / "own.toml")
    found = look(tmp_path / "own.toml")
    assert found.error is None
    assert found.warnings == []


@pytest.mark.words
@pytest.mark.parametrize("name", LOGS)
def test_run_walks_through_it(name: str, tmp_path: Path) -> None:
    _init(LOGS[name].write(tmp_path), tmp_path / "own.toml")
    assert run_command(["run", str(tmp_path / "own.toml"), "--workspace", str(tmp_path / "data")]) == 0
    (page,) = (tmp_path / "data" / "own" / "runs").rglob("report.html")
    run, workspace = page.parent, ["--workspace", str(tmp_path / "data")]
    assert run_command(["show", run.name, *workspace]) == 0
    scores = pq.read_table(run / "predictions.parquet").to_pandas()
    objective = next(name for name in scores if name.startswith("pred.") and "|" not in name and "=" not in name)
    scores[["event_id", objective]].to_csv(tmp_path / "theirs.csv", index=False)
    assert run_command(["compare", run.name, "--predictions", str(tmp_path / "theirs.csv"), *workspace]) == 0


@pytest.mark.parametrize("data", [gzip.compress(b"uid,vid,ts\n" * 1_000)[:-20], b"uid,vid,ts\n1,2,3\n"], ids=["cut short", "not gzip"])
def test_a_damaged_gzip_file_is_said(data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.csv.gz").write_bytes(data)
    assert run_command(["init", str(tmp_path / "log.csv.gz"), "--out", str(tmp_path / "own.toml")]) == 3
    assert "log.csv.gz: found a damaged gzip file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("above", "behind", "said"),
    [
        ("", ",x", "log.csv:2: found 5 fields, expected 4, as in the header; 300 of 300 rows. Fix: name all 5 columns in the header; if"),
        ("# of March, by me\n", "", "above the header (# of March, by me), expected the 4 fields of the header, which seems to be line 2"),
    ],
    ids=["wider than the header", "a comment above it"],
)
@pytest.mark.parametrize("separator", [",", "\t"])
def test_rows_that_do_not_fit_the_first_line_are_said(
    above: str, behind: str, said: str, separator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{place % 40},{place % 30},{1_704_067_200 + place},{place % 2}{behind}" for place in range(300)]
    text = "\n".join(["user_id,item_id,ts,clicked", *rows]).replace(",", separator)
    (tmp_path / "log.csv").write_text(above + text)
    assert run_command(["init", str(tmp_path / "log.csv"), "--out", str(tmp_path / "own.toml")]) == 3
    assert said in capsys.readouterr().err


@pytest.mark.words
def test_columns_whose_names_differ_by_case_alone_are_left_out_and_said(tmp_path: Path) -> None:
    make_files(tmp_path)
    log, items = pd.read_csv(tmp_path / "log.csv"), pd.read_csv(tmp_path / "items.csv")
    log.assign(Clicked=log["liked"], Surface=log["surface"]).to_csv(tmp_path / "log.csv", index=False)
    items.assign(Genre=items["genre"]).to_csv(tmp_path / "items.csv", index=False)
    raw = _init([tmp_path / "log.csv", tmp_path / "items.csv"], tmp_path / "init.toml")
    assert [entry["name"] for entry in raw["objective"]] == ["liked", "watched"]
    assert raw["features"]["item"] == ["length"]
    assert "context" not in raw["features"]
    said = "differ by case alone: surface (log), clicked (log), Clicked (log), Surface (log), genre (items), Genre (items)."
    assert said in (tmp_path / "init.toml").read_text()
    assert look(tmp_path / "init.toml").error is None


@pytest.mark.words
@pytest.mark.parametrize(("unit", "per_second"), [("s", 1), ("ms", 1_000), ("us", 1_000_000), ("ns", 1_000_000_000)])
def test_times_that_count_from_the_logs_own_start_get_a_day(
    unit: str, per_second: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unit shows in the last row, which lies beyond those that are looked at."""
    monkeypatch.setattr(import_module("recsys.proposal.propose"), "MOST_ROWS", 500)  # the package has a function of that name
    rng, rows = np.random.default_rng(0), 2_000
    log = pd.DataFrame({"uid": rng.integers(0, 50, rows), "campaign": rng.integers(0, 30, rows), "click": rng.integers(0, 2, rows)})
    log["timestamp"] = np.sort(rng.integers(0, 10 * 86_400, rows)) * per_second
    log.to_csv(tmp_path / "log.csv", index=False)
    raw = _init([tmp_path / "log.csv"], tmp_path / "own.toml")
    assert raw["source"]["columns"] == {"user_id": "uid", "item_id": "campaign", "timestamp": "timestamp"}
    assert raw["source"]["time"] == {"unit": unit, "since": "2000-01-01", "zone": "UTC"}
    assert raw["split"]["test"][1] == "2000-01-10"
    assert "# unsure: the numbers of timestamp lie in 1970" in (tmp_path / "own.toml").read_text(encoding="utf-8")


@pytest.mark.words
@pytest.mark.parametrize(("users", "items", "found"), [(20, 25, {"item_id": ["liked"]}), (500, 25, None), (20, 500, None)])
def test_factors_are_proposed_where_users_and_items_come_often(users: int, items: int, found: object, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"user_id": rng.integers(0, users, 2_000), "item_id": rng.integers(1_000, 1_000 + items, 2_000),
                         "timestamp": 1_704_067_200 + np.sort(rng.integers(0, 10 * 86_400, 2_000)),
                         "liked": rng.integers(0, 2, 2_000)})  # fmt: skip
    rows.to_csv(tmp_path / "log.csv", index=False)
    assert _init([tmp_path / "log.csv"], tmp_path / "own.toml")["features"].get("factors") == found
    assert look(tmp_path / "own.toml").error is None


@pytest.mark.words
def test_no_file_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = tianchi(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_command(["init", path.name]) == 0
    written = (tmp_path / f"{path.stem}.toml").read_bytes()
    capsys.readouterr()
    assert run_command(["init", path.name]) == 2
    assert "found a file, expected none: init overwrites nothing. Fix: --out another name" in capsys.readouterr().err
    assert (tmp_path / f"{path.stem}.toml").read_bytes() == written


def test_paths_are_relative_to_the_toml(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "pipelines").mkdir()
    raw = _init(csv_with_tabs(tmp_path / "data"), tmp_path / "pipelines" / "own.toml")
    assert raw["source"]["log"] == "../data/feed.csv"
    assert look(tmp_path / "pipelines" / "own.toml").error is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda log: log.drop(columns="time"), "found no column of times among"),
        (lambda log: log.assign(time="2014-12-01 05"), "found no column of times among"),
        (lambda log: log.assign(time=np.arange(len(log)) % 24), "found no column of times among"),
        (lambda log: log.assign(item_id=3).drop(columns="user_geohash"), "found no column that tells the item among"),
        (lambda log: log[log["time"] < "2014-12-02"], r"found rows of one day \(2014-12-01\), expected two days or more"),
        (lambda log: log.drop(columns="behavior_type"), "found no column that tells what the user did"),
        (
            lambda log: log[log["behavior_type"] == 1].drop(columns="behavior_type").assign(click=0),
            "found no column that tells what the user did",
        ),
    ],
)
def test_a_log_that_cannot_be_told_is_an_error_of_the_data(change, words: str, tmp_path: Path) -> None:
    (path,) = tianchi(tmp_path)
    change(pd.read_csv(path)).to_csv(path, index=False)
    with pytest.raises(DataError, match=words):
        propose([path], tmp_path)


@pytest.mark.words
def test_a_file_that_describes_nothing_is_named(tmp_path: Path) -> None:
    files = csv_with_tabs(tmp_path)
    (tmp_path / "notes.csv").write_text("day,weather\n2024-01-01,rain\n2024-01-02,sun\n")
    proposal = propose([*files, tmp_path / "notes.csv"], tmp_path)
    words = "Not used: notes.csv (no column of it is a key of users or items: a value of its own in each row,"
    assert f"# {words}" in proposal.text
    assert sum(line.startswith(words) for line in proposal.said) == 1


@pytest.mark.words
def test_parquet_needs_no_form(tmp_path: Path) -> None:
    (path,) = tianchi(tmp_path)
    log = pd.read_csv(path)
    log["time"] = pd.to_datetime(log["time"], format="%Y-%m-%d %H")
    log.to_parquet(tmp_path / "log.parquet")
    raw = _init([tmp_path / "log.parquet"], tmp_path / "own.toml")
    assert raw["source"]["time"] == {"zone": "UTC"}
    assert "format" not in raw["source"]
    assert look(tmp_path / "own.toml").error is None


def test_a_folder_is_a_log(tmp_path: Path) -> None:
    feed = small_feed()
    (tmp_path / "days").mkdir()
    for day, rows in feed.groupby(feed["ts"].dt.strftime("%Y-%m-%d")):
        rows.to_parquet(tmp_path / "days" / f"{day}.parquet")
    tables = propose([tmp_path / "days"], tmp_path).tables
    assert tables["source"]["log"] == "days"
    assert tables["split"]["test"][1] == feed["ts"].max().strftime("%Y-%m-%d")


@pytest.mark.parametrize(("stem", "name"), [("my plays", "my-plays"), ("журнал", "log"), ("_x", "x"), ("plays-2.v3", "plays-2.v3")])
def test_a_file_that_can_be_no_name_of_a_pipeline_gets_one(
    tmp_path: Path, stem: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    small_feed().to_csv(tmp_path / "log.csv", index=False)
    out = tmp_path / f"{stem}.toml"
    assert run_command(["init", str(tmp_path / "log.csv"), "--out", str(out)]) == 0
    assert load(out).name == name
    assert ("name" in tomllib.loads(out.read_text(encoding="utf-8"))) == (stem != name)
    assert (f"recsys check '{out}'" in capsys.readouterr().out) == (stem == "my plays" or not stem.isascii())


@pytest.mark.words
def test_an_action_named_like_a_word_of_sql_is_quoted(tmp_path: Path) -> None:
    rng, rows = np.random.default_rng(0), 2_000
    seconds = 1_704_067_200 + np.sort(rng.integers(0, 10 * 86_400, rows))
    log = pd.DataFrame({"uid": rng.integers(0, 50, rows), "vid": rng.integers(0, 30, rows), "ts": seconds, "action": "view"})
    liked = log.sample(frac=0.3, random_state=0).assign(action="like", ts=lambda rows: rows["ts"] + 5)
    pd.concat([log, liked]).sort_values("ts").to_csv(tmp_path / "log.csv", index=False)
    (objective,) = _init([tmp_path / "log.csv"], tmp_path / "own.toml")["objective"]
    assert objective["label"] == '"like" is not null'
    assert look(tmp_path / "own.toml").error is None
