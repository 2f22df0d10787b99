"""`recsys health` on the tiny pipeline, and on the same with a day that somebody has spoilt."""

import importlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recsys import artifacts, schema
from recsys.cli import run_command
from recsys.errors import EXIT_DATA, EXIT_REFUSED
from tests.staged import sign

from .conftest import PIPELINES

TOML = str(PIPELINES / "tiny.toml")
DAY = "2024-01-05"


@pytest.fixture
def here(tiny: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny.parent, tmp_path / "data")
    return tmp_path / "data"


def health(workspace: Path, *options: str) -> int:
    return run_command(["health", TOML, "--workspace", str(workspace), *options])


def changed(workspace: Path, pattern: str, change: Callable[[pa.Table], pa.Table]) -> None:
    (path,) = (workspace / "tiny").glob(f"{pattern}/day={DAY}/part-0.parquet")
    table = change(artifacts.read_table(path))
    pq.write_table(table, path)
    sign(path)


def with_column(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


@pytest.mark.words
def test_the_tiny_log_is_well(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert health(here) == 0
    said = capsys.readouterr().out
    assert "health: 5 days, 2024-01-01 to 2024-01-05" in said
    assert "warn" not in said
    rows = artifacts.read_table(here / "tiny" / "health" / "health.parquet", form=schema.HEALTH)
    assert set(rows["verdict"].to_pylist()) == {"usual", "untold"}
    assert "All of them are usual." in (here / "tiny" / "health" / "health.html").read_text()


@pytest.mark.words
def test_a_new_day_is_looked_at_beside_those_that_it_is_held_against_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine days, four held against: the ninth, after eight that were judged, as all nine at once."""
    nine = [part for key in ("source.days=9", "checks.trailing=4") for part in ("--set", key)]
    for day in ("2024-01-08", "2024-01-09"):
        words = [TOML, "--workspace", str(tmp_path / "data"), *nine]
        assert run_command(["run", *words, "--through", day, "--until", "features", "--quiet"]) == 0
    judged_days = importlib.import_module("recsys.health.judged_days")
    looked_at: list[str] = []
    original = judged_days.measure
    monkeypatch.setattr(judged_days, "measure", lambda folder, day, **more: looked_at.append(day) or original(folder, day, **more))
    rows = tmp_path / "data" / "tiny" / "health" / "health.parquet"
    assert health(tmp_path / "data", *nine, "--quiet") == 0
    assert looked_at == [f"2024-01-0{day}" for day in range(1, 10)]
    at_once = artifacts.read_table(rows)
    looked_at.clear()
    assert health(tmp_path / "data", *nine, "--quiet") == 0
    assert looked_at == []
    shutil.rmtree(tmp_path / "data" / "tiny" / "health" / "day=2024-01-09")
    assert health(tmp_path / "data", *nine, "--quiet") == 0
    assert looked_at == [f"2024-01-0{day}" for day in range(5, 10)]
    assert artifacts.read_table(rows).equals(at_once)


def spoil(here: Path) -> None:
    def nulls(table: pa.Table) -> pa.Table:
        kept = pa.array(np.arange(len(table)) % 4 > 0)
        return with_column(table, "device", pc.if_else(kept, table["device"], None))

    def labels(table: pa.Table) -> pa.Table:
        more = pc.if_else(pa.array(np.arange(len(table)) % 4 == 0), pa.scalar(1.0, pa.float32()), table["label.click"])
        return with_column(with_column(table, "label.click", more), "item.seconds", pc.multiply(table["item.seconds"], 3.0))

    changed(here, "events", nulls)
    changed(here, "examples/*", labels)


def test_a_day_that_is_spoilt_is_found(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(here)
    assert health(here, "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {(row["check"], row["column"]) for row in rows} == {("nulls", "device"), ("base_rate", "click"), ("psi", "item.seconds")}
    assert {row["day"] for row in rows} == {DAY}
    assert health(here, "--set", 'checks.ignore=["device","item.seconds"]', "--quiet") == 0
    said = capsys.readouterr().out
    assert re.findall(r"^warn: .*", said, re.M) == [said.splitlines()[0]]
    assert re.match(rf"warn: {DAY}: mean label of click: found 0\.3\d+, usual is 0\.\d+", said)


def test_a_name_to_ignore_that_is_no_column(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert health(here, "--set", 'checks.ignore=["device","history.length","item.second","label.click"]') == 2
    first, second = capsys.readouterr().err.splitlines()
    expected = "expected a column of the log, or a feature that is checked"
    assert first == f'error: checks.ignore: found "item.second", {expected}; did you mean "item.seconds"?'
    assert f'checks.ignore: found "label.click", {expected}' in second  # no feature, so it would not be left out of anything


@pytest.mark.words
def test_a_limit_that_stops(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is that of bad data, what was found is written, and such a day speaks against a promotion."""
    spoil(here)
    assert health(here, "--set", "checks.stop.nulls=0.2") == EXIT_DATA
    said = capsys.readouterr()
    assert re.search(rf"error: health: {DAY}: share of nulls in device: found 0\.25\d*, usual is 0", said.err)
    assert re.search(r"^stop: ", said.out, re.M)
    assert (here / "tiny" / "health" / "health.html").exists()
    assert health(here, "--set", "checks.stop.nulls=0.2", "--day", "2024-01-04") == 0  # that day is well
    assert health(here, "--set", "checks.stop.nulls=0.2", "--day", DAY) == EXIT_DATA
    assert health(here, "--set", "checks.stop.nulls=0.2", "--set", f'checks.accept=["{DAY}"]') == 0
    assert health(here, "--day", "2024-02-01") == 2
    assert "--day: found 2024-02-01, on which the log has no impressions" in capsys.readouterr().err


@pytest.mark.words
def test_a_day_that_stops_speaks_against_a_promotion(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(here)
    options = ["--workspace", str(here), "--run", "checked", "--quiet", "--set", "evaluate.baselines=[]", "--set", "checks.stop.nulls=0.2"]
    assert run_command(["run", TOML, *options]) == 0
    capsys.readouterr()
    assert run_command(["promote", "checked", "--workspace", str(here)]) == EXIT_REFUSED
    assert f"promote: checked is not promoted: {DAY}: share of nulls in device: found 0.25" in capsys.readouterr().err


ASKED_LATER = """
[source]
kind = "table"
log = "log.csv"
[source.time]
unit = "s"
[[source.feedback]]
name = "buy"
file = "buy.csv"
within = "48h"
[split]
train = ["2024-01-02", "2024-01-03"]
test = ["2024-01-04", "2024-01-04"]
[[objective]]
name = "click"
label = "clicked = 1"
[[objective]]
name = "buy"
label = "buy is not null"
[[objective]]
name = "sure"                 # without a label until it is answered: the newest day has none
label = "buy = 1"
"""


@pytest.mark.words
def test_answers_that_may_still_come_are_no_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the impressions are answered, 24 to 40 hours later. What is said of a day waits until half of its answers are known."""
    rng, per_day, first = np.random.default_rng(4), 300, int(pd.Timestamp("2024-01-01").timestamp())
    seconds = np.sort(first + rng.integers(0, 10 * 86_400, 10 * per_day))
    log = pd.DataFrame({
        "user_id": rng.integers(0, 60, len(seconds)), "item_id": rng.integers(0, 40, len(seconds)), "timestamp": seconds,
        "clicked": (rng.random(len(seconds)) < 0.4).astype(int),
    })  # fmt: skip
    later = rng.integers(24 * 3600, 40 * 3600, len(log))
    answers = log[["user_id", "item_id"]].assign(timestamp=seconds + later)[rng.random(len(log)) < 0.35]
    (tmp_path / "late.toml").write_text(ASKED_LATER)
    monkeypatch.chdir(tmp_path)

    def night(days: int) -> dict[tuple[str, str, str], str]:
        for name, table in (("log", log), ("buy", answers)):
            table[table["timestamp"] < first + days * 86_400].to_csv(f"{name}.csv", index=False)
        assert run_command(["run", "late.toml", "--until", "features", "--quiet", "--through", f"2024-01-{days:02d}"]) == 0
        assert run_command(["health", "late.toml", "--quiet", "--set", "checks.stop.base_rate=1.5"]) == 0
        rows = artifacts.read_table(Path("data/late/health/health.parquet")).to_pylist()
        assert "stop" not in {row["verdict"] for row in rows}
        return {(row["check"], row["column"], row["day"][-2:]): row["verdict"] for row in rows}

    eighth, tenth = night(8), night(10)
    about_buys = [("nulls", "feedback.buy"), ("base_rate", "buy"), ("labels", "buy"), ("labels", "sure")]
    assert [eighth.get((*which, "06")) for which in about_buys] == ["usual"] * 4
    assert [eighth.get((*which, "08")) for which in about_buys] == [None, None, "untold", "untold"]
    assert eighth["base_rate", "click", "08"] == "usual"
    assert [tenth.get((*which, "08")) for which in about_buys] == ["usual"] * 4


def test_without_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert health(tmp_path) == 4
    assert "found no events, expected the output of ingest. Fix: recsys ingest PIPELINE.toml" in capsys.readouterr().err
