import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from recsys import artifacts, schema
from recsys.cli import run_command
from recsys.stages import STAGES

from .conftest import write_small

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
TINY = str(PIPELINES / "tiny.toml")


def again(workspace: Path, *more: str) -> int:
    return run_command(["run", TINY, "--workspace", str(workspace), *more])


def test_a_run_leaves_every_border_file_with_its_manifest(tiny: Path):
    for part in ("events", "users", "items", "quarantine", "runs/first/model"):
        artifacts.verify(tiny / part)
    for file in ("predictions.parquet", "metrics.parquet", "report.html"):
        artifacts.verify(tiny / "runs" / "first" / file)
    assert not [path for path in tiny.rglob("*") if path.name.endswith((".draft", ".old"))]


def test_the_page_knows_the_runs_compared_with_and_the_items_features(tiny: Path):
    html = (tiny / "runs" / "first" / "report.html").read_text(encoding="utf-8")
    payload = json.loads(re.search(r'<script id="tradeoffs-data" type="application/json">(.*?)</script>', html, re.DOTALL)[1])
    assert [run["name"] for run in payload["runs"]] == ["popularity", "gbdt"]
    topics = set(pq.read_table(tiny / "items")["topic"].to_pylist())
    for shown in payload["lists"]:
        assert {features.split(" · ")[0] for features in shown["features"]} <= topics


def test_the_row_account_adds_up(tiny: Path):
    rows = json.loads((tiny / "events" / "_manifest.json").read_text())["rows"]
    kept = sum(pq.read_metadata(path).num_rows for path in tiny.glob("events/day=*/*.parquet"))
    assert rows["read"] == rows["kept"] + rows["duplicate"] + rows["quarantined"]
    assert rows["kept"] == kept > 0


def test_metrics_are_long_rows_against_both_baselines(tiny: Path):
    rows = pq.read_table(tiny / "runs" / "first" / "metrics.parquet")
    assert rows.schema.equals(schema.METRICS)
    frame = rows.to_pandas()
    whole = frame[(frame.slice == "all") & frame.day.isna() & (frame.split == "test")]
    assert set(whole.objective) >= {"click", "watch_time", "like"}
    assert {str(name).split("-")[0] for name in whole.against.dropna()} == {"popularity", "gbdt"}
    auc = whole[(whole.metric == "auc") & whole.against.isna() & (whole.objective == "click")].iloc[0]
    assert auc.low < auc.value < auc.high
    assert auc.value > 0.55  # clicks of the world fall with position and rise with taste: far from a coin
    undefined = frame[frame.value.isna()]
    assert undefined.reason.notna().all()


def test_a_second_run_finds_everything_fresh(tiny: Path, workspace: Path, capsys):
    before = {path: path.stat().st_mtime_ns for path in tiny.rglob("*") if path.is_file() and ".locks" not in path.parts}
    assert again(workspace, "--run", "first") == 0
    said = capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for stage in ("ingest", "features", "encode", "train", "score", "report"):
        assert f"{stage}: fresh" in said


@pytest.mark.words
def test_another_order_redoes_only_what_depends_on_it(tiny: Path, workspace: Path, capsys):
    assert again(workspace, "--set", "train.order=shuffled", "--run", "shuffled", "--until", "evaluate") == 0
    said = capsys.readouterr().out
    assert "ingest: fresh" in said
    assert "features: fresh" in said
    assert "train: fresh" not in said
    assert again(workspace, "--set", "train.order=shuffled", "--set", "train.passes=2", "--run", "passes", "--until", "evaluate") == 0
    said = capsys.readouterr().out
    for stage in ("encode", "baseline popularity", "baseline gbdt"):
        assert f"{stage}: fresh" in said
    assert run_command(["compare", "first", "shuffled", "--workspace", str(workspace)]) == 0


def test_other_fusion_weights_are_another_run_of_the_same_model(tiny: Path, workspace: Path, capsys):
    gbdt = next((tiny / "runs").glob("gbdt-*")) / "predictions.parquet"
    before = pq.read_table(gbdt)
    assert again(workspace, "--set", "objective.like.fusion_weight=3", "--run", "likes", "--until", "baselines") == 0
    said = capsys.readouterr().out
    assert "train: the model of " in said
    assert "baseline gbdt: fused anew by other weights" in said
    assert "gbdt: choosing" not in said, "what was learned does not depend on the weights"
    after = pq.read_table(gbdt)
    assert after.drop_columns("score").equals(before.drop_columns("score"))
    terms = [np.log(np.maximum(after[f"rank.{name}" if f"rank.{name}" in after.column_names else f"pred.{name}"].to_numpy(), 1e-6))
             for name in ("click", "watch_time", "like")]  # fmt: skip
    assert after["score"].to_numpy() == pytest.approx(terms[0] + terms[1] + 3 * terms[2], rel=1e-12)
    first, likes = (pq.read_table(tiny / "runs" / run / "predictions.parquet") for run in ("first", "likes"))
    assert likes["pred.like"].equals(first["pred.like"])
    assert not likes["score"].equals(first["score"])


def test_a_run_name_stands_for_one_config(tiny: Path, workspace: Path, capsys):
    assert again(workspace, "--run", "first", "--set", "model.d_tower=8") == 2
    assert "differs in model.d_tower" in capsys.readouterr().err


