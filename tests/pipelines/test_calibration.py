"""Calibration on the whole way: what is made anew and what is not, what stands in the run, and the verbs after it."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from recsys import artifacts, calibration, config
from recsys.cli import run_command
from recsys.errors import ConfigError
from recsys.predictions import known_before

from .conftest import write_small
from .test_whole_path import TINY

SETS = ("--set", "evaluate.bootstrap=20", "--set", "evaluate.importance=false")


def run(workspace: Path, verb: str, *more: str) -> int:
    return run_command([verb, TINY, "--workspace", str(workspace), *SETS, *more])


@pytest.fixture
def mine(tiny: Path, tmp_path: Path) -> Path:
    """The tiny workspace, to change: its model is taken, not trained again; its baselines are those of the first run's weights again."""
    shutil.copytree(tiny, tmp_path / "tiny")
    assert run(tmp_path, "run", "--run", "first", "--until", "score", "--quiet") == 0
    return tmp_path / "tiny"


@pytest.mark.words
def test_the_same_run_before_and_after(mine: Path, capsys) -> None:
    workspace, folder = mine.parent, mine / "runs" / "first"
    raw, rawest = pq.read_table(folder / "predictions.parquet"), {path.name for path in (mine / "runs").iterdir()}
    isotonic = ("--run", "first", "--set", "evaluate.calibrate=isotonic")
    assert run(workspace, "run", *isotonic) == 0
    said = capsys.readouterr().out
    assert "train: fresh" in said
    assert "score: the predictions that stand" in said
    border = int(datetime(2024, 1, 5, tzinfo=UTC).timestamp() * 1000)  # the test begins
    likes = raw.to_pandas().query(f"split == 'validation' and `known.like` < {border}")["label.like"]
    assert 3_250 < len(likes) < 3_310, "but for the last ten minutes of the validation day"
    assert f"calibrate first: like stays as it is: {likes.sum():.0f} positives of {len(likes):,} rows" in said
    assert "gbdt: choosing" not in said

    table = pq.read_table(folder / "predictions.parquet")
    assert calibration.uncalibrated(table).equals(raw)
    maps = calibration.read(folder / "calibration.json")
    assert set(maps.left) == {"like"}
    assert calibration.fit(known_before(raw, border), config.load(Path(TINY)).objective, "isotonic", run="first") == maps
    baselines = {path.name for path in (mine / "runs").iterdir()} - rawest
    assert {name.split("-")[0] for name in baselines} == {"popularity", "gbdt"}
    for name in baselines:
        assert calibration.is_calibrated(pq.read_table(mine / "runs" / name / "predictions.parquet"))
        assert (mine / "runs" / name / "config.json").is_file(), "it is compared and fused like any other run"

    change = pq.read_table(folder / "calibration.parquet").to_pandas()
    whole = change[(change["slice"] == "all") & (change["metric"] == "log_loss") & (change["objective"] == "click")]
    whole = whole[whole["split"] == "test"]
    (before,), (after,) = (whole[(whole["run"] == name) & whole["against"].isna()]["value"] for name in ("uncalibrated", "first"))
    (difference,) = whole[whole["against"] == "uncalibrated"]["value"]
    of_test = table.to_pandas().query("split == 'test'")
    label = of_test["label.click"]
    for value, column in ((before, "raw.pred.click"), (after, "pred.click")):
        assert value == pytest.approx(-np.mean(np.log(np.where(label == 1, of_test[column], 1 - of_test[column]))))
    assert difference == pytest.approx(after - before)
    metrics = pq.read_table(folder / "metrics.parquet").to_pandas()
    assert {str(name).split("-")[0] for name in metrics["against"].dropna()} == {"popularity", "gbdt"}
    assert {"ece", "calibration"} <= set(metrics[metrics["slice"] == "device"]["metric"])

    assert run(workspace, "run", *isotonic) == 0
    said = capsys.readouterr().out
    assert all(f"{stage}: fresh" in said for stage in ("score", "baseline gbdt", "evaluate first", "report"))
    assert run_command(["fuse", "first", "--maximise", "click", "--workspace", str(workspace), "--quiet"]) == 0
    assert "click" in (folder / "fusion.toml").read_text()

    assert run(workspace, "run", "--run", "first", "--until", "evaluate") == 0
    assert not (folder / "calibration.json").exists()
    assert not (folder / "calibration.parquet").exists()
    assert pq.read_table(folder / "predictions.parquet").equals(raw)
    assert "baseline gbdt: fresh" in capsys.readouterr().out


