"""Numbers of several runs that can be subtracted: the same as `evaluate` gives, and what is fixed beside them."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import root_mean_squared_error

from recsys import Objective
from recsys.errors import ConfigError, DataError
from recsys.evaluation import anchors, beyond_noise, difference, evaluate, judged_by, paired
from recsys.evaluation.inputs.scored_impressions import as_table

LIKE = Objective(name="like", label="x")
WATCH = Objective(name="watch", kind="watch_time", label="x")
HIDE = Objective(name="hide", label="x", better="lower")


@pytest.fixture
def scored(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions.assign(score=predictions["pred.like"] + predictions["pred.watch"] / 100)


def noisy(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    changed = (frame["pred.like"] + 0.3 * rng.random(len(frame))).clip(0, 1)
    return frame.assign(**{"pred.like": changed, "pred.watch": frame["pred.watch"] * rng.lognormal(size=len(frame)), "score": changed})


def test_values_intervals_and_differences_are_those_of_evaluate(scored, rng) -> None:
    other = noisy(scored, rng).sample(frac=1, random_state=1)  # in another order
    judged = judged_by([LIKE, WATCH], ["auc", "captured@10%", "watch=rmse"])
    found = paired([("a", scored), ("b", other)], [LIKE, WATCH], judged, split="test", bootstrap=60, seed=3)
    rows = evaluate(scored, [LIKE, WATCH], run="a", against={"b": other}, bootstrap=60, seed=3).to_pandas()
    rows = rows[rows["day"].isna() & (rows["slice"] == "all")].set_index(["objective", "metric"])
    assert [(each.objective, each.metric.name) for each in judged] == [
        ("like", "auc"), ("like", "captured@10%"), ("watch", "captured@10%"), ("watch", "rmse"),
    ]  # fmt: skip
    for k, each in enumerate(judged):
        of = rows.loc[(each.objective, each.metric.name)]
        for expected, measured in (
            (of[of["against"].isna()], found.measured[0][k]),
            (of[of["against"] == "b"], difference(found.measured[0][k], found.measured[1][k], "b")),
        ):
            low, high, _ = measured.interval(confidence=0.95, centred=False)
            assert expected[["value", "low", "high"]].iloc[0].tolist() == pytest.approx([measured.value, low, high], rel=1e-9, abs=1e-12)
        labels = scored[f"label.{each.objective}"].notna()
        assert found.rows[k] == labels.sum() == expected["n"].item()
        assert found.users[k] == scored.loc[labels, "user_id"].nunique()


def test_entropy_is_of_one_training_rate_whatever_days_a_run_learned(scored, rng) -> None:
    """Else the run whose training days had the rarer label would pay for it."""
    this, other = (pa.Table.from_pandas(frame, preserve_index=False) for frame in (scored, noisy(scored, rng)))
    this, other = (
        table.replace_schema_metadata({"recsys.train_means": json.dumps({"like": rate})}) for table, rate in ((this, 0.25), (other, 0.01))
    )
    judged = judged_by([LIKE], ["normalized_entropy"])
    found = paired([("a", this), ("b", other)], [LIKE], judged, split="test", bootstrap=0, seed=0)
    rows = evaluate(this, [LIKE], run="a", against={"b": other}, bootstrap=0, metrics=["normalized_entropy"], slices=()).to_pylist()
    assert difference(found.measured[0][0], found.measured[1][0], "b").value == pytest.approx(rows[1]["value"], rel=1e-9)


def test_every_run_that_scored_other_impressions_is_named(scored) -> None:
    runs = [("a", scored), ("b", scored.iloc[1:]), ("c", scored), ("d", scored.assign(event_id=scored["event_id"] + 1))]
    with pytest.raises(DataError) as error:
        paired(runs, [LIKE], judged_by([LIKE]), split="test", bootstrap=0, seed=0)
    said = str(error.value).splitlines()
    assert [line.partition(" column")[0] for line in said] == ["predictions of run b", "predictions of run d"]


@pytest.mark.parametrize("kind", ["string", "category"])
def test_a_run_that_has_seen_the_test_days_is_refused(scored, kind: str) -> None:
    """Its model stopped, or learned, by labels of these days. Days of validation that it did not see are no advantage."""
    places = np.arange(len(scored))
    this, seen, unseen = (
        scored.assign(split=pd.Series(np.where(places < border, "validation", "test"), dtype=kind)) for border in (100, 140, 60)
    )
    judged = judged_by([LIKE])
    assert paired([("a", this), ("b", unseen)], [LIKE], judged, split="test", bootstrap=0, seed=0).rows
    with pytest.raises(DataError, match=r"run b column split: found train or validation where run a has test, expected .*; 40 of"):
        paired([("a", this), ("b", seen)], [LIKE], judged, split="test", bootstrap=0, seed=0)
    with pytest.raises(DataError, match="run b column split: found train or validation where run a has test"):
        evaluate(this, [LIKE], run="a", against={"b": seen}, bootstrap=0)


def test_a_part_of_the_split_without_rows_is_told(scored) -> None:
    with pytest.raises(DataError, match="found no validation rows, but test"):
        paired([("a", scored)], [LIKE], judged_by([LIKE]), split="validation", bootstrap=0, seed=0)


def test_metrics_by_name_for_all_that_have_them_and_for_one() -> None:
    names = [(each.objective, each.metric.name) for each in judged_by([LIKE, WATCH])]
    assert names == [("like", "auc"), ("watch", "xauc")]
    names = [(each.objective, each.metric.name) for each in judged_by([LIKE], ["auc", "like=auc", "captured@10%", "captured@10.0%"])]
    assert names == [("like", "auc"), ("like", "captured@10%")]  # a number that is named twice is one
    names = [(each.objective, each.metric.name) for each in judged_by([LIKE, WATCH], ["log_loss"])]
    assert names == [("like", "log_loss"), ("watch", "xauc")]  # a watch time has none
    with pytest.raises(ConfigError) as error:
        judged_by([LIKE, WATCH], ["lik=auc", "watch=auc", "rocauc", "captured@0"])
    said = str(error.value).splitlines()
    assert len(said) == 4
    assert 'lik=auc: found "lik", expected an objective; there are like, watch' in said[0]
    assert "rmse" in said[1]


def test_conditional_forms_where_they_are_asked_for() -> None:
    given = Objective(name="follow", label="x", given="like")
    assert [each.objective for each in judged_by([LIKE, given], ["auc"], conditional=True)] == ["like", "follow", "follow|like"]
    assert [each.objective for each in judged_by([LIKE, given], ["auc"])] == ["like", "follow"]


def test_ends_of_metrics_are_those_of_a_constant_and_of_the_labels(scored) -> None:
    frame = scored.assign(**{"label.hide": scored["label.like"], "pred.hide": 0.5}).drop(columns="day")
    objectives = [LIKE, WATCH, HIDE]
    judged = judged_by(objectives, ["like=auc", "watch=xauc", "watch=rmse", "captured@10%", "like=log_loss", "hide=pr_auc"])
    table = as_table(frame, "a")
    ends = anchors(table, objectives, judged, split="test")
    low, high = ({(j.objective, j.metric.name): v for j, v in zip(judged, end, strict=True)} for end in ends)
    label = frame.sort_values("event_id")["label.like"]
    watch = frame["label.watch"].dropna()
    assert (low["like", "auc"], high["like", "auc"]) == (0.5, 1.0)
    assert (low["watch", "xauc"], high["watch", "xauc"]) == (0.5, 1.0)
    assert low["watch", "rmse"] == pytest.approx(root_mean_squared_error(watch, np.full(len(watch), watch.mean())))
    assert high["watch", "rmse"] == 0
    rate = label.mean()
    assert low["like", "log_loss"] == pytest.approx(-rate * np.log(rate) - (1 - rate) * np.log(1 - rate))
    assert low["hide", "pr_auc"] == pytest.approx(rate)
    top = len(label) // 10
    assert high["like", "captured@10%"] == pytest.approx(min(1, top / label.sum()))
    assert high["hide", "captured@10%"] == 0
    assert low["hide", "captured@10%"] == low["like", "captured@10%"] == pytest.approx(0.1, abs=0.1)


def test_no_order_is_better_than_the_labels_own_where_many_are_not_known(scored, rng) -> None:
    known = rng.random(len(scored)) < 0.05
    frame = scored.assign(**{"label.hide": np.where(known, rng.random(len(scored)) < 0.5, np.nan), "pred.hide": 0.5})
    (low,), (high,) = anchors(as_table(frame, "a"), [HIDE], judged_by([HIDE], ["captured@10%"]), split="test")
    assert high == 0 < low


@pytest.mark.words
def test_noise_of_users_is_called_domination_at_most_as_often_as_stated(rng) -> None:
    """Two systems: one is better at liking, and both are equally good at hiding."""
    rows, confidence, runs = 800, 0.9, 150
    user_N = np.arange(rows) % 200
    wrong = 0
    for number in range(runs):
        taste_N = rng.normal(size=200)[user_N] / 2 + rng.normal(size=rows)
        label_N = (taste_N + rng.normal(size=rows) > 0).astype(float)
        base = {"event_id": np.arange(rows), "user_id": user_N, "timestamp": np.arange(rows), "label.like": label_N, "label.hide": label_N}
        systems = [
            (
                f"noise {noise}",
                pd.DataFrame(
                    base
                    | {"pred.like": 1 / (1 + np.exp(-taste_N - noise * rng.normal(size=rows)))}
                    | {"pred.hide": 1 / (1 + np.exp(-taste_N - rng.normal(size=rows)))}
                ),
            )
            for noise in (0.1, 3.0)
        ]
        found = paired(systems, [LIKE, HIDE], judged_by([LIKE, HIDE]), split="test", bootstrap=200, seed=number)
        replicates_RPK = np.stack([np.column_stack([m.replicates_R for m in measured]) for measured in found.measured], axis=1)
        wrong += beyond_noise(replicates_RPK, confidence=confidence).clearly_PP[0, 1]
    assert 0 < wrong / runs <= 0.1 + 2 * np.sqrt(0.09 / runs)
