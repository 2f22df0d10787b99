"""A sweep on the tiny feed: what is trained and that it is not trained again, the numbers, and every mistake before any training.

Then its runs, which have no metrics of their own, are compared.
"""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from recsys import artifacts, schema
from recsys.cli import run_command
from recsys.config import load
from recsys.stages import claim, run_identity, run_name
from tests.staged import sign

TINY = Path(__file__).resolve().parents[2] / "pipelines" / "tiny.toml"
SMALL = ["source.users=400", "features.history=0", "features.windows=[1]", "model.d_shared=8", "model.mmoe.hidden=[4]", "model.d_tower=4"]
SETS = [part for override in [*SMALL, "evaluate.bootstrap=50"] for part in ("--set", override)]
OVER = ["--over", "model.architecture=shared_bottom,mmoe"]


def sweep(workspace: Path, *more: str) -> int:
    return run_command(["sweep", str(TINY), "--workspace", str(workspace), *SETS, *more])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    """After a sweep of two architectures with two seeds each."""
    place = tmp_path_factory.mktemp("sweep")
    assert sweep(place, *OVER, "--seeds", "2") == 0
    return place


def folder_of(workspace: Path, name: str) -> Path:
    """Of the sweep over this key, the one with the fewest seeds."""
    folders = (workspace / "tiny" / "sweeps").glob(f"{name}-*")
    return min(folders, key=lambda folder: pq.read_metadata(folder / "sweep.parquet").num_rows)


def rows_of(workspace: Path, name: str = "architecture") -> pd.DataFrame:
    folder = folder_of(workspace, name)
    for file in ("sweep.parquet", "sweep.html"):
        assert artifacts.verify(folder / file).stage == "sweep"
    table = pq.read_table(folder / "sweep.parquet")
    assert table.schema.equals(schema.SWEEP)
    return table.to_pandas()


def auc_of_test(run: Path, objective: str) -> float:
    rows = pq.read_table(run / "predictions.parquet").to_pandas().query("split == 'test'")
    return roc_auc_score(rows[f"label.{objective}"], rows[f"pred.{objective}"])


def gauc_list_of_test(run: Path, objective: str) -> float:
    """The AUC of each list that holds both labels, weighted by impressions."""
    rows = pq.read_table(run / "predictions.parquet").to_pandas().query("split == 'test'")
    found = [
        (roc_auc_score(of[f"label.{objective}"], of[f"rank.{objective}"]), len(of))
        for _, of in rows.groupby("request_id")
        if of[f"label.{objective}"].nunique() == 2
    ]
    return float(np.average([auc for auc, _ in found], weights=[size for _, size in found]))


@pytest.mark.words
def test_numbers_are_those_of_the_runs_and_points_their_means(workspace) -> None:
    both = rows_of(workspace)
    assert set(zip(both["objective"], both["metric"], strict=True)) >= {("click", "gauc_list"), ("watch_time", "xgauc_list")}
    table = both[both["question"] == schema.WHO]
    runs = table[(table["what"] == "run") & (table["objective"] == "click")]
    assert set(zip(runs["point"], runs["seed"], strict=True)) == {(way, seed) for way in ("shared_bottom", "mmoe") for seed in (7, 8)}
    for row in runs.itertuples():
        assert row.value == pytest.approx(auc_of_test(workspace / "tiny" / "runs" / row.run, "click"))
    points = table[(table["what"] == "point") & (table["objective"] == "click")].set_index("point")
    assert points["value"].to_dict() == pytest.approx(runs.groupby("point")["value"].mean().to_dict())
    variance = runs.groupby("point")["value"].var().mean()
    (seed_sd,) = table.loc[(table["what"] == "seed_sd") & (table["objective"] == "click"), "value"]
    assert seed_sd == pytest.approx(np.sqrt(variance))
    assert (points["low"] < points["value"]).all()
    assert (points["value"] < points["high"]).all()
    front = table[table["what"] == "front"].set_index("point")
    assert set(front["verdict"]) <= {schema.FRONT, schema.NOISE, schema.DOMINATED}
    assert schema.FRONT in set(front["verdict"])
    reference = table[table["what"] == "reference"].set_index("objective")["value"]
    assert reference.to_dict() == {"click": 0.5, "watch_time": 0.5, "like": 0.5}
    (volume,) = table[table["what"] == "hypervolume"].itertuples()
    assert volume.low <= volume.value <= volume.high
    lists = both[both["question"] == schema.WHICH]
    assert set(lists.loc[lists["what"] == "front", "point"]) == {"shared_bottom", "mmoe"}
    constant, labels = (lists.loc[lists["what"] == end].set_index("objective")["value"].to_dict() for end in ("reference", "perfect"))
    assert (set(constant.values()), set(labels.values())) == ({0.5}, {1.0})
    assert set(lists.loc[(lists["what"] == "run") & (lists["objective"] == "like"), "metric"]) == {"gauc_list"}
    of_click = lists[(lists["what"] == "run") & (lists["metric"] == "gauc_list") & (lists["objective"] == "click")]
    for row in of_click.itertuples():
        assert row.value == pytest.approx(gauc_list_of_test(workspace / "tiny" / "runs" / row.run, "click"))
    assert len(list((workspace / "tiny" / "examples").iterdir())) == len(list((workspace / "tiny" / "encoded").iterdir())) == 1


