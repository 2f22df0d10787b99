"""`recsys compare RUN --predictions FILE`: a run held against another system's scores."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from recsys.cli import run_command
from recsys.comparing import compare_with_file
from recsys.progress import Console
from tests.pipelines.test_whole_path import TINY
from tests.report.test_page import Page
from tests.staged import sign


@pytest.fixture
def test_rows(tiny: Path) -> pd.DataFrame:
    """The run's own test predictions, as another system would leave them."""
    table = pq.read_table(tiny / "runs" / "first" / "predictions.parquet").to_pandas()
    return table[table["split"] == "test"]


def _compare(tiny: Path, file: Path, *more: str) -> int:
    return run_command(["compare", "first", "--predictions", str(file), "--workspace", str(tiny.parent), *more])


@pytest.mark.parametrize("with_ranks", [True, False])
def test_a_run_against_its_own_scores_differs_by_nothing(tiny: Path, test_rows: pd.DataFrame, tmp_path: Path, with_ranks: bool) -> None:
    names = [name for name in test_rows if name.startswith(("pred.", "rank.") if with_ranks else "pred.") and "|" not in name]
    theirs = test_rows[["user_id", "item_id", "timestamp", "score", *names]]
    theirs.sample(frac=1, random_state=1).to_parquet(tmp_path / "theirs.parquet")
    key = {name: name for name in ("user_id", "item_id", "timestamp")}
    run, console = tiny / "runs" / "first", Console(quiet=True)
    rows = compare_with_file([run], tmp_path / "theirs.parquet", key, [], console, split=None, out=None).to_pylist()
    ours, others = ([row for row in rows if row["run"] == run] for run in ("first", "theirs"))
    assert {"auc", "gauc_list", "captured@10%"} <= {row["metric"] for row in ours}
    sees = [name for name in ("click", "watch_time", "like") if not test_rows[f"rank.{name}"].equals(test_rows[f"pred.{name}"])]
    alike = [with_ranks or not row["metric"].endswith("_list") or row["objective"] not in sees for row in ours]
    assert all(alike) == with_ranks
    for mine, theirs_, is_alike in zip(ours, others, alike, strict=True):
        assert (mine["difference"] == pytest.approx(0)) == is_alike
        assert (mine["value"] == pytest.approx(theirs_["value"])) == is_alike
    page = pq.read_table(run / "metrics.parquet").to_pandas()
    page = page[(page["split"] == "test") & page["day"].isna() & (page["slice"] == "all") & page["against"].isna()]
    page = page.set_index(["objective", "metric"])["value"]
    for row in ours:
        assert row["value"] == pytest.approx(page[row["objective"], row["metric"]]), "one number has one name"


