"""Metrics of the fused order against loops over lists, scikit-learn and resampled users."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import ndcg_score

from recsys.evaluation import UserDraws, list_metric, list_metrics
from recsys.evaluation.intervals.bootstrap import Undefined, replicate
from recsys.evaluation.metrics.lists import captured_in_lists, captured_overall, ndcg, places
from recsys.list_metrics import ListMetric
from recsys.objectives import Objective
from tests.evaluation.samples import build_rows, frame, in_order_of, one, random_rows, resample_users
from tests.spread import spread

LIKE = Objective(name="like", label="is_like = 1")
WATCH = Objective(name="watch", kind="watch_time", label="play_time")
DISMISSAL = Objective(name="dismissal", label="dismissed = 1", better="lower")


def literal(table: pd.DataFrame, name: str, of: str) -> float:
    """The definition, list by list: columns list, event_id, score and label, which may be NaN."""
    kind, number = name.split("@")
    ordered = table.sort_values(["score", "event_id"], ascending=[False, True])
    if number.endswith("%"):
        top = ordered.head(int(np.ceil(len(ordered) * float(number[:-1]) / 100)))
        return top[of].sum() / ordered[of].sum()
    k, found = int(number), []
    for _, rows in ordered.groupby("list"):
        gains = rows[of].fillna(0).tolist()
        if sum(gains) == 0 or len(gains) <= (1 if kind == "ndcg" else k):
            continue
        if kind == "captured":
            found.append(sum(gains[:k]) / sum(gains))
        else:
            dcg, best = (sum(g / np.log2(2 + place) for place, g in enumerate(each[:k])) for each in (gains, sorted(gains, reverse=True)))
            found.append(dcg / best)
    return float(np.mean(found))


@pytest.fixture
def listed(predictions: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Of three times as many users, with requests of about eight, a score with many ties, and two splits."""
    predictions = pd.concat(
        [predictions.assign(user_id=predictions["user_id"] + 60 * n, event_id=predictions["event_id"] + 1_000 * n) for n in range(3)],
        ignore_index=True,
    )
    request = predictions["user_id"] // 2 * 2
    score = (predictions["pred.like"] + rng.normal(0, 0.1, len(predictions))).round(1)
    split = np.where(predictions["day"] == "2022-05-01", "validation", "test")
    return predictions.assign(user_id=request, request_id=request.astype(str) + split, score=score, split=split)


@pytest.mark.parametrize("name", ["ndcg@2", "ndcg@5", "captured@2", "captured@5", "captured@10%", "captured@2.5%"])
@pytest.mark.parametrize("objective", [LIKE, WATCH], ids=lambda o: o.name)
def test_values_are_those_of_a_loop_with_ties_and_unknown_labels(name, objective, listed):
    rows = frame(listed, [objective], list_k=(2, 5), top_percent=(10, 2.5))
    for split, part in listed.rename(columns={"request_id": "list"}).groupby("split"):
        row = one(rows, metric=name, split=split)
        assert row["value"] == pytest.approx(literal(part, name, f"label.{objective.name}"), rel=1e-12)
        assert row["low"] < row["value"] < row["high"]
        assert row["n"] == part[f"label.{objective.name}"].notna().sum()


def test_ndcg_is_that_of_scikit_learn_where_nothing_is_tied(rng):
    lists, size = 30, 7
    gain, score = rng.poisson(1, (lists, size)), rng.permutation(lists * size).reshape(lists, size).astype(float)
    gain[:, 0] += 1
    rows = build_rows(gain.ravel(), score.ravel(), np.repeat(np.arange(lists), size))
    assert ndcg(rows, k=4).value() == pytest.approx(ndcg_score(gain, score, k=4))


def test_tied_scores_stand_in_the_order_of_event_id():
    assert places(np.array([1.0, 2.0, 1.0, 2.0]), np.array([0, 0, 1, 1])).place_N.tolist() == [2, 0, 3, 1]
    assert places(np.array([1.0, 1.0, 3.0, 1.0]), np.array([0, 1, 1, 0])).list_place_N.tolist() == [0, 1, 0, 1]
    tied = build_rows([0, 0, 1, 1], [0.5] * 4, [0] * 4)
    assert captured_in_lists(tied, k=2).value() == 0
    assert captured_overall(tied, percent=75).value() == 0.5