@pytest.mark.words
def test_a_second_call_trains_nothing_and_gives_the_same_bytes(workspace, capsys) -> None:
    file = folder_of(workspace, "architecture") / "sweep.parquet"
    before = file.read_bytes()
    dead = file.with_name(".sweep.html.999999.draft")
    dead.write_text("half")
    assert sweep(workspace, *OVER, "--seeds", "2") == 0
    assert not dead.exists()
    said = capsys.readouterr().out
    assert said.count("train: fresh") == said.count("score: fresh") == 4
    assert "sweep 3 of 4: mmoe, seed 7" in said
    assert file.read_bytes() == before
    assert sweep(workspace, *OVER, "--seeds", "3") == 0  # only what is missing
    said = capsys.readouterr().out
    assert said.count("train: fresh") == 4
    assert said.count("train: training days") == 2


@pytest.mark.words
def test_points_chosen_on_validation_days_show_what_they_get_on_test_days(workspace, capsys) -> None:
    assert sweep(workspace, "--over-weights", "click,like", "--steps", "1", "--on", "validation", "--metric", "captured@10%") == 0
    said = capsys.readouterr().out
    assert "2 points with 1 seed each" in said
    assert "One seed" in said
    table = rows_of(workspace, "loss_weight")
    assert set(table.loc[table["what"] == "point", "split"]) == {"validation", "test"}
    assert set(table.loc[table["what"] == "front", "split"]) == {"validation"}
    assert set(table["metric"].dropna()) == {"captured@10%"}
    assert set(table.loc[table["what"] == "point", "objective"]) == {"click", "watch_time", "like"}  # 0 in one point, learned in another


@pytest.mark.parametrize(
    ("more", "messages"),
    [
        ([], ["nothing to go over"]),
        (["--over", "=mmoe"], ["--over =mmoe: found no key, expected KEY=V1,V2,…"]),
        (["--over", "model.architecture=mmo,ple,pl"], ["sweep point mmo: ", 'did you mean "mmoe"?', "sweep point pl: "]),
        (["--over", "seed=1,2"], ["sweep point seed=2: found another seed than seed=1 has"]),
        (["--over", "fuse.maximise=click,like"], ["sweep point like: found the same config as click"]),
        (["--over", "source.users=80,90"], ["sweep point users=90: found another source than users=80"]),
        (["--over", 'objective.like.label="liked = 1","clicked = 1"'], ["another an objective's name, kind, label"]),
        ([*OVER, "--objective", "lick"], ["--objective: found lick, expected some of click"]),
        ([*OVER, "--metric", "calibration"], ["calibration, which is best at neither end"]),
        ([*OVER, "--objective", "click", "--metric", "like=auc"], ['--metric like=auc: found "like", expected']),
        ([*OVER, "--objective", "click", "--metric", "rmse"], ['--metric rmse: found "rmse", expected']),
        ([*OVER, "--set", "evaluate.bootstrap=19"], ["evaluate.bootstrap: found 19, expected 20 or more at a confidence of 0.95"]),
        ([*OVER, "--on", "train"], ["--on train: found no such days to judge on, expected test or validation"]),
    ],
)
def test_mistakes_are_told_by_point_before_anything_is_trained(tmp_path, capsys, more, messages) -> None:
    assert sweep(tmp_path, *more) == 2
    said = capsys.readouterr()
    assert all(message in said.err for message in messages), said.err
    assert not (tmp_path / "tiny").exists()