@pytest.mark.words
def test_part_of_the_rows_and_of_the_objectives(
    tiny: Path, test_rows: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    theirs = test_rows[["event_id"]].assign(**{"pred.click": rng.random(len(test_rows))}).sample(frac=0.5, random_state=1)
    theirs.to_csv(tmp_path / "today.csv", index=False)
    assert _compare(tiny, tmp_path / "today.csv", "--out", str(tmp_path / "page.html")) == 0
    said = capsys.readouterr().out
    assert f"has {len(theirs):,} of the run's {len(test_rows):,} test impressions (50.0%)" in said
    assert "warning: " in said
    assert "expected 95% or more" in said
    assert "click (auc)" in said
    assert "watch_time" not in said
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"{len(theirs):,} of {len(test_rows):,} impressions" in page
    assert _compare(tiny, tmp_path / "today.csv", "--metric", "like=auc") == 2
    assert "--metric: found auc of like" in capsys.readouterr().err
    assert _compare(tiny, tmp_path / "today.csv", "--metric", "auc", "--metric", "click=pr_auc") == 0
    said = capsys.readouterr().out
    assert "click (auc)" in said
    assert "like" not in said, "a metric without an objective is that of the objectives that the file predicts"
    assert _compare(tiny, tmp_path / "today.csv", "--metric", "rmse") == 2
    assert "--metric: found rmse of watch_time, which" in capsys.readouterr().err
    assert _compare(tiny, tmp_path / "today.csv", "--metric", "like=auc", "--metric", "click=ndcg@5") == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("today.csv has no predictions for. Fix: another metric, or pred.X in the file")
    assert "found ndcg@5 of click, which" in second
    assert second.endswith("today.csv has no order for. Fix: another metric, or score in the file")


def test_rows_of_the_days_that_are_not_judged_are_told_from_others(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pq.read_table(tiny / "runs" / "first" / "predictions.parquet").to_pandas()
    rows[["event_id", "score"]].to_csv(tmp_path / "both.csv", index=False)
    assert _compare(tiny, tmp_path / "both.csv") == 0
    said = capsys.readouterr().out
    of_validation = int((rows["split"] == "validation").sum())
    assert f"both.csv: {of_validation:,} further rows of the run's validation impressions, which are not judged here" in said
    assert "of other impressions" not in said


@pytest.mark.parametrize(("names", "said"), [("numbers", "found values of type int64, expected test in some rows"), ("none", None)])
def test_a_run_whose_parts_are_no_texts_is_named(
    tiny: Path, test_rows: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str], names: str, said: str | None
) -> None:
    """Both ended as a bug. Without the column all rows are test."""
    run = tmp_path / "ours"
    shutil.copytree(tiny / "runs" / "first", run)
    rows = test_rows.assign(split=2) if names == "numbers" else test_rows.drop(columns="split")
    rows.to_parquet(run / "predictions.parquet")
    sign(run / "predictions.parquet")
    test_rows[["event_id", "pred.click"]].to_parquet(tmp_path / "theirs.parquet")
    arguments = ["compare", str(run), "--predictions", str(tmp_path / "theirs.parquet"), "--workspace", str(tiny.parent)]
    assert run_command(arguments) == (0 if said is None else 3)
    assert said is None or f"{run / 'predictions.parquet'} column split: {said}" in capsys.readouterr().err


def test_a_score_alone_is_judged_by_its_order(
    tiny: Path, test_rows: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test_rows[["event_id"]].assign(score=-test_rows["score"]).to_csv(tmp_path / "order.csv", index=False)
    assert _compare(tiny, tmp_path / "order.csv") == 0
    said = capsys.readouterr().out
    assert "click (captured@10%)" in said
    assert "(auc)" not in said
    assert "By the fused order" in said


def test_one_run_alone_needs_a_file(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["compare", "first", "--workspace", str(tiny.parent)]) == 2
    assert "found one run, expected two or more, or --predictions FILE" in capsys.readouterr().err


@pytest.mark.words
def test_a_file_stands_on_the_page_beside_the_baselines(
    tiny: Path, test_rows: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    theirs = (
        test_rows[["user_id", "item_id", "timestamp"]].assign(**{"pred.click": rng.random(len(test_rows))}).sample(frac=0.9, random_state=1)
    )
    theirs.rename(columns={"user_id": "uid"}).to_csv(tmp_path / "today-v2.csv", index=False)
    file = tmp_path / "today-v2.csv"
    options = [f'evaluate.against=["{file}"]', "evaluate.against_key=user_id=uid,item_id,timestamp"]
    arguments = ["run", TINY, "--workspace", str(tiny.parent), "--run", "first", *(part for one in options for part in ("--set", one))]
    assert run_command(arguments) == 0
    said = capsys.readouterr().out
    assert f"has {len(theirs):,} of the run's " in said
    assert "vs today-v2.csv" in said
    rows = pq.read_table(tiny / "runs" / "first" / "metrics.parquet").to_pandas()
    of_file = rows[rows["against"] == "today-v2.csv"]
    assert set(of_file["objective"]) == {"click"}
    assert not of_file["metric"].str.startswith(("captured", "ndcg")).any()  # it has no order of its own
    whole = of_file[of_file["day"].isna() & (of_file["slice"] == "all") & (of_file["split"] == "test")].set_index("metric")
    both = test_rows.merge(theirs, on=["user_id", "item_id", "timestamp"], suffixes=("", ".theirs"))
    expected = roc_auc_score(both["label.click"], both["pred.click"]) - roc_auc_score(both["label.click"], both["pred.click.theirs"])
    assert whole.loc["auc", "value"] == pytest.approx(expected)
    assert whole.loc["auc", "n"] == len(theirs)
    page = Page((tiny / "runs" / "first" / "report.html").read_text(encoding="utf-8")).text
    assert "Against today-v2.csv." in page
    assert f"today-v2.csv has {len(theirs):,} of {len(test_rows):,} test impressions; differences to it are on those." in page
    assert run_command(arguments) == 0
    assert "evaluate first: fresh" not in capsys.readouterr().err
    theirs.assign(**{"pred.click": 0.5}).rename(columns={"user_id": "uid"}).to_csv(file, index=False)
    assert run_command(arguments) == 0
    again = pq.read_table(tiny / "runs" / "first" / "metrics.parquet").to_pandas()
    assert (again.loc[(again["against"] == "today-v2.csv") & (again["metric"] == "auc"), "value"] != 0).any()


@pytest.mark.words
def test_what_is_wrong_with_a_file_is_said_before_anything_runs(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", TINY, "--workspace", str(tiny.parent), "--run", "first", "--set"]
    assert run_command([*arguments, f'evaluate.against=["{tmp_path}/gone.csv"]']) == 2
    assert f"evaluate.against: found no file {tmp_path}/gone.csv" in capsys.readouterr().err
    (tmp_path / "a").mkdir()
    assert run_command([*arguments, f'evaluate.against=["{tmp_path}/x.csv", "{tmp_path}/a/x.csv"]']) == 2
    assert "expected files of different names, not x.csv twice" in capsys.readouterr().err
    (tmp_path / "keyless.csv").write_text("user_id,item,timestamp,pred.click\n1,2,3,0.5\n")
    (tmp_path / "scoreless.csv").write_text("user_id,item_id,timestamp,click\n1,2,3,0.5\n")
    both = f'evaluate.against=["{tmp_path}/keyless.csv", "{tmp_path}/scoreless.csv"]'
    key = ["--set", "evaluate.against_key=user_id,item_id,timestamp"]
    for verb in (["run", TINY, "--workspace", str(tmp_path / "new")], ["check", TINY]):
        assert run_command([*verb, *key, "--set", both]) in (2, 3)
        shown = " ".join("".join(capsys.readouterr()).split())
        assert 'found no column item_id; did you mean "item"?' in shown
        assert "found no scores among user_id, item_id, timestamp, click" in shown
        assert run_command([*verb, "--set", both, "--set", "evaluate.against_key=user_id,itemid"]) == 2
        assert 'evaluate.against_key: found "itemid", expected one of' in " ".join("".join(capsys.readouterr()).split())
    assert not (tmp_path / "new" / "tiny").exists()


@pytest.mark.words
def test_a_file_is_joined_without_times_where_the_raw_files_are_gone(
    tiny: Path, test_rows: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only a key with times asks how the log writes them."""
    log = tmp_path / "log.csv"
    rng = np.random.default_rng(1)
    rows = pd.DataFrame(
        {
            "user": np.repeat(np.arange(40), 30),
            "item": rng.integers(0, 50, 1200),
            "at": 1_700_000_000 + np.tile(np.arange(30), 40) * 7_000 + np.repeat(np.arange(40), 30),
            "click": rng.integers(0, 2, 1200),
        }
    )
    rows.to_csv(log, index=False)
    assert run_command(["init", str(log), "--out", str(tmp_path / "log.toml")]) == 0
    workspace = ["--workspace", str(tmp_path / "data"), "--set", "evaluate.bootstrap=50"]
    assert run_command(["run", str(tmp_path / "log.toml"), *workspace, "--run", "first"]) == 0
    predictions = pq.read_table(tmp_path / "data" / "log" / "runs" / "first" / "predictions.parquet").to_pandas()
    predictions[["event_id"]].assign(score=0.5).to_csv(tmp_path / "theirs.csv", index=False)
    log.unlink()
    compare = ["compare", "first", "--workspace", str(tmp_path / "data"), "--predictions", str(tmp_path / "theirs.csv")]
    capsys.readouterr()
    assert run_command([*compare, "--key", "event_id"]) == 0, capsys.readouterr().err