@pytest.mark.words
def test_a_baseline_judged_beside_the_run_has_the_metrics_that_it_has_alone(tmp_path: Path) -> None:
    """The run's metrics gone, the baseline's, or both: the same bytes again, of both files that a judgement leaves."""
    toml = write_small(tmp_path, np.arange(1200) % 100)
    text = toml.read_text().replace('test = ["2024-03-02", "2024-03-02"]', 'validation = ["2024-03-02", "2024-03-02"]')
    toml.write_text(text + 'calibrate = "platt"\n')
    command = ["run", str(toml), "--run", "one", "--until", "evaluate", "--quiet", "--workspace", str(tmp_path)]
    assert run_command(command) == 0
    runs = tmp_path / "small" / "runs"
    (baseline,) = runs.glob("popularity-*/metrics.parquet")
    assert set(pq.read_table(baseline)["run"].to_pylist()) == {baseline.parent.name}
    assert set(pq.read_table(runs / "one" / "metrics.parquet")["run"].to_pylist()) == {"one"}
    judged = [path for of in (runs / "one", baseline.parent) for path in (of / "metrics.parquet", of / "calibration.parquet")]
    before = {path: path.read_bytes() for path in judged}
    for gone in ([runs / "one"], [baseline.parent], [runs / "one", baseline.parent]):
        for of in gone:
            (of / "metrics.parquet").unlink()
        assert run_command(command) == 0
        assert {path: path.read_bytes() for path in judged} == before


@pytest.mark.words
def test_maps_that_are_gone_are_made_again_and_damaged_predictions_refused(mine: Path, capsys) -> None:
    more = ("--run", "first", "--set", "evaluate.calibrate=platt", "--set", "evaluate.baselines=[]")
    assert run(mine.parent, "run", "--until", "evaluate", *more) == 0
    capsys.readouterr()
    maps = mine / "runs" / "first" / "calibration.json"
    kept = maps.read_bytes()
    artifacts.remove(maps)
    assert run(mine.parent, "run", "--until", "evaluate", *more) == 0
    assert maps.read_bytes() == kept
    assert "evaluate first: fresh" in capsys.readouterr().out


@pytest.mark.words
def test_another_systems_scores_are_judged_as_they_are(tiny: Path, tmp_path: Path, capsys) -> None:
    theirs = tiny / "runs" / "first" / "predictions.parquet"
    for word, out in (("isotonic", "a"), ("none", "b")):
        sets = ("--set", f"evaluate.calibrate={word}", "--predictions", str(theirs), "--out", str(tmp_path / out))
        assert run(tmp_path, "evaluate", *sets) == 0
    assert "is judged as it is" in capsys.readouterr().out
    assert pq.read_table(tmp_path / "a" / "metrics.parquet").equals(pq.read_table(tmp_path / "b" / "metrics.parquet"))


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ('validation = ["2024-01-04", "2024-01-04"]', ["evaluate.calibrate=isotonic"], 'found "isotonic" without split.validation'),
        ("", ["evaluate.calibrate=sigmoid"], "evaluate.calibrate"),
        ('label = "clicked = 1"', ["evaluate.calibrate=platt"], 'found "platt" with regression objectives alone'),
    ],
)
def test_what_it_needs_is_said_when_the_config_is_read(tmp_path: Path, text: str, overrides: list[str], message: str) -> None:
    toml = Path(TINY).read_text()
    if "label" in text:
        head, _, rest = toml.partition("[[objective]]")
        toml = (
            head
            + '[[objective]]\nname = "click"\nkind = "regression"\nlabel = "clicked"\n\n'
            + "[features]"
            + rest.partition("[features]")[2]
        )
    else:
        toml = toml.replace(text, "")
    (tmp_path / "mine.toml").write_text(toml)
    with pytest.raises(ConfigError) as error:
        config.load(tmp_path / "mine.toml", overrides)
    assert message in str(error.value)