def test_without_days_to_judge_nothing_is_made(tmp_path: Path, capsys):
    lines = (PIPELINES / "tiny.toml").read_text().splitlines()
    (tmp_path / "tiny.toml").write_text("\n".join(line for line in lines if not line.startswith(("validation = ", "test = "))))
    assert run_command(["run", str(tmp_path / "tiny.toml"), "--workspace", str(tmp_path / "data")]) == 2
    assert "split: found neither validation nor test days" in capsys.readouterr().err
    assert not list(tmp_path.glob("data/tiny/*"))


def test_a_stage_alone_needs_the_ones_before_it(tmp_path: Path, capsys):
    assert run_command(["train", TINY, "--workspace", str(tmp_path)]) == 4
    assert "expected the output of encode. Fix: recsys run PIPELINE --until encode" in capsys.readouterr().err


def test_a_stage_alone_refuses_what_another_has_left_stale(tiny: Path, workspace: Path, capsys):
    assert run_command(["score", TINY, "--workspace", str(workspace), "--run", "first", "--replace", "--set", "train.passes=9"]) == 4
    assert (
        "model: found none that is made from the present options and inputs. Fix: recsys run PIPELINE --until train"
        in capsys.readouterr().err
    )


@pytest.mark.words
def test_stages_one_by_one_give_the_same_as_run(tmp_path: Path):
    toml, workspaces = str(write_small(tmp_path, np.arange(600) % 100)), (tmp_path / "whole", tmp_path / "parts")
    assert run_command(["run", toml, "--workspace", str(workspaces[0]), "--run", "first", "--until", "evaluate", "--quiet"]) == 0
    for stage in STAGES:
        assert run_command([stage, toml, "--workspace", str(workspaces[1]), "--run", "first", "--quiet"]) == 0
    for file in ("model/model.safetensors", "predictions.parquet", "metrics.parquet"):
        whole, parts = ((workspace / "small" / "runs" / "first" / file).read_bytes() for workspace in workspaces)
        assert whole == parts, file


def test_another_systems_scores_get_the_same_metrics(tiny: Path, workspace: Path, tmp_path: Path):
    ours = tiny / "runs" / "first" / "predictions.parquet"
    out = tmp_path / "theirs"
    arguments = ["evaluate", TINY, "--predictions", str(ours), "--out", str(out), "--workspace", str(workspace)]
    assert run_command(arguments) == 0
    theirs = pq.read_table(out / "metrics.parquet").to_pandas()
    mine = pq.read_table(tiny / "runs" / "first" / "metrics.parquet").to_pandas()
    mine = mine[mine.against.isna()].reset_index(drop=True)
    # The scores are floats of 32 bits, which are read as they are written.
    pd.testing.assert_frame_equal(theirs.drop(columns="run"), mine.drop(columns="run"), rtol=1e-6)


def test_a_damaged_model_is_told_by_name_and_not_scored(tiny: Path, tmp_path: Path, capsys):
    shutil.copytree(tiny, tmp_path / "tiny")
    weights = tmp_path / "tiny" / "runs" / "first" / "model" / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[len(raw) // 2] ^= 1
    weights.write_bytes(raw)
    assert run_command(["score", TINY, "--workspace", str(tmp_path), "--run", "first"]) == 4
    assert "model.safetensors: found other bytes" in capsys.readouterr().err


def test_show_prints_the_table(tiny: Path, workspace: Path, capsys):
    assert run_command(["show", "first", "--workspace", str(workspace)]) == 0
    said = capsys.readouterr().out
    assert "click" in said
    assert "watch_time" in said


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["run", "no-such.toml"], 2, "no-such.toml"),
        (["run", TINY, "--until", "lunch"], 2, "expected one of ingest"),
        (["run", TINY, "--set", "model.architecture=mmo"], 2, 'did you mean "mmoe"?'),
        (["run", TINY, "--nonsense"], 2, "--nonsense"),
        (["show", "no-such-run"], 2, '"no-such-run": found no evaluated run of that name'),
        (["compare", "one"], 2, "expected two or more"),
        (["fly"], 2, "fly"),
    ],
)
def test_mistakes_on_the_command_line(arguments: list[str], code: int, expected: str, capsys):
    assert run_command(arguments) == code
    assert expected in capsys.readouterr().err


def test_a_workspace_that_is_a_file_is_a_mistake_not_a_bug(tmp_path: Path, capsys):
    (tmp_path / "data").write_text("")
    assert run_command(["run", TINY, "--workspace", str(tmp_path / "data")]) == 2
    assert f"--workspace': found the file {tmp_path / 'data'}, expected a folder. Fix: " in capsys.readouterr().err
    assert run_command(["world", str(tmp_path / "data")]) == 2
    assert "expected a folder" in capsys.readouterr().err


def test_world_writes_raw_files_and_the_truth_whole(tmp_path: Path, capsys):
    assert run_command(["world", str(tmp_path / "feed"), "--set", "users=50", "--set", "days=2"]) == 0
    assert (tmp_path / "feed" / "truth.parquet").is_file()
    artifacts.verify(tmp_path / "feed")
    assert run_command(["world", str(tmp_path), "--set", "users=50"]) == 2
    assert "other files" in capsys.readouterr().err


def test_the_library_works_without_the_command_line(tiny: Path):
    from recsys import Objective, evaluate

    predictions = pq.read_table(tiny / "runs" / "first" / "predictions.parquet").to_pandas()
    rows = evaluate(predictions, [Objective(name="click", label="clicked = 1")], run="mine", bootstrap=20).to_pandas()
    assert set(rows.objective) == {"click"}
