"""`recsys init`: from files as they lie on disk to a pipeline that check finds nothing wrong with and run walks through, unedited."""

import tomllib
from pathlib import Path

import pandas as pd
import pytest

from recsys.checkup import look
from recsys.cli import run_command
from recsys.errors import DataError
from recsys.proposal import propose
from tests.proposal.as_they_lie import LOGS, csv_with_tabs, tianchi


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


@pytest.mark.parametrize("name", LOGS)
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
    assert [*(tmp_path / "data" / "own" / "runs").rglob("report.html")]


def test_base_rates_and_doubts_stand_as_comments(tmp_path: Path) -> None:
    files = LOGS["tabs-without-a-header"].write(tmp_path)
    text = propose(files, tmp_path).text
    log = pd.read_csv(files[0], sep="\t", header=None)
    first, last = tomllib.loads(text)["split"]["train"]
    days = pd.to_datetime(log[2], unit="ms").dt.strftime("%Y-%m-%d")
    click = log[6][days.between(first, last)]
    assert f"# 1 in {click.mean():.2%} of {len(click):,} training rows" in text
    assert "# unsure: guessed from the values of column_1, not from its name" in text
    assert "# unsure: the columns of 0 and 1; their names do not say what they are" in text
    assert "#   column_4: " in text


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


def test_a_feature_that_tells_the_label_is_left_out(tmp_path: Path) -> None:
    files = csv_with_tabs(tmp_path)
    feed = pd.read_csv(tmp_path / "feed.csv", sep="\t")
    feed.assign(module_after=feed["is_click"].map({0: "list", 1: "player"})).to_csv(tmp_path / "feed.csv", sep="\t", index=False)
    proposal = propose(files, tmp_path)
    assert "module_after" not in proposal.tables["features"]["context"]
    assert "Left out: module_after alone tells click (AUC 1.000)" in proposal.text


def test_a_file_that_describes_nothing_is_named(tmp_path: Path) -> None:
    files = csv_with_tabs(tmp_path)
    (tmp_path / "notes.csv").write_text("day,weather\n2024-01-01,rain\n2024-01-02,sun\n")
    text = propose([*files, tmp_path / "notes.csv"], tmp_path).text
    assert "# Not used, because no column of it is a key of users or items: notes.csv." in text


def test_parquet_needs_no_form(tmp_path: Path) -> None:
    (path,) = tianchi(tmp_path)
    log = pd.read_csv(path)
    log["time"] = pd.to_datetime(log["time"], format="%Y-%m-%d %H")
    log.to_parquet(tmp_path / "log.parquet")
    raw = _init([tmp_path / "log.parquet"], tmp_path / "own.toml")
    assert "time" not in raw["source"]
    assert "format" not in raw["source"]
    assert look(tmp_path / "own.toml").error is None