@pytest.mark.words
def test_what_training_refuses_says_of_which_point(workspace, capsys) -> None:
    assert sweep(workspace, "--over", "model.budget_macs=10,100000") == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "budget_macs=10, seed 7: model.budget_macs" in said


def runs_of(workspace: Path, point: str) -> list[str]:
    table = rows_of(workspace)
    return list(dict.fromkeys(table.loc[(table["what"] == "run") & (table["point"] == point), "run"]))


@pytest.mark.words
def test_runs_are_compared_in_one_table_and_on_a_page(workspace, tmp_path, capsys) -> None:
    runs = [*runs_of(workspace, "shared_bottom"), *runs_of(workspace, "mmoe")]
    compare = ["compare", *runs, "--workspace", str(workspace)]
    assert run_command([*compare, "--metric", "auc", "--out", str(tmp_path / "pages")]) == 0
    said = capsys.readouterr().out
    assert said.count("tiny: test days") == 1
    assert all(f"{run} against {runs[0]}. Finding who will: " in said for run in runs[1:])
    assert "users" in said
    assert artifacts.verify(tmp_path / "pages" / "compare.html").stage == "compare"
    (tmp_path / "taken").touch()
    assert run_command([*compare, "--out", str(tmp_path / "taken")]) == 2
    assert f"--out': found the file {tmp_path / 'taken'}, expected a folder. Fix: " in capsys.readouterr().err
    assert run_command(["compare", runs[0], runs[1][:-1], "--workspace", str(workspace)]) == 2
    assert 'of the pipeline tiny; did you mean "' in capsys.readouterr().err
    assert run_command([*compare, "--quiet", "--on", "validation", "--out", str(tmp_path / "mine.html")]) == 0
    assert "validation days" in (tmp_path / "mine.html").read_text(encoding="utf-8")


@pytest.mark.words
def test_a_run_of_the_pipeline_keeps_its_config(workspace) -> None:
    """What it is evaluated by, and against, is what compare and fuse read there: a sweep has no baselines."""
    overrides = [*SMALL, "evaluate.bootstrap=50", "model.architecture=mmoe"]
    run = workspace / "tiny" / "runs" / run_name(pipeline := load(TINY, overrides))
    claim(run, run_identity(pipeline), pipeline)
    written = (run / "config.json").read_bytes()
    assert b"gbdt" in written
    assert sweep(workspace, *OVER, "--seeds", "2") == 0
    assert (run / "config.json").read_bytes() == written


@pytest.mark.words
def test_runs_that_scored_other_impressions_are_refused_by_name(workspace, tmp_path, capsys) -> None:
    first, second = runs_of(workspace, "mmoe")
    for name, test_rows in (("fewer", slice(1, None)), ("none", slice(0, 0))):
        shutil.copytree(workspace / "tiny" / "runs" / second, tmp_path / name)
        table = pq.read_table(tmp_path / name / "predictions.parquet").to_pandas()
        table = table[table["split"] == "test"].iloc[test_rows]
        table.to_parquet(tmp_path / name / "predictions.parquet")
        sign(tmp_path / name / "predictions.parquet")
    arguments = ["--workspace", str(workspace)]
    assert run_command(["compare", first, str(tmp_path / "fewer"), second, *arguments]) == 3
    (said,) = capsys.readouterr().err.splitlines()
    assert "predictions of run fewer" in said
    assert "1 of its impressions missing" in said
    assert run_command(["compare", first, str(tmp_path / "none"), *arguments]) == 3
    assert run_command(["compare", first, first, *arguments]) == 2
    assert f"found {first} more than once" in capsys.readouterr().err


@pytest.mark.words
def test_calibrated_runs_are_judged_as_they_are_served(workspace, tmp_path) -> None:
    shutil.copytree(workspace / "tiny", tmp_path / "tiny")
    assert sweep(tmp_path, *OVER, "--set", "evaluate.calibrate=isotonic", "--quiet") == 0
    calibrated = list((tmp_path / "tiny" / "runs").glob("*/calibration.json"))
    assert len(calibrated) == 2, "one seed of each point"
    for maps in calibrated:
        assert "raw.pred.click" in pq.read_schema(maps.with_name("predictions.parquet")).names
