"""A backtest on the tiny feed: what each day's model learned, that the numbers are those of all days together, and every mistake first."""

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from recsys import artifacts, schema
from recsys.cli import run_command

TINY = Path(__file__).resolve().parents[2] / "pipelines" / "tiny.toml"
SMALL = ["source.users=160", "features.history=0", "features.windows=[1]", "model.d_shared=8", "model.mmoe.hidden=[4]", "model.d_tower=4"]
SETS = [part for override in [*SMALL, "evaluate.bootstrap=50"] for part in ("--set", override)]
DAYS = ["--days", "2024-01-04", "2024-01-05"]
OVER = ["--over", "model.architecture=mmoe,shared_bottom", "--seeds", "2"]


def backtest(workspace: Path, *more: str) -> int:
    return run_command(["backtest", str(TINY), "--workspace", str(workspace), *SETS, *more])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    """After a backtest of two days, two architectures and two seeds."""
    place = tmp_path_factory.mktemp("backtest")
    assert backtest(place, *DAYS, *OVER) == 0
    return place


def rows_of(workspace: Path) -> pd.DataFrame:
    (folder,) = (workspace / "tiny" / "backtests").iterdir()
    for file in ("backtest.parquet", "backtest.html"):
        assert artifacts.verify(folder / file).stage == "backtest"
    table = pq.read_table(folder / "backtest.parquet")
    assert table.schema.equals(schema.BACKTEST)
    return table.to_pandas()


def runs_of(workspace: Path, kind: str) -> list[tuple[dict, Path]]:
    found = []
    for folder in sorted((workspace / "tiny" / "runs").glob(f"{kind}-*")):
        found.append((json.loads((folder / "config.json").read_text()), folder))
    return found


@pytest.mark.words
def test_each_day_is_predicted_by_models_of_the_days_before(workspace: Path) -> None:
    found = runs_of(workspace, "mmoe")
    splits = sorted(tuple(tuple(config["pipeline"]["split"][part]) for part in ("train", "validation", "test")) for config, _ in found)
    first = (("2024-01-02", "2024-01-02"), ("2024-01-03", "2024-01-03"), ("2024-01-04", "2024-01-04"))
    second = (("2024-01-02", "2024-01-03"), ("2024-01-04", "2024-01-04"), ("2024-01-05", "2024-01-05"))
    assert splits == [first, first, second, second]
    assert len(runs_of(workspace, "shared_bottom")) == 4
    assert [len(runs_of(workspace, kind)) for kind in ("popularity", "gbdt")] == [2, 2]  # once per day, whatever the seeds


def auc(files: list[Path]) -> float:
    """The AUC of clicks over all test rows of these runs together."""
    rows = pd.concat([pq.read_table(file / "predictions.parquet").to_pandas().query("split == 'test'") for file in files])
    return roc_auc_score(rows["label.click"], rows["pred.click"])


@pytest.mark.words
def test_numbers_are_those_of_all_days_together_and_differences_those_of_the_seeds(workspace: Path) -> None:
    table = rows_of(workspace)
    clicks = table[(table["objective"] == "click") & (table["metric"] == "auc")]
    whole = clicks[clicks["day"].isna()]
    by_seed: dict[int, list[Path]] = {}
    for config, folder in runs_of(workspace, "mmoe"):
        by_seed.setdefault(config["pipeline"]["seed"], []).append(folder)
    of_mmoe = [auc(files) for files in by_seed.values()]
    values = whole[whole["against"].isna()].set_index("run")["value"]
    assert values["mmoe"] == pytest.approx(sum(of_mmoe) / 2)
    gbdt = auc([folder for _, folder in runs_of(workspace, "gbdt")])
    assert values["gbdt"] == pytest.approx(gbdt)
    differences = whole[whole["against"].notna()].set_index(["run", "against"])
    assert differences.loc[("mmoe", "gbdt"), "value"] == pytest.approx(values["mmoe"] - gbdt)
    assert differences.loc[("shared_bottom", "mmoe"), "value"] == pytest.approx(values["shared_bottom"] - values["mmoe"])
    assert ("mmoe", "shared_bottom") not in differences.index
    assert (differences["low"] < differences["value"]).all()
    assert (differences["value"] < differences["high"]).all()
    assert set(differences["seeds"]) == {2}
    on_days = clicks[clicks["day"].notna() & clicks["against"].isna()]
    assert on_days.groupby("run")["n"].sum().to_dict() == whole[whole["against"].isna()].set_index("run")["n"].to_dict()
    (first,) = [folder for config, folder in runs_of(workspace, "gbdt") if "2024-01-04" in config["pipeline"]["split"]["test"]]
    of_gbdt = on_days[(on_days["run"] == "gbdt") & (on_days["day"] == "2024-01-04")]["value"].item()
    assert of_gbdt == pytest.approx(auc([first]))
    assert {"auc", "gauc_list", "xauc", "rmse"} < set(table["metric"])


@pytest.mark.words
def test_a_second_call_trains_nothing_and_gives_the_same_bytes(workspace: Path, capsys) -> None:
    (file,) = (workspace / "tiny" / "backtests").glob("*/backtest.parquet")
    before = file.read_bytes()
    assert backtest(workspace, *DAYS, *OVER) == 0
    said = capsys.readouterr()
    assert "training days: done" not in said.out + said.err
    assert (said.out + said.err).count("train: fresh") == 2 * (1 + 4)
    assert file.read_bytes() == before
    text = " ".join(said.out.split())
    assert "shared_bottom against mmoe. Finding who will:" in text
    assert "mmoe against popularity. Finding who will: better on click (auc) +" in text
    assert "(on 2 of 2 days)" in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--days", "2024-01-05", "2024-01-04"], "--days: found 2024-01-05 2024-01-04, expected a first day that is not after the last"),
        (["--days", "2024-01-02", "2024-01-04"], "--days: found 2024-01-02, before which 2024-01-02 to 2024-01-02 leaves no day to learn"),
        (["--days", "2024-01-05", "2024-01-07"], "--days: found no rows on 2024-01-06, 2024-01-07"),
        ([*DAYS, "--over", "model.architecture=mmo,mmoe"], "config of the backtest mmo: "),
        ([*DAYS, "--set", "train.order=shuffled", "--set", "train.distil_from=runs/x"], "each day of a backtest has a split of its own"),
        ([*DAYS, "--metric", "aucc"], '--metric aucc: found "aucc"'),
        ([*DAYS, "--metric", "calibration"], "--metric: found calibration, which is best at neither end"),
        ([*DAYS, "--over", 'features.signals=["clicked"],["clickd"]'], "features.signals: found the name clickd"),
        ([*DAYS, "--over", 'split.train=["2024-01-02","2024-01-03"],["2024-01-02","2024-01-02"]'], "found the same config as"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(tmp_path: Path, capsys, more: list[str], message: str) -> None:
    assert backtest(tmp_path, *more) in (2, 3)
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "tiny" / "runs").glob("*"))


@pytest.mark.words
def test_a_config_of_a_baselines_name_stands_for_it(workspace: Path, tmp_path: Path, capsys) -> None:
    """And normalised entropy, which needs the training rates, has values."""
    over = ["--over", "model.architecture=mmoe,single_task", "--set", 'evaluate.baselines=["popularity","single_task"]']
    assert backtest(tmp_path, "--days", "2024-01-05", "2024-01-05", *over, "--metric", "normalized_entropy", "--metric", "auc") == 0
    table = rows_of(tmp_path)
    assert set(table["run"]) == {"mmoe", "single_task", "popularity"}
    assert table.loc[table["metric"] == "normalized_entropy", "value"].notna().all()
