"""Who helps whom: what is trained, that it is not trained again, and that the numbers are those of the runs."""

import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from recsys import artifacts, config, report, schema
from recsys.cli import run_command
from recsys.experiments.affinity import only, sets_of

TINY = Path(__file__).resolve().parents[2] / "pipelines" / "tiny.toml"
SMALL = [
    "source.users=80",
    "train.batch_size=128",
    "features.history=0",
    "features.windows=[1]",
    "model.d_shared=8",
    "model.mmoe.hidden=[4]",
    "model.d_tower=4",
]
SETS = [part for override in SMALL for part in ("--set", override)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    """After a study of three objectives with two seeds."""
    place = tmp_path_factory.mktemp("affinity")
    assert run(place) == 0
    return place


def run(workspace: Path, *more: str) -> int:
    return run_command(["affinity", str(TINY), "--workspace", str(workspace), "--seeds", "2", *SETS, *more])


def test_every_objective_alone_every_two_and_all() -> None:
    found = sets_of(["a", "b", "c", "d"])
    assert len(found) == 4 + 6 + 1
    assert [objectives for objectives in found if len(objectives) != 2] == [("a",), ("b",), ("c",), ("d",), ("a", "b", "c", "d")]
    assert sets_of(["a", "b"]) == [("a",), ("b",), ("a", "b")]  # a pair is all


def test_a_run_is_the_pipeline_in_which_the_others_weigh_nothing() -> None:
    pipeline = config.load(TINY, ["objective.like.loss_weight=0.5"])
    alone = only(pipeline, ["like"])
    assert [objective.loss_weight for objective in alone.objective] == [0.0, 0.0, 0.5]
    assert alone.evaluate.baselines == ()
    assert [objective.loss_weight for objective in pipeline.objective] == [1.0, 1.0, 0.5]
    together = only(pipeline, ["click", "watch_time", "like"])
    assert together.model_copy(update={"evaluate": pipeline.evaluate}) == pipeline


@pytest.mark.words
def test_the_whole_way(workspace: Path) -> None:
    (folder,) = (workspace / "tiny" / "affinity").iterdir()
    for file in ("affinity.parquet", "affinity.html"):
        assert artifacts.verify(folder / file).stage == "affinity"
    rows = pq.read_table(folder / "affinity.parquet")
    assert rows.schema.equals(schema.AFFINITY)
    table = rows.to_pandas()
    trained = table[table["what"] == "value"]
    assert set(zip(trained["objective"], trained["metric"], strict=True)) == {
        ("click", "auc"),
        ("click", "gauc_list"),
        ("watch_time", "xauc"),
        ("watch_time", "xgauc_list"),
        ("like", "auc"),
        ("like", "gauc"),
    }  # too few lists hold a like and none
    assert len(trained) == 2 * 2 * (3 + 3 * 2 + 3)
    assert table.loc[table["low"].isna() & (table["what"] != "value"), "reason"].notna().all()
    table, trained = table[~table["metric"].isin(["gauc_list", "xgauc_list", "gauc"])], trained[trained["metric"].isin(["auc", "xauc"])]
    for row in trained[trained["objective"] == "click"].itertuples():
        assert row.value == pytest.approx(auc_of_test(workspace / "tiny" / "runs" / row.run, "click"))
    gain = table[(table["what"] == "gain") & (table["objective"] == "click") & (table["partners"] == "like")]["value"].item()
    of_click = trained[trained["objective"] == "click"].assign(partners=trained["partners"].fillna("alone")).groupby("partners")["value"]
    assert gain == pytest.approx(of_click.mean()["like"] - of_click.mean()["alone"])
    gains = table[(table["what"] == "gain") & table["reason"].isna()]
    assert set(gains["objective"]) >= {"click", "watch_time"}
    assert (gains["low"] < gains["value"]).all()
    assert (gains["value"] < gains["high"]).all()
    cosines = table[table["what"] == "cosine"]
    assert set(cosines["objective"]) == {"click", "watch_time", "like"}
    assert cosines[["objective", "partners"]].drop_duplicates().shape == (6, 2) == (len(cosines), 2)
    assert cosines["value"].abs().max() <= 1 or cosines["value"].isna().all()
    assert cosines["seeds"].eq(2).all()
    html = (folder / "affinity.html").read_text(encoding="utf-8")
    assert all(f'id="{anchor}"' in html for anchor in ("run", "gains", "gradients"))
    assert "its interval over users and seeds" in html
    assert "http" not in html.partition('<script id="figures"')[0].replace("http-equiv", "")
    assert len(list((workspace / "tiny" / "examples").iterdir())) == len(list((workspace / "tiny" / "encoded").iterdir())) == 1


def test_the_words_name_the_gains_without_an_interval() -> None:
    def gain(objective: str, value: float | None, half: float | None = None, reason: str | None = None) -> dict[str, object]:
        bounds = {} if half is None else {"low": value - half, "high": value + half}
        about = {"what": "gain", "objective": objective, "partners": "click", "metric": "auc", "value": value, "seeds": 2}
        return dict.fromkeys(schema.AFFINITY.names) | about | {"reason": reason} | bounds

    gains = [gain("like", 0.01, 0.02), gain("share", 0.03, reason="too few users (18)"), gain("share", 0.03, reason="too few users (18)")]
    gains.append(gain("survey", None, reason="no rows with a known label"))
    words, *silent = report.affinity_words(pa.Table.from_pylist(gains, schema=schema.AFFINITY), 0.95)
    assert "1 of 3 gains" in words  # of all there are, not of those that have an interval
    assert silent == [
        "No interval and no verdict on share (auc): too few users (18).",
        "No interval and no verdict on survey (auc): no rows with a known label.",
    ]


@pytest.mark.words
def test_a_second_call_trains_nothing_and_gives_the_same_bytes(workspace: Path, capsys) -> None:
    (file,) = (workspace / "tiny" / "affinity").glob("*/affinity.parquet")
    before = file.read_bytes()
    assert run(workspace) == 0
    said = capsys.readouterr().out
    assert "14 runs, 7 sets of 3 objectives with 2 seeds each" in said
    assert "No interval and no verdict on like (auc): too few users" in said
    assert "affinity 3 of 14: watch_time, seed 7 (affinity-watch_time-" in said
    assert said.count("train: fresh") == said.count("score: fresh") == 14
    assert file.read_bytes() == before

    others = ["--set", "objective.watch_time.loss_weight=0", "--set", "objective.like.loss_weight=0"]  # an ordinary run
    assert run_command(["run", str(TINY), "--workspace", str(workspace), "--until", "train", *SETS, *others]) == 0
    assert "train: the model of affinity-click-" in capsys.readouterr().out


@pytest.mark.words
@pytest.mark.parametrize("seeds", [1, 2])
def test_a_sweep_over_the_same_two_configs_gives_the_same_difference_and_interval(workspace: Path, tmp_path: Path, seeds: int) -> None:
    """Clicks alone and with likes: of two points, each is half the difference of both from their mean."""
    shutil.copytree(workspace / "tiny", tmp_path / "tiny")
    shutil.rmtree(tmp_path / "tiny" / "affinity")
    common = ["--seeds", str(seeds), "--set", "objective.watch_time.loss_weight=0", "--quiet"]
    assert run(tmp_path, *common) == 0
    over = ["--over", "objective.like.loss_weight=0,1", "--objective", "click"]
    assert run_command(["sweep", str(TINY), "--workspace", str(tmp_path), *SETS, *over, *common]) == 0
    (affinity,), (sweep,) = ((tmp_path / "tiny").glob(f"*/*/{name}.parquet") for name in ("affinity", "sweep"))
    gain = pd.read_parquet(affinity).query("what == 'gain' and objective == 'click'")[["value", "low", "high"]]
    relative = pd.read_parquet(sweep).query("what == 'relative' and point == 'like.loss_weight=1'")[["value", "low", "high"]]
    assert len(gain) == 2  # over all impressions, and within lists
    assert gain.to_numpy() == pytest.approx(2 * relative.to_numpy())
    assert ("One seed: what is said is of these trained models" in affinity.with_suffix(".html").read_text()) == (seeds == 1)


def auc_of_test(run: Path, objective: str) -> float:
    rows = pq.read_table(run / "predictions.parquet").to_pandas().query("split == 'test'")
    return roc_auc_score(rows[f"label.{objective}"], rows[f"pred.{objective}"])


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["objective.click.loss_weight=0", "objective.like.loss_weight=0"], "found 1 with loss_weight above 0"),
        (["model.budget_macs=10"], "model.budget_macs"),
        (["train.order=shuffled", "train.distil_from=runs/x"], "train.distil_from: found "),
    ],
)
def test_mistakes_are_said_in_one_line(tmp_path: Path, capsys, sets, message) -> None:
    assert run(tmp_path, *(part for one in sets for part in ("--set", one))) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert message in said


