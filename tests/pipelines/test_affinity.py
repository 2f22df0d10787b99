"""Who helps whom: what is trained, that it is not trained again, and that the numbers are those of the runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from recsys import artifacts, config, schema
from recsys.affinity import Training, gains, plan, variant
from recsys.cli import run_command

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


def run(workspace: Path, *more: str) -> int:
    return run_command(["affinity", str(TINY), "--workspace", str(workspace), "--seeds", "2", *SETS, *more])


def test_every_objective_alone_every_two_and_all_with_every_seed() -> None:
    trainings = plan(["a", "b", "c", "d"], [7, 8])
    assert len(trainings) == 2 * (4 + 6 + 1)
    assert [training.objectives for training in trainings[:11] if len(training.objectives) != 2] == [
        ("a",), ("b",), ("c",), ("d",), ("a", "b", "c", "d"),
    ]  # fmt: skip
    assert plan(["a", "b"], [7]) == [Training(("a",), 7), Training(("b",), 7), Training(("a", "b"), 7)]  # two: a pair is all


def test_a_run_is_the_pipeline_in_which_the_others_weigh_nothing() -> None:
    pipeline = config.load(TINY, ["objective.like.loss_weight=0.5"])
    alone = variant(pipeline, Training(("like",), 9), 50_000)
    assert [objective.loss_weight for objective in alone.objective] == [0.0, 0.0, 0.5]
    assert (alone.seed, alone.model.budget_macs, alone.evaluate.baselines) == (9, 50_000, ())
    assert [objective.loss_weight for objective in pipeline.objective] == [1.0, 1.0, 0.5]
    together = variant(pipeline, Training(("click", "watch_time", "like"), pipeline.seed), None)
    assert together.model_copy(update={"evaluate": pipeline.evaluate}) == pipeline


def values(table: dict[tuple[str, str | None], list[float]]) -> pd.DataFrame:
    rows = [
        {"objective": objective, "partners": partners, "metric": "auc", "seed": seed, "value": value}
        for (objective, partners), by_seed in table.items()
        for seed, value in enumerate(by_seed)
    ]
    return pd.DataFrame(rows)


def test_a_gain_is_paired_by_seed_and_its_interval_pools_the_variance() -> None:
    found = gains(values({("a", None): [0.5, 0.6, 0.7], ("a", "b"): [0.6, 0.7, 0.8], ("a", "b+c"): [0.4, 0.6, 0.8]}), confidence=0.95)
    assert [(row["partners"], row["value"]) for row in found] == [("b", pytest.approx(0.1)), ("b+c", pytest.approx(0.0))]
    pooled = (0.0 + np.var([-0.1, 0.0, 0.1], ddof=1)) / 2
    half = stats.t.ppf(0.975, 4 / 1.25) * np.sqrt(pooled / 3)  # 2 (3 − 1) degrees, less for a correlation of 1/2
    assert [row["high"] - row["value"] for row in found] == pytest.approx([half, half])


def test_of_one_gain_the_interval_is_that_of_a_paired_t_test() -> None:
    alone, paired = [0.50, 0.61, 0.72], [0.55, 0.63, 0.78]
    (found,) = gains(values({("a", None): alone, ("a", "b"): paired}), confidence=0.9)
    expected = stats.ttest_rel(paired, alone).confidence_interval(0.9)
    assert (found["low"], found["high"]) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_intervals_cover_as_often_as_they_say() -> None:
    """Noise of runs, alone ones included; three gains of nothing from three seeds."""
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(600):
        table = {("a", partners): list(rng.normal(0.7, 0.01, 3)) for partners in (None, "b", "c", "b+c")}
        covered += [row["low"] <= 0 <= row["high"] for row in gains(values(table), confidence=0.95)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_one_seed_has_no_interval_and_an_undefined_metric_no_gain() -> None:
    (found,) = gains(values({("a", None): [0.5], ("a", "b"): [0.6]}), confidence=0.95)
    assert (found["value"], found["low"], found["high"]) == (pytest.approx(0.1), None, None)
    (found,) = gains(values({("a", None): [0.5, np.nan], ("a", "b"): [0.6, 0.7]}), confidence=0.95)
    assert (found["value"], found["low"]) == (None, None)


def test_the_whole_way(tmp_path: Path, capsys) -> None:
    assert run(tmp_path) == 0
    said = capsys.readouterr().out
    assert "14 runs, 7 sets of 3 objectives with 2 seeds each" in said
    (folder,) = (tmp_path / "tiny" / "affinity").iterdir()
    for file in ("affinity.parquet", "affinity.html"):
        assert artifacts.verify(folder / file).stage == "affinity"
    rows = pq.read_table(folder / "affinity.parquet")
    assert rows.schema.equals(schema.AFFINITY)
    table = rows.to_pandas()
    trained = table[table["what"] == "value"]
    assert len(trained) == 2 * (3 + 3 * 2 + 3)
    for row in trained[trained["objective"] == "click"].itertuples():
        assert row.value == pytest.approx(auc_of_test(tmp_path / "tiny" / "runs" / row.run, "click"))
    gain = table[(table["what"] == "gain") & (table["objective"] == "click") & (table["partners"] == "like")]["value"].item()
    of_click = trained[trained["objective"] == "click"].assign(partners=trained["partners"].fillna("alone")).groupby("partners")["value"]
    assert gain == pytest.approx(of_click.mean()["like"] - of_click.mean()["alone"])
    cosines = table[table["what"] == "cosine"]
    assert set(cosines["objective"]) == {"click", "watch_time", "like"}
    assert cosines[["objective", "partners"]].drop_duplicates().shape == (6, 2) == (len(cosines), 2)
    assert cosines["value"].abs().max() <= 1 or cosines["value"].isna().all()
    assert cosines["seeds"].eq(2).all()
    html = (folder / "affinity.html").read_text(encoding="utf-8")
    assert all(f'id="{anchor}"' in html for anchor in ("run", "gains", "gradients"))
    assert "http" not in html.partition('<script id="figures"')[0].replace("http-equiv", "")
    assert len(list((tmp_path / "tiny" / "examples").iterdir())) == len(list((tmp_path / "tiny" / "encoded").iterdir())) == 1

    assert run(tmp_path) == 0  # once more: nothing is trained again
    said = capsys.readouterr().out
    assert said.count("train: fresh") == said.count("score: fresh") == 14
    assert (folder / "affinity.parquet").read_bytes() == pq_bytes(folder, rows)

    others = ["--set", "objective.watch_time.loss_weight=0", "--set", "objective.like.loss_weight=0"]  # an ordinary run
    assert run_command(["run", str(TINY), "--workspace", str(tmp_path), "--until", "train", *SETS, *others]) == 0
    assert "train: the model of affinity-click-" in capsys.readouterr().out


def pq_bytes(folder: Path, rows) -> bytes:
    again = folder / "again.parquet"
    pq.write_table(rows, again)
    found = again.read_bytes()
    again.unlink()
    return found


def auc_of_test(run: Path, objective: str) -> float:
    rows = pq.read_table(run / "predictions.parquet").to_pandas().query("split == 'test'")
    return roc_auc_score(rows[f"label.{objective}"], rows[f"pred.{objective}"])


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["objective.click.loss_weight=0", "objective.like.loss_weight=0"], "found 1 with loss_weight above 0"),
        (["model.budget_macs=10"], "model.budget_macs"),
    ],
)
def test_mistakes_are_said_in_one_line(tmp_path: Path, capsys, sets, message) -> None:
    assert run(tmp_path, *(part for one in sets for part in ("--set", one))) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert message in said


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