@pytest.mark.parametrize("kind", ["binary", "regression", "ordinal"])
def test_replicates_of_lists_are_the_metric_of_resampled_users(kind, rng):
    rows = random_rows(rng, kind, rows=200, users=25)
    draws = UserDraws(rows.users, 12, seed=3)
    for metric in list_metrics((1, 3), ()):
        (found_R,) = replicate([metric.estimate(rows)], draws, np.arange(rows.users))
        expected = [metric.estimate(resample_users(rows, times_U)).value() for times_U in np.concatenate(list(draws.blocks()))]
        assert found_R == pytest.approx(expected, abs=1e-10)


@pytest.mark.words
@pytest.mark.parametrize(("kind", "percent"), spread(["binary", "regression"], [2, 10, 50], over=2))
def test_influence_on_the_top_follows_resampled_users_whose_border_moves(kind, percent, rng):
    rows = random_rows(rng, kind, rows=3_000, users=400)
    rows = in_order_of(rows, rows.prediction_N + rng.normal(0, 0.5, len(rows)))
    draws = UserDraws(rows.users, 60, seed=0)
    estimate = captured_overall(rows, percent=percent)
    (found_R,) = replicate([estimate], draws, np.arange(rows.users))
    exact_R = np.array(
        [captured_overall(resample_users(rows, times_U), percent=percent).value() for times_U in np.concatenate(list(draws.blocks()))]
    )
    assert estimate.method == "influence"
    assert np.corrcoef(found_R, exact_R)[0, 1] > 0.94
    assert np.std(found_R) == pytest.approx(np.std(exact_R), rel=0.1)
    assert np.sqrt(np.mean((found_R - exact_R) ** 2)) < 0.35 * np.std(exact_R)


@pytest.mark.words
def test_a_border_that_is_held_still_would_not(rng):
    """Users who differ in how many of their rows are at the top: most of the spread comes from the border."""
    user = np.repeat(np.arange(300), 10)
    score = 3 * rng.normal(size=300)[user] + rng.normal(size=3_000)
    rows = build_rows(rng.random(3_000) < 0.3, score, user)
    draws = UserDraws(rows.users, 60, seed=0)
    times_RU = np.concatenate(list(draws.blocks()))
    exact = np.std([captured_overall(resample_users(rows, times_U), percent=20).value() for times_U in times_RU])
    (found_R,) = replicate([captured_overall(rows, percent=20)], draws, np.arange(rows.users))
    top_N = rows.place_N < 600
    held = np.std([np.average(top_N, weights=times_U[user] * rows.label_N) for times_U in times_RU])
    assert np.std(found_R) == pytest.approx(exact, rel=0.15)
    assert held > 1.5 * exact


def test_lists_that_say_nothing_are_out_and_coverage_says_so():
    """One with a positive, one without, one alone, one too short for k = 2 whose positive is first."""
    rows = build_rows([1, 0, 0, 0, 0, 0, 1, 1, 0], [1, 2, 3, 1, 2, 3, 1, 2, 1], list("aaabbbcdd"))
    assert ndcg(rows, k=2).value() == pytest.approx((0 + 1) / 2)
    assert ndcg(rows, k=2).coverage == pytest.approx(5 / 9)
    assert captured_in_lists(rows, k=2).value() == 0
    assert captured_in_lists(rows, k=2).coverage == pytest.approx(3 / 9)
    assert captured_in_lists(rows, k=3) == Undefined("no list of more than 3 with a positive label")


def test_a_captured_share_rests_on_the_users_whose_labels_are_known(rng):
    """All others have rows in the order, which says nothing of how much of the gain of other users it would capture.

    Of the eight users with labels, four have a gain.
    """
    user = np.repeat(np.arange(300), 10)
    predictions = pd.DataFrame({
        "event_id": np.arange(3_000), "user_id": user, "timestamp": 0, "label.like": np.where(user < 8, user % 2, np.nan),
        "pred.like": rng.random(3_000), "score": rng.random(3_000),
    })  # fmt: skip
    rows = frame(predictions, [LIKE])
    found = [one(rows, metric=metric) for metric in ("auc", "captured@10%")]
    assert [(row["low"], row["reason"]) for row in found] == [(None, "too few users (4)")] * 2