@pytest.mark.words
@pytest.mark.parametrize("method", ["fixed", "torchjd.upgrad"])
def test_who_is_left_out_changes_nothing(tmp_path: Path, method: str) -> None:
    """Other labels of the one left out: the same predictions, to the bit. (In time order, which days give the base rates depends on all
    labels that there are; the runs of a study have the same ones.)
    """
    predicted = []
    for label in ("liked = 1", "watch_seconds > 20"):
        overrides = ["objective.watch_time.loss_weight=0", "objective.like.loss_weight=0", f"objective.like.label={label}"]
        overrides += ["train.order=shuffled", "train.passes=2"]
        sets = [part for override in [*overrides, f"balance.method={method}", "evaluate.baselines=[]"] for part in ("--set", override)]
        workspace = tmp_path / label[:5]
        assert run_command(["run", str(TINY), "--workspace", str(workspace), "--until", "score", "--run", "alone", *SETS, *sets]) == 0
        rows = pq.read_table(workspace / "tiny" / "runs" / "alone" / "predictions.parquet").to_pandas()
        predicted.append(rows.sort_values("event_id")[["label.like", "pred.click"]].to_numpy().T)
    (some_labels, some), (other_labels, other) = predicted
    assert (some_labels != other_labels).any()
    assert (some == other).all()
