"""Below twenty effective users a number has a value, no interval and no verdict, and says so in the same words everywhere."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from recsys.config import MOST_CONFIDENCE, MOST_REPLICATES
from recsys.evaluation import Points, comparison, evaluate, judged_by, one_within, paired, sweep_rows
from recsys.evaluation.intervals.bootstrap import interval, least_replicates
from recsys.objectives import Objective
from recsys.report import terminal_table
from recsys.report.pages.compare_page import comparison_words
from recsys.report.pages.sweep_page import sweep_words
from tests.training.conftest import Said

LIKE = Objective(name="like", label="is_like = 1")
WATCH = Objective(name="watch", kind="watch_time", label="play_time")


def log(rng: np.random.Generator, rows_of: Sequence[int]) -> pd.DataFrame:
    """A log whose users have so many rows each."""
    user = np.repeat(np.arange(len(rows_of)), rows_of)
    probability, seconds = rng.beta(1, 3, len(user)), rng.gamma(2, 10, len(user))
    return pd.DataFrame(
        {
            "event_id": np.arange(len(user)),
            "user_id": user,
            "timestamp": np.arange(len(user)) * 1_000,
            "label.like": (rng.random(len(user)) < probability).astype(float),
            "pred.like": probability,
            "label.watch": rng.poisson(seconds).astype(float),
            "pred.watch": seconds,
            "score": probability,
        }
    )


def worse(predictions: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    noise = rng.random(len(predictions))
    return predictions.assign(**{"pred.like": noise, "pred.watch": 10 * noise})


def test_two_users_have_values_and_no_interval_in_any_metric(rng: np.random.Generator) -> None:
    predictions = log(rng, [200, 200])
    rows = evaluate(predictions, [LIKE, WATCH], run="mine", against={"other": worse(predictions, rng)}, bootstrap=100).to_pandas()
    valued = rows[rows["value"].notna()]
    assert valued["low"].isna().all()
    assert valued["high"].isna().all()
    assert set(valued["reason"]) == {"too few users (2)"}
    assert valued["against"].notna().any()


@pytest.mark.parametrize(
    ("rows_of", "said"), [([30] * 20, None), ([30] * 19, "too few users (19)"), ([400, *[4] * 60], "too few users (3)")]
)
def test_it_is_the_effective_number_that_counts(rng: np.random.Generator, rows_of: list[int], said: str | None) -> None:
    rows = evaluate(log(rng, rows_of), [LIKE], run="mine", bootstrap=100, metrics=["log_loss"]).to_pylist()
    assert {row["reason"] for row in rows} == {said}
    assert all((row["low"] is None) == (said is not None) for row in rows)


@pytest.mark.parametrize(("of_users", "said"), [(20, None), (19, "too few users (19)")])
@pytest.mark.parametrize("rare", [1.0, 0.0])
def test_an_order_of_labels_rests_on_users_with_the_rarer_one(
    rng: np.random.Generator, rare: float, of_users: int, said: str | None
) -> None:
    """300 users, of whom a few have one row with the rarer answer: a mean over all rows rests on all of them, an order on these few."""
    predictions = log(rng, [10] * 300)
    is_rare = np.isin(np.arange(3_000), np.arange(of_users) * 10)
    predictions["label.like"] = np.where(is_rare, rare, 1 - rare)
    predictions["label.watch"] = np.where(is_rare, 1.0 + np.arange(3_000), 0.0)
    predictions["pred.like"] = rng.beta(8, 2, 3_000) if rare == 0 else predictions["pred.like"]
    rows = evaluate(predictions, [LIKE, WATCH], run="mine", bootstrap=100).to_pandas()
    why = rows.set_index(["objective", "metric"])["reason"].astype(object).where(rows["reason"].notna().to_numpy(), None)
    of_few = [("like", "auc"), ("like", "pr_auc"), ("like", "gauc"), ("watch", "xauc"), ("watch", "spearman"), ("watch", "r2")]
    of_few += [("watch", "xgauc"), *([("like", "captured@10%")] if rare else [])]
    assert {why[number] for number in of_few} == {said}
    assert {why[number] for number in (("like", "log_loss"), ("like", "calibration"), ("watch", "rmse"))} == {None}


def test_the_border_is_at_twenty() -> None:
    replicates = np.arange(100.0)
    assert interval(replicates, 50.0, confidence=0.9, effective_users=19.99) == (None, None, "too few users (19)")
    assert interval(replicates, 50.0, confidence=0.9, effective_users=20.0).low is not None


def test_there_is_no_verdict_of_two_users(rng: np.random.Generator) -> None:
    """In the terminal, in compare and in a sweep: one model is right, the other one is noise."""
    predictions = log(rng, [400, 400])
    bad = worse(predictions, rng)
    said = Said()
    terminal_table(evaluate(predictions, [LIKE], run="mine", against={"other": bad}, bootstrap=100), said)
    text = "\n".join(said.texts)
    assert "No interval and no verdict on like auc" in text
    assert "too few users (2)." in text
    assert not {"▲", "▼"} & set(text.replace("▲ better, ▼ worse", ""))

    both = paired([("mine", predictions), ("noise", bad)], [LIKE, WATCH], judged_by([LIKE, WATCH]), split="test", bootstrap=100, seed=1)
    compared = comparison(both, split="test", confidence=0.95)
    assert "no verdict on all 2." in comparison_words(compared, 0.95)[0]

    points = Points(("mine", "noise"), (1,), both, "test", 0.95, 1)
    swept = sweep_rows(points, ([0.5, 0.5], [1.0, 1.0]))
    verdicts = [row["verdict"] for row in swept.to_pylist() if row["what"] == "front"]
    assert sorted(verdicts) == ["behind the front, with too few users to tell", "on the front"]
    assert all(row["low"] is None for row in swept.to_pylist())
    assert {row["reason"] for row in swept.to_pylist() if row["what"] in ("run", "point", "relative", "hypervolume")} == {
        "too few users (2)"
    }
    words = " ".join(sweep_words(swept))
    assert "measured behind it, with too few users to tell: 1" in words
    assert "too few users on test days for an interval of like (auc), watch (xauc)" in words
    assert "no more than noise" not in words


def test_what_the_highest_confidence_takes_may_be_drawn() -> None:
    """The page advised more than evaluate.bootstrap takes."""
    assert least_replicates(MOST_CONFIDENCE) <= MOST_REPLICATES < least_replicates(1 - (1 - MOST_CONFIDENCE) / 1.01)


@pytest.mark.parametrize(("replicates", "confidence", "least"), [(1, 0.95, 20), (19, 0.95, 20), (99, 0.99, 100), (1000, 0.99999, 100_000)])
def test_so_few_replicates_give_no_interval(replicates: int, confidence: float, least: int) -> None:
    said = f"no interval: {replicates:,} replicates, expected {least:,} or more at {confidence}"
    found = interval(np.linspace(0, 1, replicates), 0.5, confidence=confidence)
    assert found == (None, None, said)
    assert interval(np.linspace(0, 1, 20), 0.5, confidence=0.95).low is not None


ALIKE = "no interval: every user is at the same end of the scale"


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_where_all_users_are_perfect_or_all_fail_there_is_no_interval(rng: np.random.Generator, sign: float) -> None:
    """30 users who are all perfect leave room for one in ten who is not: [1, 1] said that there are none."""
    predictions = log(rng, [20] * 30)
    label = predictions["label.like"].to_numpy()
    predictions["pred.like"] = predictions["score"] = 0.5 + sign * (label - 0.5) * rng.uniform(0.2, 0.9, len(label))
    twin, tied = predictions.copy(), predictions.assign(**{"pred.like": 0.5, "score": 0.5})
    rows = evaluate(predictions, [LIKE], run="mine", against={"twin": twin, "tied": tied}, also=["tied"], bootstrap=100).to_pandas()
    rows = rows[rows["metric"].isin(["auc", "gauc", "gauc_list", "ndcg@5", "pr_auc"])].set_index(["run", "against", "metric"])
    at_end = ["auc", "gauc", "gauc_list", *(["ndcg@5"] if sign > 0 else [])]
    for run, against, said in (("mine", None, ALIKE), ("mine", "twin", ALIKE), ("mine", "tied", None), ("tied", None, None)):
        for metric in at_end:
            row = rows.loc[[(run, against, metric)]].iloc[0]
            assert (row["reason"] if isinstance(row["reason"], str) else None) == said
            assert np.isnan(row["low"]) == (said is not None)


def test_a_perfect_order_of_lists_still_tells(rng: np.random.Generator) -> None:
    """A sweep must not leave out the number by which one point is perfect."""
    predictions = log(rng, [20] * 30)
    runs = [("perfect", predictions.assign(**{"pred.like": predictions["label.like"]})), ("other", worse(predictions, rng))]
    found = paired(runs, [LIKE], judged_by([LIKE], ["gauc_list", "gauc"]), split="test", bootstrap=100, seed=0)
    assert [numbers[0].has_enough_users for numbers in found.measured] == [True, True]
    assert [judged.metric.name for judged in one_within(found).judged] == ["gauc_list"]
