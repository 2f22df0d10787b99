"""An objective that is given another, jointly on all rows and conditionally where the given happened; ordinal objectives as rows."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from recsys.errors import ConfigError, DataError
from recsys.evaluation import METRICS, evaluate
from recsys.objectives import Objective
from tests.evaluation.samples import frame, one

CLICK = Objective(name="click", label="is_click = 1")
LIKE = Objective(name="like", label="is_like = 1", given="click", group="satisfaction")
SURVEY = Objective(name="survey", kind="ordinal", label="stars", levels=(1, 2, 3))
BOTH = (CLICK, LIKE)


@pytest.fixture
def scored(predictions: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """A like is known wherever there was no click, and on nine of ten clicks."""
    rows = len(predictions)
    click, conditional = rng.beta(3, 2, rows), rng.beta(2, 3, rows)
    clicked = rng.random(rows) < click
    liked = clicked & (rng.random(rows) < conditional)
    likes = np.where(clicked & (rng.random(rows) < 0.1), np.nan, liked)
    columns = {"label.click": clicked.astype(float), "pred.click": click, "label.like": likes, "pred.like": click * conditional}
    return predictions.drop(columns=["label.watch", "pred.watch"]).assign(**columns)


def test_the_joint_form_is_judged_on_all_rows_and_the_conditional_one_where_the_given_happened(scored):
    rows = frame(scored, BOTH)
    assert rows["objective"].drop_duplicates().tolist() == ["click", "like", "like|click"]
    known = scored.dropna(subset="label.like")
    joint, conditional = (one(rows, objective=name, metric="auc") for name in ("like", "like|click"))
    assert joint["n"] == len(known)
    assert joint["value"] == pytest.approx(roc_auc_score(known["label.like"], known["pred.like"]))
    clicked = known[known["label.click"] == 1]
    quotient = clicked["pred.like"] / clicked["pred.click"]
    assert (conditional["n"], conditional["n_positive"]) == (len(clicked), clicked["label.like"].sum())
    assert conditional["group"] == "satisfaction"
    assert conditional["value"] == pytest.approx(roc_auc_score(clicked["label.like"], quotient))
    assert one(rows, objective="like|click", metric="log_loss")["value"] == pytest.approx(log_loss(clicked["label.like"], quotient))
    sliced = one(rows, objective="like|click", metric="auc", slice="tab", slice_value="home")
    home = clicked["slice.tab"] == "home"
    assert sliced["value"] == pytest.approx(roc_auc_score(clicked["label.like"][home], quotient[home]))


def test_the_conditional_form_has_every_metric_of_a_binary_objective_with_intervals(scored):
    rows = frame(scored, BOTH, train_means={"like|click": 0.4})
    whole = rows[(rows["objective"] == "like|click") & (rows["slice"] == "all") & rows["day"].isna()]
    assert whole["metric"].tolist() == [metric.name for metric in METRICS if "binary" in metric.kinds]
    assert whole[["value", "low", "high"]].notna().all(axis=None)


def test_normalised_entropy_takes_the_training_rate_of_the_same_form(scored):
    rows = frame(scored, BOTH, train_means={"click": 0.6, "like": 0.25, "like|click": 0.4})
    loss, ratio = (one(rows, objective="like|click", metric=name)["value"] for name in ("log_loss", "normalized_entropy"))
    assert ratio == pytest.approx(loss / -(0.4 * np.log(0.4) + 0.6 * np.log(0.6)))
    absent = one(frame(scored, BOTH, train_means={"like": 0.25}), objective="like|click", metric="normalized_entropy")
    assert absent["value"] is None
    assert absent["reason"] == "the training rate is not known"


def test_a_column_of_the_table_is_judged_as_it_stands(scored):
    given = scored.assign(**{"pred.like|click": 0.5})
    assert one(frame(given, BOTH), objective="like|click", metric="log_loss")["value"] == pytest.approx(np.log(2))


def test_lists_are_ordered_by_the_quotient_of_the_ranks(scored, rng):
    """Only gauc_list sees the prediction with the position missing."""
    ranked = scored.assign(**{"rank.click": 0.9, "rank.like": 0.9 * rng.random(len(scored))})
    direct = scored.assign(**{"pred.click": ranked["rank.click"], "pred.like": ranked["rank.like"]})
    rows = frame(ranked, BOTH)
    for metric, same in (("gauc_list", direct), ("gauc", scored)):
        expected = one(frame(same, BOTH), objective="like|click", metric=metric)["value"]
        assert one(rows, objective="like|click", metric=metric)["value"] == pytest.approx(expected, rel=1e-12)


def test_differences_of_both_forms_need_no_conditional_column_of_the_other_run(scored):
    other = scored[["event_id", "pred.click", "pred.like"]].assign(**{"pred.click": 0.9, "pred.like": 0.45})
    rows = frame(scored, BOTH, against={"base": other})
    for name in ("like", "like|click"):
        assert one(rows, objective=name, metric="auc", against="base")["value"] == pytest.approx(
            one(rows, objective=name, metric="auc")["value"] - 0.5
        )
    assert one(rows, objective="like|click", metric="log_loss", against="base")["value"] == pytest.approx(
        one(rows, objective="like|click", metric="log_loss")["value"] - np.log(2)
    )


def test_of_a_chain_each_link_is_given_the_one_before(scored):
    share = Objective(name="share", label="is_share = 1", given="like")
    shared = scored.assign(**{"label.share": scored["label.like"] * (np.arange(len(scored)) % 2), "pred.share": scored["pred.like"] * 0.3})
    rows = frame(shared, (*BOTH, share))
    row = one(rows, objective="share|like", metric="calibration")
    assert row["n"] == scored["label.like"].sum()
    assert row["value"] == pytest.approx(0.3 * row["n"] / shared["label.share"].sum())


def test_what_has_no_quotient_is_refused(scored):
    logits = scored.assign(**{"pred.click": scored["pred.click"] * 4 - 2})
    with pytest.raises(DataError, match=r"column pred\.like\|click: found no such column.*outside \[0, 1\].*; \d+ of 400 rows\. Fix"):
        evaluate(logits, BOTH, run="mine", bootstrap=0)
    evaluate(logits.assign(**{"pred.like|click": 0.5}), BOTH, run="mine", bootstrap=0)


def test_a_label_that_happened_without_its_given_is_refused(scored):
    scored.loc[scored.index[scored["label.click"] == 0][:3], "label.like"] = 1.0
    with pytest.raises(DataError, match=r"column label\.like: found 1 where label\.click is 0.*; 3 of 400 rows\. Fix"):
        evaluate(scored, BOTH, run="mine", bootstrap=0)


def test_the_given_must_be_among_the_objectives(scored):
    with pytest.raises(ConfigError, match=r'like\.given: found "click".*Fix: pass the objective'):
        evaluate(scored, [LIKE], run="mine")


# --- Ordinal ------------------------------------------------------------------------------------------------------
@pytest.fixture
def answered(predictions: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Two in three impressions without an answer."""
    rows = len(predictions)
    p = rng.dirichlet([2, 2, 2], size=rows)
    stars = np.where(rng.random(rows) < 1 / 3, (rng.random((rows, 1)) > np.cumsum(p, axis=1)[:, :2]).sum(axis=1) + 1.0, np.nan)
    levels = {f"pred.survey={level}": p[:, level - 1] for level in (1, 2, 3)}
    kept = predictions.drop(columns=[name for name in predictions if name.startswith(("label.", "pred."))])
    return kept.assign(**{"label.survey": stars, "pred.survey": p @ [1, 2, 3]}, **levels)


