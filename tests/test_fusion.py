"""Fusion weights on predictions whose best order is known, or can be tried out on a grid."""

import re
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys import artifacts, config
from recsys.cli import run_command
from recsys.config import Pipeline
from recsys.errors import ConfigError, DataError, InUseError
from recsys.evaluation import evaluate
from recsys.evaluation.measured import Measured
from recsys.fusion import Aim, Effect, tune
from recsys.fusion.tune import _effect, _refuse_infeasible
from recsys.fusion.weight_search import search
from recsys.objectives import Objective
from recsys.predictions import fused_score
from recsys.progress import Console
from recsys.pruning import prune
from recsys.stages import claim

LIKE = Objective(name="like", label="l", fusion_weight=0.1)
SECONDS = Objective(name="seconds", kind="watch_time", label="s", fusion_weight=1.0)
DISMISSAL = Objective(name="dismissal", label="d", better="lower", fusion_weight=1.0)
ALL = (LIKE, SECONDS, DISMISSAL)
SETTINGS = {"run": "mine", "bootstrap": 200, "confidence": 0.95, "seed": 3}


def log(seed: int, rows: int = 3_000) -> pd.DataFrame:
    """Calibrated predictions of a like and of seconds that pull against each other, and of a dismissal beside them; two splits."""
    rng = np.random.default_rng(seed)
    taste, length, annoyance = rng.normal(size=(3, rows))
    like, dismissal = (1 / (1 + np.exp(2 - level)) for level in (taste - 0.5 * length, annoyance))
    seconds = np.exp(3 + length - 0.3 * taste)
    split = np.where(np.arange(rows) < rows // 2, "validation", "test")
    return pd.DataFrame(
        {
            "event_id": rng.permutation(rows), "user_id": rng.integers(0, 150, rows), "split": split,
            "timestamp": rng.integers(0, 300_000, rows) + (split == "test") * 86_400_000,
            "label.like": (rng.random(rows) < like) * 1.0, "pred.like": like,
            "label.seconds": seconds * rng.gamma(2, 0.5, rows), "pred.seconds": seconds,
            "label.dismissal": (rng.random(rows) < dismissal) * 1.0, "pred.dismissal": dismissal,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def predictions() -> pa.Table:
    return pa.Table.from_pandas(log(1), preserve_index=False)


def found(predictions: pa.Table, objectives, maximise: str, metric: str = "captured@10%", **least: float):
    return tune(predictions, objectives, Aim(maximise, metric, least), **SETTINGS)


def values(predictions: pa.Table, objectives, weights, metric: str, split: str) -> dict[str, float]:
    """What `evaluate` says of the metric under other weights."""
    weighted = [o.model_copy(update={"fusion_weight": w}) for o, w in zip(objectives, weights, strict=True)]
    score = fused_score(np.column_stack([predictions[f"pred.{o.name}"] for o in objectives]), weighted)
    rows = evaluate(predictions.append_column("score", pa.array(score)), objectives, run="x", bootstrap=0).to_pylist()
    whole = [row for row in rows if row["metric"] == metric and row["split"] == split and row["day"] is None]
    return {row["objective"]: row["value"] for row in whole}


def test_without_constraints_the_order_is_that_of_labels_that_a_prediction_knows(predictions):
    """Likes are the top tenth by their prediction: only its own order captures them all."""
    known = predictions.to_pandas()
    top = known.groupby("split")["pred.like"].transform(lambda p: p.rank(ascending=False) <= 0.1 * len(p))
    table = pa.Table.from_pandas(known.assign(**{"label.like": top * 1.0}), preserve_index=False)
    tuned = found(table, ALL, "like")
    assert tuned.validation[0].present < 0.5
    assert tuned.validation[0].tuned == pytest.approx(1, abs=0.02)
    assert tuned.weights["like"] > 3 * LIKE.fusion_weight
    assert tuned.test[0].tuned > 0.95


def test_what_holds_on_other_days_is_said_to(predictions):
    tuned = found(predictions, ALL, "like", seconds=-0.99)
    assert tuned.test[0].low > 0
    assert [effect.verdict for effect in tuned.test[:2]] == ["better", "held"]


@pytest.mark.words
@pytest.mark.parametrize("metric", ["captured@10%", "captured@5", "ndcg@5"])
def test_no_ratio_of_a_grid_is_better_within_the_constraint(metric, predictions):
    two = (LIKE, SECONDS)
    tuned = found(predictions, two, "like", metric, seconds=-0.05)
    present = values(predictions, two, [0.1, 1.0], metric, "validation")
    best = 0.0
    for ratio in np.tan(np.linspace(0, np.pi / 2 - 1e-6, 60)):
        tried = values(predictions, two, [ratio, 1.0], metric, "validation")
        if tried["seconds"] >= 0.95 * present["seconds"]:
            best = max(best, tried["like"])
    like, seconds = tuned.validation
    assert like.tuned >= best - 1e-12 > present["like"]
    assert seconds.tuned >= 0.95 * present["seconds"] - 1e-9


@pytest.mark.parametrize("metric", ["captured@10%", "captured@5", "ndcg@10"])
def test_effects_are_what_evaluate_says_of_the_weights_that_are_written(metric, predictions):
    tuned = found(predictions, ALL, "like", metric, seconds=-0.02, dismissal=-0.02)
    written = tomllib.loads(tuned.toml)["objective"]
    assert [entry["name"] for entry in written] == ["like", "seconds", "dismissal"]
    for split, effects in (("validation", tuned.validation), ("test", tuned.test)):
        present = values(predictions, ALL, [0.1, 1.0, 1.0], metric, split)
        after = values(predictions, ALL, [entry["fusion_weight"] for entry in written], metric, split)
        for effect in effects:
            assert effect.present == pytest.approx(present[effect.objective], rel=1e-9)
            assert effect.tuned == pytest.approx(after[effect.objective], rel=1e-9)
            sign = -1 if effect.objective == "dismissal" else 1
            assert effect.change == pytest.approx(sign * (after[effect.objective] / present[effect.objective] - 1), abs=1e-9)
            assert split == "validation" or effect.low <= effect.change <= effect.high


def test_of_what_is_better_lower_as_little_as_possible_is_captured(predictions):
    tuned = found(predictions, ALL, "dismissal", seconds=-0.5)
    effect = tuned.validation[2]
    assert effect.tuned < effect.present
    assert effect.change > 0
    assert values(predictions, ALL, [0.1, 1.0, 50.0], "captured@10%", "validation")["dismissal"] < effect.present


def test_weights_are_never_worse_than_the_present_ones_and_equal_for_a_seed(predictions):
    best = [LIKE.model_copy(update={"fusion_weight": 1.0}), SECONDS.model_copy(update={"fusion_weight": 0.0})]
    tuned = found(predictions, best, "like", seconds=0.0)
    assert tuned.validation[0].change >= 0
    assert tuned.validation[1].change >= 0
    assert found(predictions, best, "like", seconds=0.0) == tuned


def test_constraints_that_nothing_keeps_are_said_with_the_nearest(predictions):
    with pytest.raises(ConfigError, match=r"no weights that keep every constraint .* instead of \+300\.00% or more.*Fix: ask for less"):
        found(predictions, ALL, "like", seconds=3.0)


def test_what_is_given_does_not_read_as_what_was_asked_for():
    with pytest.raises(ConfigError, match=r"like -1\.004% instead of -1\.000% or more, seconds \+0\.10% instead of \+3\.00% or more"):
        _refuse_infeasible([Effect("like", 0.5, 0.4, -0.01004, least=-0.01), Effect("seconds", 0.5, 0.5, 0.001, least=0.03)])


def test_a_gain_that_must_be_made_is_made(predictions):
    tuned = found(predictions, ALL, "seconds", like=0.2)
    assert tuned.validation[0].change >= 0.2 - 1e-9


def test_a_constraint_on_what_is_maximised_is_said(predictions):
    text = found(predictions, ALL, "like", like=0.01, seconds=-0.5).text
    assert "as much as possible, at least +1.00%" in text
    assert "at least -50.00%" in text


def test_a_missing_value_of_the_days_that_weights_are_found_on_has_its_reason(predictions):
    of_none = predictions.to_pandas().assign(**{"label.dismissal": 0.0})
    assert "dismissal, validation: no positive label" in found(pa.Table.from_pandas(of_none, preserve_index=False), ALL, "like").text
    assert "validation:" not in found(predictions, ALL, "like").text


def test_verdicts_are_said_only_where_the_interval_says_them():
    def verdict(low, high, least=None):
        return Effect("x", 0.5, 0.5, 0.0, low, high, least).verdict

    assert verdict(-0.005, 0.02, -0.01) == "held"
    assert verdict(-0.05, -0.02, -0.01) == "did not hold"
    assert verdict(-0.05, 0.02, -0.01) == "inconclusive"
    assert (verdict(0.01, 0.02), verdict(-0.02, -0.01), verdict(-0.01, 0.01)) == ("better", "worse", "inconclusive")
    assert Effect("x", 0.0, 0.0, None, reason="no positive label").verdict == "no verdict: no positive label"


def test_no_change_where_lower_is_better_is_no_loss(predictions):
    table = predictions
    for name in ("like", "dismissal"):  # one order, whatever the weights
        column = f"pred.{name}"
        table = table.set_column(table.column_names.index(column), column, pa.array(np.full(len(table), 0.5)))
    tuned = found(table, (LIKE, DISMISSAL), "like")
    assert "+0.0%" in tuned.table
    assert "-0.0%" not in tuned.table
    assert tuned.text == ("fuse: found no weights that are better for like (captured@10% on the validation days). The present weights stay")


def test_where_a_constraint_is_in_the_way_it_is_named(predictions):
    """By their own predictions alone likes are captured best but for seconds, of which the present order already has the most."""
    present = [LIKE.model_copy(update={"fusion_weight": 0.0}), SECONDS]
    tuned = found(predictions, present, "like", seconds=0.0)
    assert list(tuned.weights.values()) == pytest.approx([0.0, 1.0])
    assert re.fullmatch(
        r"fuse: found no weights that are better for like \(captured@10% on the validation days\) and keep every constraint:"
        r" the nearest that are better give seconds -\d+\.\d+% instead of \+0\.0+% or more\. The present weights stay",
        tuned.text,
    )
    assert tomllib.loads(tuned.toml)["objective"][1] == {"name": "seconds", "fusion_weight": 1.0}
    assert "nothing better was found" in tuned.toml


def test_what_is_better_by_the_last_bits_of_a_sum_is_not_better():
    rows = SimpleNamespace(spread=lambda: np.ones(2))
    present_K = np.array([0.5, 0.25])
    gains = {"a last bit": 1e-16, "more": 0.01}
    kept = {
        name: np.array_equal(search(rows, lambda w, gain=gain: -0.3 - gain * (w[0] > w[1] * 3), present_K, 1), present_K)
        for name, gain in gains.items()
    }
    assert kept == {"a last bit": True, "more": False}


def test_a_constraint_that_is_not_in_the_way_is_not_blamed(predictions):
    best = [LIKE.model_copy(update={"fusion_weight": 1.0}), DISMISSAL.model_copy(update={"fusion_weight": 0.0})]
    known = predictions.to_pandas()
    top = known.groupby("split")["pred.like"].transform(lambda p: p.rank(ascending=False) <= 0.1 * len(p))
    table = pa.Table.from_pandas(known.assign(**{"label.like": top * 1.0}), preserve_index=False)
    assert "with the constraints or without. The present" in found(table, best, "like", dismissal=-0.5).text


def test_what_cannot_be_tuned_is_said(predictions):
    frame = predictions.to_pandas()

    def changed(**columns):
        return pa.Table.from_pandas(frame.assign(**columns), preserve_index=False)

    with pytest.raises(DataError, match="no validation rows"):
        found(changed(split="test"), ALL, "like")
    with pytest.raises(DataError, match=r"captured@10% of like: found no positive label"):
        found(changed(**{"label.like": 0.0}), ALL, "like")
    with pytest.raises(DataError, match=r"captured@10% of seconds: found no positive label"):
        found(changed(**{"label.seconds": 0.0}), ALL, "like", seconds=-0.1)
    with pytest.raises(DataError, match=r"column pred\.like: found null.*; 1,500 of 1,500 rows"):
        found(changed(**{"pred.like": np.nan, "label.like": np.nan}), ALL, "like")
    with pytest.raises(ConfigError, match="found one objective, expected two or more"):
        found(predictions, [LIKE], "like")
    with pytest.raises(ConfigError, match='found "lik", expected an objective; there are like, seconds'):
        found(predictions, ALL, "lik")
    with pytest.raises(ConfigError, match="expected captured@P%, captured@K or ndcg@K"):
        found(predictions, ALL, "like", "auc")


def test_without_test_rows_the_text_says_that_nothing_is_known(predictions):
    tuned = found(pa.Table.from_pandas(log(1).query("split == 'validation'"), preserve_index=False), ALL, "like")
    assert tuned.test == ()
    assert "no test rows" in tuned.text


@pytest.fixture
def run(tmp_path: Path, predictions) -> Path:
    """A scored run of which only the predictions and the config are there."""
    toml = tmp_path / "feed.toml"
    toml.write_text(
        '[source]\nkind = "table"\nlog = "log.csv"\n[split]\ntrain = ["2022-04-25", "2022-05-02"]\n[evaluate]\nbootstrap = 50\n'
        '[fuse]\nmaximise = "like"\nconstraints = { "*" = "-5%" }\n'
        + "".join(f'[[objective]]\nname = "{o.name}"\nkind = "{o.kind}"\nlabel = "x"\nbetter = "{o.better}"\n' for o in ALL)
    )
    folder = tmp_path / "feed" / "runs" / "mine"
    claim(folder, {}, config.load(toml))
    artifacts.write_file(folder / "predictions.parquet", lambda path: pq.write_table(predictions, path), stage="score", fingerprint="x")
    return folder


def test_the_verb_tunes_as_the_toml_says_and_writes_lines_that_a_pipeline_takes(run, tmp_path, capsys):
    assert run_command(["fuse", "mine", "--workspace", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "as much as possible" in said
    assert said.count("at least -5.00%") == 2
    artifacts.verify(run / "fusion.toml")
    text = (run / "fusion.toml").read_text()
    assert text in said
    for line in (line.removeprefix("#   --set ") for line in text.splitlines() if "--set" in line):
        weight = next(o.fusion_weight for o in config.load(tmp_path / "feed.toml", [line]).objective if f".{o.name}." in line)
        assert weight == float(line.split("=")[1])


def test_options_of_the_verb_stand_in_place_of_the_table(run, capsys):
    assert run_command(["fuse", str(run), "--maximise", "seconds", "--metric", "captured@5", "--no-worse", "like=-2%"]) == 0
    said = capsys.readouterr().out
    assert "captured@5 of seconds" in said
    assert "at least -2.00%" in said
    assert "-5.00%" not in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--maximise", "lik"], 'fuse.maximise: found "lik", expected an objective; there are like, seconds, dismissal'),
        (["--no-worse", "like"], "--no-worse: found like, expected OBJECTIVE=-P%"),
        (["--no-worse", "like=1"], "fuse.constraints.like: found '1', expected a relative change such as -1%"),
        (["--metric", "auc"], 'fuse.metric: found "auc", expected captured@P%, captured@K or ndcg@K such as captured@10%'),
        (["--no-worse", "seconds=+900%"], "no weights that keep every constraint"),
    ],
)
def test_mistakes_exit_with_2_and_leave_nothing(options, message, run, capsys):
    assert run_command(["fuse", str(run), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (run / "fusion.toml").exists()


def test_an_aim_that_cannot_be_met_takes_the_weights_of_an_earlier_one_away(run, capsys):
    assert run_command(["fuse", str(run), "--maximise", "like"]) == 0
    assert (run / "fusion.toml").exists()
    assert run_command(["fuse", str(run), "--maximise", "lik"]) == 2  # a slip says nothing of the weights that stand
    assert (run / "fusion.toml").exists()
    capsys.readouterr()
    assert run_command(["fuse", str(run), "--no-worse", "seconds=+900%"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: fuse: found no weights that keep every constraint") for line in said] == [True, False]
    assert said[1].endswith("fusion.toml: removed, its weights were found for an earlier aim")
    assert not [path.name for path in run.iterdir() if "fusion" in path.name]


def test_a_pruning_does_not_take_what_is_written_for_what_dead_jobs_left(run, monkeypatch):
    original, tried = artifacts.write_file, []

    def write_file(target, write, **origin):
        def write_and_prune(draft):
            write(draft)
            with pytest.raises(InUseError):
                prune(run.parent.parent, 0, remove=True, wait=False, console=Console(quiet=True))
            tried.append(draft)

        original(target, write_and_prune, **origin)

    monkeypatch.setattr(artifacts, "write_file", write_file)
    assert run_command(["fuse", str(run), "--maximise", "like"]) == 0
    assert tried


def test_an_aim_is_no_part_of_what_makes_a_run(run):
    from recsys.jobs import run_identity
    from recsys.runs import pipeline_of

    pipeline = pipeline_of(run)
    assert run_identity(pipeline) == run_identity(Pipeline.model_validate(pipeline.model_dump() | {"fuse": {}}))


def test_where_nothing_is_captured_so_far_that_is_the_reason():
    nothing = Measured(0.0, replicates_R=np.zeros(100), reason="no interval: every user is at the same end of the scale")
    effect = _effect(LIKE, nothing, Measured(0.5, replicates_R=np.full(100, 0.5)), None, 0.95)
    assert effect.verdict == "no verdict: nothing is captured under the present weights"
