"""`recsys promote`, `recsys rollback`, and the run that is then called current."""

import importlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import recsys
from recsys import artifacts, registry
from recsys.cli import run_command
from recsys.errors import EXIT_ARTIFACT, EXIT_CONFIG, EXIT_REFUSED
from tests.staged import sign

from .conftest import PIPELINES

OPTIONS = ["--set", "evaluate.baselines=[]", "--set", "evaluate.importance=false", "--set", "train.learning_rate=0.002", "--quiet"]


@pytest.fixture(scope="module")
def copied(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of its own, with the run `first` and another one of a smaller model."""
    workspace = tmp_path_factory.mktemp("promote") / "data"
    shutil.copytree(tiny.parent, workspace)
    assert train(workspace, "second", "model.d_tower=12") == 0
    return workspace


@pytest.fixture
def here(copied: Path) -> Path:
    """Nothing promoted yet."""
    shutil.rmtree(copied / "tiny" / "models", ignore_errors=True)
    return copied


def train(here: Path, run: str, *changes: str) -> int:
    changed = [part for change in changes for part in ("--set", change)]
    return run_command(["run", str(PIPELINES / "tiny.toml"), "--workspace", str(here), "--run", run, *OPTIONS, *changed])


def promote(here: Path, run: str, *options: str) -> int:
    return run_command(["promote", run, "--workspace", str(here), *options])


def last(here: Path) -> dict[str, Any]:
    return registry.decisions(here / "tiny")[-1]


def votes(here: Path) -> dict[str, dict[str, Any]]:
    return {vote["objective"]: vote for vote in last(here)["objectives"]}


@pytest.mark.words
def test_the_same_model_is_promoted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A copy of the current run loses nothing: each difference is exactly 0. An objective with few positives does not vote."""
    assert promote(here, "first") == 0
    assert "first promoted (decision 1), the first one" in capsys.readouterr().out
    shutil.copytree(here / "tiny" / "runs" / "first", here / "tiny" / "runs" / "twin", dirs_exist_ok=True)
    assert promote(here, "twin") == 0
    assert (last(here)["outcome"], last(here)["current before"]) == ("promoted", "first")
    found = votes(here)
    assert [found["click"][key] for key in ("silent", "difference", "low", "high")] == [None, 0, 0, 0]
    assert [found["watch_time"][key] for key in ("metric", "silent", "difference")] == ["xauc", None, 0]
    assert (found["like"]["silent"], found["like"]["positives"] < 200) == ("too few positives", True)
    assert re.search(r"like +\d+ +- .*none: too few positives", capsys.readouterr().out)


@pytest.mark.words
def test_the_difference_is_that_of_a_comparison(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is voted on are the numbers of `recsys compare` on what is served: the predictions with the position missing."""
    assert promote(here, "first") == 0
    capsys.readouterr()
    assert promote(here, "second", "--json") == 0
    assert json.loads(capsys.readouterr().out) == last(here)
    served = {}
    for run in ("first", "second"):
        table = artifacts.read_table(here / "tiny" / "runs" / run / "predictions.parquet").to_pandas()
        table = table[table["split"] == "test"]
        names = ("click", "watch_time", "like", "watch_time%")
        ranks = {f"pred.{name}": table[f"rank.{name}"] for name in names}
        served[run] = table.drop(columns=[f"rank.{name}" for name in names]).assign(**ranks)
    pipeline = recsys.open_run(here / "tiny" / "runs" / "first").pipeline
    rows = recsys.evaluate(
        served["second"], pipeline.objective, run="second", against={"first": served["first"]}, bootstrap=200, seed=pipeline.seed
    ).to_pandas()
    rows = rows[(rows["against"] == "first") & rows["day"].isna() & (rows["slice"] == "all")].set_index(["objective", "metric"])
    for objective, metric in (("click", "auc"), ("watch_time", "xauc")):
        expected, found = rows.loc[(objective, metric)], votes(here)[objective]
        assert found["difference"] == pytest.approx(expected["value"], abs=1e-6)
        assert [found["low"], found["high"]] == pytest.approx([expected["low"], expected["high"]], abs=1e-5)


@pytest.mark.words
def test_a_model_of_shuffled_labels_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The labels of its training days are given to other impressions. The days that it is judged on are as they were."""
    assert promote(here, "first") == 0
    other = here.parent / "shuffled"
    shutil.copytree(here, other, dirs_exist_ok=True)
    rng = np.random.default_rng(0)
    for day in ("2024-01-02", "2024-01-03", "2024-01-04"):
        (path,) = (other / "tiny" / "examples").glob(f"*/day={day}/part-0.parquet")
        table = artifacts.read_table(path)
        order = pa.array(rng.permutation(len(table)))
        labels = [name for name in table.column_names if name.startswith(("label.", "known."))]
        for name in labels:
            table = table.set_column(table.column_names.index(name), name, table[name].take(order))
        pq.write_table(table, path)
        sign(path)
    shutil.rmtree(other / "tiny" / "learned")  # else days that are learned already would not be learned again
    assert train(other, "shuffled") == 0
    capsys.readouterr()
    assert promote(other, "shuffled") == EXIT_REFUSED
    said = capsys.readouterr()
    assert "shuffled refused (decision 2), against first" in said.out
    assert re.search(r"error: promote: shuffled is not promoted: click: auc -0\.\d+ \[.*its lower bound is below -0.01", said.err)
    assert last(other)["outcome"] == "refused"
    assert votes(other)["click"]["high"] < 0
    assert registry.current_run(other / "tiny") == other / "tiny" / "runs" / "first"
    shutil.rmtree(other)


def test_a_rollback_goes_back_and_further_back(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    back = ["rollback", str(PIPELINES / "tiny.toml"), "--workspace", str(here)]
    assert promote(here, "first") == 0
    assert run_command(back) == EXIT_CONFIG
    assert "rollback: found no promotion before the current one" in capsys.readouterr().err
    before = registry.decisions(here / "tiny")[0]
    registry.record(here / "tiny", registry.PROMOTED, "second", serves=registry.serves(here / "tiny" / "runs" / "second"))
    assert run_command(back) == 0
    assert "current: first (before: second)" in capsys.readouterr().out
    assert registry.current_run(here / "tiny") == here / "tiny" / "runs" / "first"
    assert (last(here)["to"], last(here)["serves"]) == (1, before["serves"])


def test_the_way_out_of_every_state(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The model of the current run is gone, or of those before it: a rollback goes to one that is there, a reason promotes any."""
    first, second = (registry.serves(here / "tiny" / "runs" / run) for run in ("first", "second"))
    for run, serves in (("first", first), ("second", "gone"), ("second", second), ("third", "gone")):
        registry.record(here / "tiny", registry.PROMOTED, run, serves=serves)
    back = ["rollback", str(PIPELINES / "tiny.toml"), "--workspace", str(here), "--quiet"]
    assert promote(here, "first") == EXIT_ARTIFACT
    assert "runs/third: found no model" in capsys.readouterr().err
    assert run_command(back) == 0
    assert registry.current_run(here / "tiny") == here / "tiny" / "runs" / "second"
    registry.record(here / "tiny", registry.PROMOTED, "fourth", serves="gone")
    assert promote(here, "first", "--because", " ") == EXIT_CONFIG
    assert "--because: found no text, expected the reason" in capsys.readouterr().err
    assert promote(here, "first", "--because", "the disk of the other died") == 0
    assert registry.current_run(here / "tiny") == here / "tiny" / "runs" / "first"
    assert last(here)["because"] == "the disk of the other died"


@pytest.mark.words
def test_predictions_of_another_model_are_not_judged(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(here, "late") == 0
    assert train(here, "late", "train.learning_rate=0.5") == EXIT_CONFIG  # another config needs --replace
    options = ["--replace", "--until", "train", "--set", "train.learning_rate=0.5"]
    assert run_command(["run", str(PIPELINES / "tiny.toml"), "--workspace", str(here), "--run", "late", *OPTIONS, *options]) == 0
    capsys.readouterr()
    assert promote(here, "late") == EXIT_ARTIFACT
    assert "predictions.parquet: found what another model than the run's has given" in capsys.readouterr().err
    for verb, file in ((["show", "late"], "metrics"), (["compare", "late", "first"], "predictions"), (["fuse", "late"], "predictions")):
        assert run_command([*verb, "--workspace", str(here)]) == EXIT_ARTIFACT
        assert f"{file}.parquet: found what another model than the run's has given" in capsys.readouterr().err
    assert registry.decisions(here / "tiny") == []
    shutil.rmtree(here / "tiny" / "runs" / "late")


@pytest.mark.words
@pytest.mark.parametrize("change", ["a label", "a row"])
def test_a_day_that_has_changed_since_it_was_scored_is_not_judged(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    """The current model predicts the day as it is now, so the two would be held against each other on other rows."""
    workspace = Path(shutil.copytree(here, tmp_path / "data"))
    assert promote(workspace, "first") == 0
    (path,) = (workspace / "tiny" / "examples").glob("*/day=2024-01-05/part-0.parquet")
    table = artifacts.read_table(path)
    place, label = table.column_names.index("label.click"), table["label.click"].to_numpy().copy()
    label[0] = 1 - label[0]
    changed = table.set_column(place, "label.click", pa.array(label)) if change == "a label" else table.slice(1)
    pq.write_table(changed, path)
    sign(path)
    capsys.readouterr()
    assert promote(workspace, "second") == EXIT_ARTIFACT
    said = capsys.readouterr().err
    assert "found other impressions or labels on 2024-01-05 than the log has now" in said
    assert "Fix: run the pipeline to its end with --run second, then promote it" in said
    assert len(registry.decisions(workspace / "tiny")) == 1


@pytest.mark.words
def test_a_run_that_started_from_one_that_knows_the_day(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its weights have learned the labels that it would be judged by."""
    toml = re.sub(r"(?m)^(validation|test) = .*\n", "", (PIPELINES / "tiny.toml").read_text())
    (here / "knows.toml").write_text(toml.replace('"2024-01-03"]', '"2024-01-05"]'))
    run = ["run", str(here / "knows.toml"), "--workspace", str(here), "--run", "all", "--until", "train", "--quiet"]
    assert run_command(run) == 0
    assert train(here, "leak", f"train.init_from={here / 'tiny' / 'runs' / 'all'}") == 0
    capsys.readouterr()
    assert promote(here, "leak") == EXIT_CONFIG
    assert "leak has learned through 2024-01-05, with the run that it started from" in capsys.readouterr().err


@pytest.mark.words
def test_current_is_a_name_of_a_run(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day = artifacts.read_table(here / "tiny" / "events" / "day=2024-01-05" / "part-0.parquet").slice(0, 20)
    pq.write_table(day, tmp_path / "candidates.parquet")
    assert run_command(["predict", "current", str(tmp_path / "candidates.parquet"), "--workspace", str(here)]) == EXIT_CONFIG
    assert "current: found no run that was promoted in" in capsys.readouterr().err
    assert promote(here, "second") in (0, EXIT_REFUSED)
    registry.record(here / "tiny", registry.PROMOTED, "second", serves=registry.serves(here / "tiny" / "runs" / "second"))
    for name in ("current", str(here / "tiny" / "current")):
        assert run_command(["predict", name, str(tmp_path / "candidates.parquet"), "--workspace", str(here), "--quiet"]) == 0
    assert recsys.open_run("current", workspace=here).name == "second"
    capsys.readouterr()
    assert run_command(["runs", "--workspace", str(here), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["runs"]
    assert [entry["run"] for entry in listed if entry["current"]] == ["second"]


def test_a_run_that_is_retrained_is_no_longer_what_was_promoted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry.record(here / "tiny", registry.PROMOTED, "second", serves="another")
    assert promote(here, "first") == EXIT_ARTIFACT
    assert "runs/second: found another model, calibration or fusion weights than were promoted" in capsys.readouterr().err


@pytest.mark.words
@pytest.mark.parametrize(
    ("change", "current", "code", "words"),
    [
        (
            lambda p: p | {"promote": {"min_positives": 10**6}},
            "first",
            EXIT_REFUSED,
            "no objective can vote on 2024-01-05 .*: click: too few positives; watch_time: too few labels",
        ),
        (lambda p: p | {"promote": {"margin": 1.0, "calibration": 9.0}}, "first", 0, ""),
        (lambda p: p | {"promote": {"margin": 1.0, "calibration": 9.0}}, "second", 0, ""),
        (
            lambda p: p | {"promote": {"margin": 1.0, "margins": {"click": 0.0}, "min_positives": 50}},
            "second",
            EXIT_REFUSED,
            "click: auc .* its lower bound is below -0",
        ),
    ],
)
def test_the_options(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Any], Any],
    current: str,
    code: int,
    words: str,
) -> None:
    from recsys.config import Pipeline

    promoting = importlib.import_module("recsys.promoting.promote")

    (candidate,) = {"first", "second"} - {current}
    assert promote(here, current) == 0
    of_run = promoting.pipeline_of

    def changed(run: Path) -> Pipeline:
        pipeline = of_run(run)
        return Pipeline.model_validate(change(pipeline.model_dump(mode="json"))) if run.name == candidate else pipeline

    monkeypatch.setattr(promoting, "pipeline_of", changed)
    capsys.readouterr()
    assert promote(here, candidate) == code
    assert re.search(words, capsys.readouterr().err)


@pytest.mark.words
def test_sums_of_predictions_that_are_off_speak_against_a_run(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    promoting = importlib.import_module("recsys.promoting.promote")
    assert promote(here, "first") == 0
    read = promoting._predictions

    def too_low(*arguments: Any) -> pa.Table:
        table: pa.Table = read(*arguments)
        return table.set_column(table.column_names.index("pred.click"), "pred.click", pc.multiply(table["pred.click"], 0.7))

    monkeypatch.setattr(promoting, "_predictions", too_low)
    capsys.readouterr()
    assert promote(here, "second") == EXIT_REFUSED
    assert re.search(r"click: predictions sum up to 0\.\d+ \[.*expected 1 ± 0\.1", capsys.readouterr().err)


@pytest.mark.words
def test_what_cannot_be_compared(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A current model that knows the days to judge on, or whose calibration does, one of another label, and one of an objective more."""
    split = [
        'split.train=["2024-01-02","2024-01-03"]',
        'split.validation=["2024-01-04","2024-01-04"]',
        'split.test=["2024-01-05","2024-01-05"]',
    ]
    assert train(here, "knows", split[0], 'split.validation=["2024-01-04","2024-01-05"]', 'split.test=["2024-01-06","2024-01-06"]') != 0
    assert train(here, "knows", 'split.train=["2024-01-02","2024-01-02"]', 'split.validation=["2024-01-03","2024-01-03"]',
                 'split.test=["2024-01-04","2024-01-05"]') == 0  # fmt: skip
    assert promote(here, "first") == 0
    assert promote(here, "knows") == EXIT_CONFIG
    assert "has learned through 2024-01-04, expected that it does not know 2024-01-04" in capsys.readouterr().err
    assert train(here, "calibrated", 'split.train=["2024-01-02","2024-01-02"]', 'split.validation=["2024-01-03","2024-01-04"]',
                 'split.test=["2024-01-05","2024-01-05"]', "train.refit=false", "evaluate.calibrate=platt") == 0  # fmt: skip
    assert promote(here, "calibrated", "--because", "its calibration knows more days than its model") == 0
    assert promote(here, "knows") == EXIT_CONFIG
    assert "is calibrated through 2024-01-04, expected that it does not know 2024-01-04" in capsys.readouterr().err
    assert promote(here, "first", "--because", "the next ones are held against it") == 0
    toml = (
        (PIPELINES / "tiny.toml")
        .read_text()
        .replace('label = "liked = 1"', 'label = "shared = 1"')
        .replace('name = "watch_time"', 'name = "watching"')
    )
    (here / "other.toml").write_text(toml)
    assert run_command(["run", str(here / "other.toml"), "--workspace", str(here), "--run", "other", *OPTIONS]) == 0
    assert promote(here, "other") == EXIT_REFUSED
    said = capsys.readouterr().err
    assert "like: its label is shared = 1, that of the current model liked = 1: the two cannot be compared" in said
    assert "watch_time: the current model predicts it, and this run does not" in said