def test_an_ordinal_objective_is_judged_by_its_expected_value_and_by_its_levels(answered):
    rows = frame(answered, [SURVEY])
    known = answered.dropna(subset="label.survey")
    label = known["label.survey"].to_numpy()
    row = one(rows, metric="rmse")
    assert row["value"] == pytest.approx(np.sqrt(np.mean((known["pred.survey"] - label) ** 2)))
    assert row["n"] == len(known)
    assert row["n_positive"] is None
    p = known[[f"pred.survey={level}" for level in (1, 2, 3)]].to_numpy()
    assert one(rows, metric="log_loss")["value"] == pytest.approx(log_loss(label, p, labels=[1, 2, 3]))
    ranked = [((np.cumsum(each)[:2] - [at <= 1, at <= 2]) ** 2).mean() for each, at in zip(p, label, strict=True)]
    assert one(rows, metric="rps")["value"] == pytest.approx(np.mean(ranked))
    assert one(rows, metric="rps", slice="tab", slice_value="home")["low"] is not None


def test_a_run_without_levels_has_its_expected_values_judged_and_a_reason_for_the_rest(answered):
    bare = answered.drop(columns=[name for name in answered if "=" in name])
    rows = frame(answered, [SURVEY], against={"gbdt": bare})
    assert one(rows, metric="rmse", against="gbdt")["value"] == 0
    difference = one(rows, metric="rps", against="gbdt")
    assert difference["value"] is None
    assert difference["reason"] == "undefined in gbdt: the run gives no probabilities of levels"
    alone = one(frame(bare, [SURVEY]), metric="log_loss")
    assert (alone["value"], alone["reason"]) == (None, "the run gives no probabilities of levels")


def test_mistakes_in_levels_are_named(answered):
    def refused(table):
        with pytest.raises(DataError) as caught:
            evaluate(table, [SURVEY], run="mine", bootstrap=0)
        return str(caught.value)

    known = answered.index[answered["label.survey"].notna()]
    other = answered.copy()
    other.loc[known[:2], "label.survey"] = 2.5
    assert f"expected one of 1, 2, 3, or null; 2 of {len(known)} rows" in refused(other)
    assert "expected also pred.survey=2" in refused(answered.drop(columns="pred.survey=2"))
    holes = answered.copy()
    holes.loc[known[:4], "pred.survey=3"] = np.nan
    assert (
        f"column pred.survey=…: found null, NaN or infinite, expected a finite number wherever the label is known; 4 of {len(known)}"
        in (refused(holes))
    )
