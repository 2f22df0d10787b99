"""What people feed an evaluation to try it: the right numbers, or one clear error; from Python and from the command line alike."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from recsys.cli import run_command
from recsys.errors import DataError
from recsys.evaluation import evaluate
from recsys.objectives import Objective
from tests.evaluation.samples import frame, one

LIKE = Objective(name="like", label="is_like = 1")
SECONDS = Objective(name="seconds", kind="watch_time", label="seconds")
TOML = """
[source]
kind = "table"
log = "nowhere.csv"
[split]
train = ["2024-01-01", "2024-01-01"]
[evaluate]
bootstrap = 20
[[objective]]
name = "like"
label = "is_like = 1"
[[objective]]
name = "seconds"
kind = "watch_time"
label = "seconds"
"""


@pytest.fixture
def scored(rng: np.random.Generator) -> pd.DataFrame:
    """503 impressions of 80 users in requests of up to twelve, a third of them liked."""
    rows = 503
    user = rng.integers(0, 80, rows)
    columns = {
        "event_id": rng.permutation(rows),
        "user_id": user,
        "timestamp": rng.integers(0, 86_400_000, rows),
        "request_id": user * 10 + rng.integers(0, 2, rows),
        "label.like": (rng.random(rows) < 1 / 3).astype(float),
        "pred.like": rng.random(rows),
        "label.seconds": rng.gamma(1, 10, rows),
        "pred.seconds": rng.gamma(1, 10, rows),
    }
    return pd.DataFrame(columns).assign(score=lambda table: np.log(table["pred.like"]))


def value(rows: pd.DataFrame, metric: str, objective: str = "like") -> float:
    return one(rows, metric=metric, objective=objective)["value"]


# --- Right numbers ------------------------------------------------------------------------------------------------
def test_the_labels_themselves_are_perfect(scored):
    perfect = scored.assign(**{"pred.like": scored["label.like"], "pred.seconds": scored["label.seconds"], "score": scored["label.like"]})
    rows = frame(perfect, [LIKE, SECONDS], train_means={"like": 0.3})
    for metric in ("auc", "gauc", "gauc_list", "pr_auc", "calibration", "ndcg@5", "ndcg@10"):
        assert value(rows, metric) == pytest.approx(1, abs=1e-12)
    assert value(rows, "ece") == 0
    assert 0 < value(rows, "log_loss") < 1e-11
    assert 0 < value(rows, "normalized_entropy") < 1e-11
    of_seconds = [value(rows, metric, "seconds") for metric in ("rmse", "mae", "r2", "xauc", "xgauc", "spearman")]
    assert of_seconds == pytest.approx([0, 0, 1, 1, 1, 1], abs=1e-12)
    positives, top = int(scored["label.like"].sum()), 51  # ⌈10 % of 503⌉
    assert value(rows, "captured@10%") == pytest.approx(top / positives, rel=1e-12)
    whole = scored.groupby("request_id").agg(n=("label.like", "size"), likes=("label.like", "sum"))
    counted = whole[(whole["n"] > 5) & (whole["likes"] > 0)]
    assert value(rows, "captured@5") == pytest.approx((counted["likes"].clip(upper=5) / counted["likes"]).mean(), rel=1e-12)


def test_constant_scores_are_a_coin_and_lists_stand_in_the_order_of_event_id(scored):
    constant = scored.assign(**{"pred.like": 0.25, "pred.seconds": 3.0, "score": 1.0})
    rows = frame(constant, [LIKE, SECONDS], train_means={"like": 0.3})
    base = scored["label.like"].mean()
    assert [value(rows, metric) for metric in ("auc", "gauc", "gauc_list")] == [0.5, 0.5, 0.5]
    assert value(rows, "pr_auc") == pytest.approx(average_precision_score(scored["label.like"], np.zeros(len(scored))))
    assert value(rows, "ece") == pytest.approx(base - 0.25, rel=1e-12)
    assert value(rows, "calibration") == pytest.approx(0.25 / base, rel=1e-12)
    loss = -base * np.log(0.25) - (1 - base) * np.log(0.75)
    assert value(rows, "log_loss") == pytest.approx(loss, rel=1e-12)
    assert value(rows, "normalized_entropy") == pytest.approx(loss / -(0.3 * np.log(0.3) + 0.7 * np.log(0.7)), rel=1e-12)
    assert [value(rows, metric, "seconds") for metric in ("xauc", "xgauc")] == [0.5, 0.5]
    unranked = one(rows, metric="spearman", objective="seconds")
    assert unranked["value"] is None
    assert unranked["reason"]
    in_order = scored.sort_values("event_id")
    assert value(rows, "captured@10%") == pytest.approx(in_order["label.like"].head(51).sum() / in_order["label.like"].sum(), rel=1e-12)
    found = [
        ndcg_score([each["label.like"]], [-np.arange(len(each))], k=5)
        for _, each in in_order.groupby("request_id")
        if len(each) > 1 and each["label.like"].any()
    ]
    assert value(rows, "ndcg@5") == pytest.approx(np.mean(found), rel=1e-12)


@pytest.mark.words
def test_random_scores_are_a_coin_as_often_as_the_interval_says():
    """200 logs of users of unequal size: .5 lies in 90 % intervals in 85 to 95 % of them (two standard errors are 4.2 %)."""
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        user = np.minimum(rng.integers(0, 150, 600), rng.integers(0, 150, 600))
        taste = rng.normal(size=150)[user]
        columns = {"event_id": np.arange(600), "user_id": user, "timestamp": 0, "label.like": (taste + rng.normal(size=600) > 0.5) * 1.0}
        table = pd.DataFrame(columns | {"pred.like": rng.random(600)})
        row = evaluate(table, [LIKE], run="coin", bootstrap=200, confidence=0.9, seed=seed, metrics=["auc"]).to_pylist()[0]
        assert 0.3 < row["value"] < 0.7
        held += row["low"] <= 0.5 <= row["high"]
    assert 0.85 <= held / 200 <= 0.95


def test_one_class_and_nothing_known_are_null_with_a_reason_and_slices_of_them_too(scored):
    scored["slice.kind"] = np.where(np.arange(503) < 30, "none", np.where(np.arange(503) < 60, "all", "both"))
    scored.loc[:29, "label.like"] = 0.0
    scored.loc[30:59, "label.like"] = 1.0
    scored.loc[60:64, ["slice.kind", "label.like"]] = ["unknown", np.nan]
    rows = frame(scored, [LIKE], train_means={"like": 0.3})
    reasons = {"none": "one class", "all": "one class", "unknown": "no row"}
    for kind, reason in reasons.items():
        row = one(rows, metric="auc", slice="kind", slice_value=kind)
        assert row["value"] is None
        assert reason in row["reason"]
    assert one(rows, metric="log_loss", slice="kind", slice_value="all")["value"] > 0
    assert one(rows, metric="auc", slice="kind", slice_value="both")["n"] == 503 - 65


def test_a_shuffled_file_gives_the_same_bytes(scored, tmp_path):
    (tmp_path / "feed.toml").write_text(TOML)
    found = []
    for name, table in (("one", scored), ("two", scored.sample(frac=1, random_state=3))):
        folder = tmp_path / name
        folder.mkdir()
        table.to_csv(folder / "theirs.csv", index=False)
        arguments = ["evaluate", str(tmp_path / "feed.toml"), "--predictions", str(folder / "theirs.csv"), "--out", str(folder), "--quiet"]
        assert run_command(arguments) == 0
        found.append((folder / "metrics.parquet").read_bytes())
    assert found[0] == found[1]


# --- One clear error ----------------------------------------------------------------------------------------------
Refuse = Callable[[pd.DataFrame], str]


def through_python(table: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    before = table.copy()
    with pytest.raises(DataError) as caught:
        evaluate(table, [LIKE, SECONDS], run="theirs", bootstrap=0)
    pd.testing.assert_frame_equal(table, before)
    return str(caught.value)


def through_a_file(suffix: str, table: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    (tmp_path / "feed.toml").write_text(TOML)
    file = tmp_path / f"theirs.{suffix}"
    table.to_csv(file, index=False) if suffix == "csv" else table.to_parquet(file, index=False)
    out = tmp_path / "out"
    assert run_command(["evaluate", str(tmp_path / "feed.toml"), "--predictions", str(file), "--out", str(out)]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert not out.exists()
    (line,) = said.err.splitlines()
    return line.removeprefix("error: ")


@pytest.fixture(params=["python", "csv", "parquet"])
def refuse(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """What is said of a table that cannot be judged."""
    if request.param == "python":
        return lambda table: through_python(table, tmp_path, capsys)
    return lambda table: through_a_file(request.param, table, tmp_path, capsys)


def at(column: str, number: object, rows: int = 3) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def edit(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[: rows - 1, column] = number
        return table

    return edit


MISTAKES = [
    pytest.param(at("pred.like", np.nan), ["column pred.like: found null, NaN or infinite", "3 of 503 rows"], id="NaN scores"),
    pytest.param(at("pred.like", np.inf, 2), ["column pred.like: found null, NaN or infinite", "2 of 503 rows"], id="infinite scores"),
    pytest.param(at("pred.seconds", np.nan), ["column pred.seconds: found null, NaN or infinite", "3 of 503 rows"], id="NaN of a number"),
    pytest.param(at("label.like", 0.5), ["column label.like: found 0.5, expected 0 or 1, or null", "3 of 503 rows"], id="half a like"),
    pytest.param(at("label.like", np.inf), ["column label.like", "expected 0 or 1, or null", "3 of 503 rows"], id="infinite likes"),
    pytest.param(at("label.seconds", np.inf), ["column label.seconds", "a finite number of 0 or more, or null"], id="infinite labels"),
    pytest.param(at("label.seconds", -1.0), ["column label.seconds", "0 or more, or null; 3 of 503 rows"], id="a watch time below 0"),
    pytest.param(
        lambda t: pd.concat([t, t.head(4)]), ["column event_id: found ids that occur more than once", "4 of 507 rows"], id="twice"
    ),
    pytest.param(lambda t: t.drop(columns="pred.like"), ["pred.like"], id="an objective without predictions"),
    pytest.param(
        lambda t: t.drop(columns=["pred.like", "label.seconds", "user_id"]), ["user_id", "pred.like", "label.seconds"], id="several at once"
    ),
    pytest.param(lambda t: t.head(0), ["found no rows"], id="no rows"),
    pytest.param(at("user_id", None, 1), ["column user_id: found"], id="nobody"),
    pytest.param(lambda t: t.assign(timestamp="2024-01-01T00:00:00"), ["column timestamp"], id="a time in words"),
    pytest.param(lambda t: t.assign(**{"pred.like": "high"}), ["column pred.like: found values of type", "expected numbers"], id="words"),
]


@pytest.mark.parametrize(("edit", "says"), MISTAKES)
def test_a_mistake_is_told_once_by_name(edit, says, scored, refuse):
    """Without the score of another system, so that it is made of the predictions."""
    message = refuse(edit(scored.drop(columns="score")))
    for words in says:
        assert words in message
    assert "expected" in message
    assert "Fix: " in message


@pytest.mark.parametrize(("suffix", "found"), [("csv", "an empty file"), ("parquet", "a damaged parquet file")])
def test_a_file_of_no_bytes_is_told_by_name(suffix, found, tmp_path, capsys):
    (tmp_path / "feed.toml").write_text(TOML)
    file = tmp_path / f"theirs.{suffix}"
    file.write_bytes(b"")
    assert run_command(["evaluate", str(tmp_path / "feed.toml"), "--predictions", str(file), "--out", str(tmp_path / "out")]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {file}: found {found}")
    assert not (tmp_path / "out").exists()


def test_a_score_that_is_missing_somewhere_costs_the_list_metrics_alone(scored, tmp_path):
    """The fused order of all rows is not known then, and says so; what does not need it stands."""
    scored.loc[3, "score"] = np.nan
    rows = frame(scored, [LIKE])
    assert value(rows, "auc") is not None
    captured = one(rows, metric="captured@10%")
    assert captured["value"] is None
    assert captured["reason"]


def test_what_a_file_says_is_what_the_frame_says(scored, tmp_path):
    """csv has no types of its own: the numbers are the same all the same."""
    (tmp_path / "feed.toml").write_text(TOML)
    found = []
    for suffix in ("csv", "parquet"):
        scored.to_csv(tmp_path / "theirs.csv", index=False) if suffix == "csv" else scored.to_parquet(
            tmp_path / "theirs.parquet", index=False
        )
        out = tmp_path / suffix
        arguments = ["evaluate", str(tmp_path / "feed.toml"), "--predictions", str(tmp_path / f"theirs.{suffix}"), "--out", str(out)]
        assert run_command([*arguments, "--quiet"]) == 0
        found.append(pq.read_table(out / "metrics.parquet"))
    assert found[0].equals(found[1])
    day = scored.assign(day="1970-01-01")
    own = evaluate(day, [LIKE, SECONDS], run="theirs", bootstrap=20, seed=7)
    assert found[0].equals(own)


def test_objectives_that_a_file_does_not_have_are_named_and_left_out(scored, tmp_path, capsys) -> None:
    (tmp_path / "feed.toml").write_text(TOML)
    file, out = tmp_path / "theirs.csv", tmp_path / "out"
    scored.drop(columns=["label.seconds", "pred.seconds"]).to_csv(file, index=False)
    assert run_command(["evaluate", str(tmp_path / "feed.toml"), "--predictions", str(file), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert f"{file}: has no label and no prediction of seconds, which are not judged and have no part in its order" in " ".join(
        (said.out + said.err).split()
    )
    assert set(pq.read_table(out / "metrics.parquet")["objective"].to_pylist()) == {"like"}
    scored.drop(columns=["pred.seconds"]).to_csv(file, index=False)  # half of one is a mistake
    assert run_command(["evaluate", str(tmp_path / "feed.toml"), "--predictions", str(file), "--out", str(out)]) == 3
    assert "found no column pred.seconds" in capsys.readouterr().err
