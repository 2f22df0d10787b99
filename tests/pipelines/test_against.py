"""Runs that this one is compared with by name, beside its baselines; and the importance of features, made with the page."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from recsys import artifacts, schema
from recsys.cli import run_command
from recsys.evaluation import evaluate
from recsys.objectives import Objective

pytestmark = pytest.mark.words

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
TINY = str(PIPELINES / "tiny.toml")


@pytest.fixture(scope="module")
def alone(tiny: Path, workspace: Path) -> Path:
    """A scored single-task run beside the first one."""
    arguments = [
        "run",
        TINY,
        "--workspace",
        str(workspace),
        "--run",
        "alone",
        "--set",
        "model.architecture=single_task",
        "--until",
        "score",
    ]
    assert run_command([*arguments, "--quiet"]) == 0
    return tiny / "runs" / "alone"


def compared(workspace: Path, run: str, *names: str) -> int:
    listed = ", ".join(f'"{name}"' for name in names)
    return run_command(["run", TINY, "--workspace", str(workspace), "--run", run, "--set", f"evaluate.against=[{listed}]"])


def test_a_named_run_stands_beside_the_baselines(tiny: Path, alone: Path, workspace: Path, capsys) -> None:
    assert compared(workspace, "beside", "alone") == 0
    said = capsys.readouterr().out
    assert "train: the model of " in said, "whom a run is compared with does not make it another"
    assert "vs alone" in said
    run = tiny / "runs" / "beside"
    rows = pq.read_table(run / "metrics.parquet").to_pandas()
    assert [name.split("-")[0] for name in rows["against"].dropna().unique()] == ["popularity", "gbdt", "alone"]
    click = Objective(name="click", label="clicked = 1")
    predictions = {name: artifacts.read_table(tiny / "runs" / name / "predictions.parquet") for name in ("beside", "alone")}
    expected = evaluate(
        predictions["beside"], [click], run="beside", against={"alone": predictions["alone"]}, bootstrap=200, seed=7, slices=()
    ).to_pandas()
    mine, theirs = (
        of[(of["metric"] == "auc") & (of["against"] == "alone") & (of["split"] == "test") & of["day"].isna() & (of["slice"] == "all")]
        for of in (rows[rows["objective"] == "click"], expected)
    )
    np.testing.assert_allclose(mine[["value", "low", "high"]], theirs[["value", "low", "high"]], rtol=1e-9, atol=1e-12)
    assert "Against alone.</b> Finding who will:" in (run / "report.html").read_text()


def test_runs_that_do_not_stand_are_refused_together_before_anything_is_trained(alone: Path, workspace: Path, capsys) -> None:
    assert compared(workspace, "never", "no-such", "alone", "nor-this", "never") == 2
    said = capsys.readouterr().err
    found, _, there = said.splitlines()[0].partition("; there are: ")
    assert found.endswith('found "no-such", expected a scored run of tiny')
    assert "alone" in there.partition(". Fix")[0].split(", ")  # beside runs of other tests
    assert 'found "nor-this"' in said
    assert "found never, the run itself" in said
    assert not (workspace / "tiny" / "runs" / "never").exists()


def test_a_run_is_named_once(workspace: Path, capsys) -> None:
    assert compared(workspace, "twice", "alone", "alone") == 2
    assert "expected each run or file once" in capsys.readouterr().err


def test_importance_is_a_file_of_the_run_that_only_its_own_options_redo(tiny: Path, workspace: Path, capsys) -> None:
    again = ["importance", TINY, "--workspace", str(workspace), "--run", "first"]
    target = tiny / "runs" / "first" / "importance.parquet"
    artifacts.verify(target)
    rows = pq.read_table(target)
    assert rows.schema.equals(schema.IMPORTANCE)
    frame = rows.to_pandas()
    assert set(frame["objective"]) == {"click", "watch_time", "like"}
    groups = {"user", "item", "query", "context", "history", "today", "agg.user_id", "agg.item_id", "agg.user_id+topic"}
    assert set(frame["feature_group"]) == {*groups, "bias.position", "bias.device"}
    click = frame[(frame["objective"] == "click") & (frame["feature_group"] == "bias.position")].iloc[0]
    assert click["low"] > 0, "the world's clicks fall with the position"
    before = target.read_bytes()
    assert run_command([*again, "--set", "evaluate.top_percent=[20]"]) == 0
    assert "importance: fresh" in capsys.readouterr().out
    assert run_command([*again, "--set", "evaluate.importance_rows=500"]) == 0
    assert pq.read_table(target)["n"].to_pylist()[0] == 500
    assert run_command(again) == 0
    assert target.read_bytes() == before
    assert 'id="importance"' in (tiny / "runs" / "first" / "report.html").read_text()


def test_without_encoded_days_the_report_says_what_to_run(tiny: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "tiny" / "runs").mkdir(parents=True)
    for name in ("events", "examples", "users", "items", "quarantine"):
        shutil.copytree(tiny / name, tmp_path / "tiny" / name)
    shutil.copytree(tiny / "runs" / "first", tmp_path / "tiny" / "runs" / "first")
    (tmp_path / "tiny" / "runs" / "first" / "importance.parquet").unlink()
    arguments = [TINY, "--workspace", str(tmp_path), "--run", "first"]
    assert run_command(["report", *arguments]) == 4
    assert "importance.parquet: found nothing, expected the output of importance. Fix: " in capsys.readouterr().err
    assert run_command(["importance", *arguments]) == 4
    assert "expected the output of encode. Fix: recsys run PIPELINE --until encode" in capsys.readouterr().err
    assert run_command(["report", *arguments, "--set", "evaluate.importance=false"]) == 0
    assert '<section class="nothing" id="importance">' in (tmp_path / "tiny" / "runs" / "first" / "report.html").read_text()


def test_single_tasks_are_a_baseline_that_is_the_ordinary_run_of_that_name(alone: Path, tiny: Path, workspace: Path, capsys) -> None:
    listed = ["--workspace", str(workspace), "--set", 'evaluate.baselines=["single_task"]', "--set", "balance.method=torchjd.upgrad"]
    assert run_command(["run", TINY, "--run", "shared", *listed, "--until", "evaluate"]) == 0
    said = capsys.readouterr().out
    (name,) = pq.read_table(tiny / "runs" / "shared" / "metrics.parquet").to_pandas()["against"].dropna().unique()
    assert name.startswith("single_task-")
    assert f"baseline single_task: the run {name}" in said
    assert "train: the model of " in said or said.count("train: fresh") == 1, "plain weights, whatever the shared model is balanced by"
    theirs, ours = (artifacts.read_table(tiny / "runs" / run / "predictions.parquet")["pred.click"] for run in (alone.name, name))
    assert ours.equals(theirs)
    by_hand = ["--set", "model.architecture=single_task", "--set", 'evaluate.baselines=["single_task"]', "--until", "score"]
    assert run_command(["run", TINY, "--workspace", str(workspace), *by_hand]) == 0
    said = capsys.readouterr().out
    assert "train: fresh" in said
    assert "score: fresh" in said
    assert "baseline" not in said, "a model of single tasks has no such baseline"