@pytest.mark.parametrize(
    ("label", "reason"),
    [([], "no rows with a known label"), ([np.nan] * 2, "no rows with a known label"), ([0, 0], "no positive label"),
     ([1, -2], "1 labels are below 0, which is no gain")],
)  # fmt: skip
def test_without_a_gain_there_is_a_reason(label, reason):
    for metric in list_metrics((1,), (10,)):
        assert metric.estimate(build_rows(label, [0.5] * len(label), [0] * len(label))) == Undefined(reason)


def test_one_class_of_only_positives_has_a_value():
    rows = build_rows(np.ones(20), np.arange(20.0), np.repeat([0, 1], 10))
    assert ndcg(rows, k=5).value() == pytest.approx(1, abs=1e-12)
    assert captured_in_lists(rows, k=5).value() == 0.5
    assert captured_overall(rows, percent=10).value() == pytest.approx(0.1)


def test_a_slice_keeps_the_places_of_whole_lists_and_has_a_top_of_its_own(listed):
    listed = listed.rename(columns={"request_id": "list"})
    rows = frame(listed.rename(columns={"list": "request_id"}), [LIKE], list_k=(2,), top_percent=(10,))
    part = listed[listed["split"] == "test"]
    home = part["slice.tab"] == "home"
    on_home = part.assign(**{"label.like": part["label.like"].where(home)})
    where = {"split": "test", "slice": "tab", "slice_value": "home"}
    assert one(rows, metric="captured@2", **where)["value"] == pytest.approx(literal(on_home, "captured@2", "label.like"))
    assert one(rows, metric="captured@10%", **where)["value"] == pytest.approx(literal(part[home], "captured@10%", "label.like"))


def test_less_of_a_dismissal_is_better(listed):
    table = listed.rename(columns={"label.like": "label.dismissal", "pred.like": "pred.dismissal"})
    rows = frame(table, [DISMISSAL])
    for name in ("ndcg@5", "captured@10", "captured@10%"):
        assert set(rows.loc[rows["metric"] == name, "better"]) == {"lower"}
    assert set(rows.loc[rows["metric"] == "auc", "better"]) == {"higher"}


def test_a_run_without_scores_has_no_list_metrics_and_one_compared_with_a_reason(listed):
    assert not frame(listed.drop(columns="score"), [LIKE])["metric"].str.contains("@").any()
    rows = frame(listed, [LIKE], against={"bare": listed.drop(columns="score")})
    row = one(rows, metric="ndcg@5", split="test", against="bare")
    assert row["value"] is None
    assert row["reason"] == "undefined in bare: the run does not give every impression a score of the fused order"
    holed = frame(listed.assign(score=listed["score"].where(listed.index > 2)), [LIKE])
    assert holed.loc[holed["metric"] == "captured@10%", "reason"].str.startswith("the run does not give").any()


def test_the_difference_of_two_orders_is_paired(listed, rng):
    other = listed.assign(score=listed["score"] + rng.normal(0, 0.02, len(listed)))
    rows = frame(listed, [LIKE], against={"other": other}, bootstrap=300)
    for name in ("ndcg@5", "captured@10%"):
        mine, difference = (one(rows, metric=name, split="test", against=against) for against in (None, "other"))
        theirs = one(frame(other, [LIKE], run="other"), metric=name, split="test")
        assert difference["value"] == pytest.approx(mine["value"] - theirs["value"])
        assert difference["high"] - difference["low"] < mine["high"] - mine["low"]


def test_the_order_of_rows_changes_nothing_and_conditional_forms_have_no_order_of_their_own(listed):
    given = Objective(name="both", label="b", given="like")
    table = listed.assign(**{"label.both": listed["label.like"] * 0, "pred.both": listed["pred.like"] / 2})
    first, second = (frame(t, [LIKE, given], bootstrap=20) for t in (table, table.sample(frac=1, random_state=1)))
    pd.testing.assert_frame_equal(first, second)
    assert first.loc[first["metric"].str.contains("@"), "objective"].unique().tolist() == ["like", "both"]


def test_a_metric_is_the_one_that_its_name_says(listed):
    names = ["ndcg@5", "ndcg@10", "captured@5", "captured@10", "captured@10%", "captured@0.5%"]
    assert [metric.name for metric in list_metrics((5, 10), (10, 0.5))] == names
    assert [list_metric(ListMetric.parse(name)).name for name in names] == names


def test_a_score_that_is_text_is_said(listed):
    from recsys.errors import DataError

    with pytest.raises(DataError, match="column score: found values of type"):
        frame(pa.Table.from_pandas(listed.assign(score="high")), [LIKE])
