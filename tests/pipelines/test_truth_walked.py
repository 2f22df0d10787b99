"""The baseline "truth" along the stages: with calibration, and where the simulated raw files are gone or damaged."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from recsys.cli import run_command

from .conftest import PIPELINES

SMALL = ("source.users=80", "features.history=0", "features.windows=[1]", "model.d_shared=8", "model.mmoe.hidden=[4]", "model.d_tower=4")
ASKED = (*SMALL, "evaluate.bootstrap=20", 'evaluate.baselines=["popularity", "truth"]', "evaluate.calibrate=isotonic")
pytestmark = pytest.mark.words  # four runs
SETS = [part for override in ASKED for part in ("--set", override)]


def run(workspace: Path, *more: str) -> int:
    return run_command(["run", str(PIPELINES / "tiny.toml"), "--workspace", str(workspace), *SETS, "--until", "evaluate", *more])


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("truth")
    assert run(place) == 0
    return place


def test_the_run_is_judged_against_it_and_it_is_not_calibrated(walked: Path) -> None:
    runs = {path.name.partition("-")[0]: path for path in sorted((walked / "tiny" / "runs").iterdir())}
    metrics = pd.read_parquet(runs["mmoe"] / "metrics.parquet")
    clicks = metrics[
        (metrics["objective"] == "click") & (metrics["metric"] == "auc") & (metrics["split"] == "test") & metrics["day"].isna()
    ]
    (behind,) = clicks[(clicks["slice"] == "all") & (clicks["against"] == runs["truth"].name)]["value"]
    assert behind < 0
    truth = pd.read_parquet(walked / "tiny" / "raw" / "truth.parquet").set_index(["request", "vid"])
    found = pd.read_parquet(runs["truth"] / "predictions.parquet")
    own = truth.loc[pd.MultiIndex.from_frame(found[["request_id", "item_id"]])]
    assert (found["pred.click"].to_numpy() == own["expected.clicked"].to_numpy()).all()
    assert not (runs["truth"] / "calibration.json").exists()
    assert len(list((walked / "tiny" / "runs").glob("popularity-*"))) == 2  # as learned, and calibrated


def test_raw_files_that_are_gone_are_made_again(walked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = Path(shutil.copytree(walked, tmp_path / "mine"))
    shutil.rmtree(mine / "tiny" / "raw")
    assert run(mine) == 0
    said = capsys.readouterr().out
    assert (mine / "tiny" / "raw" / "truth.parquet").read_bytes() == (walked / "tiny" / "raw" / "truth.parquet").read_bytes()
    assert "baseline truth: fresh" in said


def test_damaged_raw_files_are_repaired(walked: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(walked, tmp_path / "mine"))
    file = mine / "tiny" / "raw" / "truth.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    verify = ["verify", str(PIPELINES / "tiny.toml"), "--workspace", str(mine), *SETS]
    assert run_command(verify) == 4
    assert run_command([*verify, "--repair"]) == 0
    assert file.read_bytes() == whole
