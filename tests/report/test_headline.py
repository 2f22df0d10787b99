"""Who will, and which item a user will, are two questions: the first table and each verdict answer both."""

import numpy as np
import pandas as pd
import pytest

from recsys.evaluation import evaluate, headline, one_within, paired
from recsys.objectives import Objective
from recsys.report import frame, terminal_table
from recsys.report.tables.cells import grid
from recsys.report.tables.frame import whole
from recsys.report.tables.verdict import comparisons
from tests.training.conftest import Said

LIKE = Objective(name="like", label="is_like = 1")
WATCH = Objective(name="watch", kind="watch_time", label="play_time")


@pytest.fixture
def log() -> pd.DataFrame:
    """200 users of very different levels, each with five lists of eight items of very different quality."""
    rng = np.random.default_rng(3)
    users, lists, size = 200, 5, 8
    user = np.repeat(np.arange(users), lists * size)
    level, quality = rng.normal(0, 2, users)[user], rng.normal(0, 1, len(user))
    like = rng.random(len(user)) < 1 / (1 + np.exp(-level - quality))
    return pd.DataFrame(
        {
            "event_id": np.arange(len(user)),
            "user_id": user,
            "request_id": [f"r{n // size}" for n in range(len(user))],
            "timestamp": np.arange(len(user)) * 1_000,
            "label.like": like.astype(float),
            "label.watch": np.exp(level + quality + rng.normal(0, 0.5, len(user))),
            "level": level,
            "quality": quality,
        }
    )


def predicting(log: pd.DataFrame, score: pd.Series | float) -> pd.DataFrame:
    value = np.broadcast_to(score, len(log))
    return log.assign(**{"pred.like": 1 / (1 + np.exp(-value)), "pred.watch": np.exp(value)})


def answers(mine: pd.DataFrame, other: pd.DataFrame) -> dict[str, str]:
    """Question → verdicts in words, against another model."""
    rows = evaluate(mine, [LIKE, WATCH], run="mine", against={"other": other}, bootstrap=200)
    shown = whole(frame(rows))
    (comparison,) = comparisons(grid(shown[shown["is_main"] & (shown["metric"] != "rmse")]))
    return {answer.question: "; ".join(words for _, words in answer.parts) for answer in comparison.answers}


def test_a_model_that_only_knows_users_orders_no_list(log: pd.DataFrame) -> None:
    """Against a constant: exactly 0 and inconclusive within the list, although it is far ahead over all impressions."""
    knows_users, constant = predicting(log, log["level"]), predicting(log, 0.0)
    found = answers(knows_users, constant)
    assert found["Finding who will"] == "better on like (auc), watch (xauc)"
    assert found["Ordering a user's list"] == "inconclusive on like (gauc_list), watch (xgauc_list)"
    rows = evaluate(knows_users, [LIKE, WATCH], run="mine", against={"other": constant}, bootstrap=200).to_pandas()
    within = rows[rows["metric"].isin(["gauc_list", "xgauc_list"]) & rows["against"].notna()]
    assert within[["value", "low", "high"]].to_numpy().tolist() == [[0, 0, 0]] * 2


def test_a_model_that_only_knows_users_is_ahead_of_popularity_and_behind_it(log: pd.DataFrame) -> None:
    found = answers(predicting(log, log["level"]), predicting(log, log["quality"]))
    assert found == {
        "Finding who will": "better on like (auc), watch (xauc)",
        "Ordering a user's list": "worse on like (gauc_list), watch (xgauc_list)",
    }
    said = Said()
    rows = evaluate(
        predicting(log, log["level"]), [LIKE, WATCH], run="mine", against={"popularity": predicting(log, log["quality"])}, bootstrap=200
    )
    terminal_table(rows, said)
    text = " ".join("\n".join(said.texts).split())
    assert "Against popularity. Finding who will: better on like (auc), watch (xauc)." in text
    assert "Ordering a user's list: worse on like (gauc_list), watch (xgauc_list)." in text


def test_the_first_lines_are_those_of_both_questions(log: pd.DataFrame) -> None:
    table = whole(frame(evaluate(predicting(log, log["level"]), [LIKE, WATCH], run="mine", bootstrap=200)))
    shown = table[table["is_main"]]
    expected = {"like": ["auc", "gauc_list"], "watch": ["rmse", "xauc", "xgauc_list"]}
    for objective, metrics in expected.items():
        assert shown.loc[shown["objective"] == objective, "metric"].tolist() == metrics
    assert table["metric"].iloc[:2].tolist() == ["auc", "gauc_list"]


def test_where_too_few_lists_can_tell_users_do(log: pd.DataFrame) -> None:
    """All lists of all but a few users hold one item."""
    alone = log.assign(request_id=np.where(log["user_id"] < 5, log["request_id"], log["event_id"].astype(str)))
    mine = predicting(alone, alone["quality"])
    table = whole(frame(evaluate(mine, [LIKE, WATCH], run="mine", bootstrap=200)))
    assert table.loc[table["is_main"], "metric"].tolist() == ["auc", "gauc", "rmse", "xauc", "xgauc"]
    both = paired([("a", mine), ("b", mine)], [LIKE, WATCH], headline([LIKE, WATCH]), split="test", bootstrap=200, seed=0)
    assert [judged.metric.name for judged in one_within(both).judged] == ["auc", "gauc", "rmse", "xauc", "xgauc"]
    enough = paired([("a", predicting(log, 0.0))], [LIKE, WATCH], headline([LIKE, WATCH]), split="test", bootstrap=200, seed=0)
    assert [judged.metric.name for judged in one_within(enough).judged] == ["auc", "gauc_list", "rmse", "xauc", "xgauc_list"]


def test_without_replicates_lists_count() -> None:
    one = pd.DataFrame(
        {
            "event_id": range(6),
            "user_id": [1, 1, 1, 2, 2, 2],
            "timestamp": range(6),
            "label.like": [1.0, 0, 0, 1, 0, 0],
            "pred.like": [0.5, 0.2, 0.1, 0.3, 0.4, 0.2],
        }
    )
    table = whole(frame(evaluate(one, [LIKE], run="mine", bootstrap=0)))
    assert table.loc[table["is_main"], "metric"].tolist() == ["auc", "gauc_list"]


def test_runs_are_compared_in_the_lists_of_the_first(log: pd.DataFrame) -> None:
    """The same predictions in a file that names no requests are no other order."""
    mine = predicting(log, log["quality"])
    both = paired(
        [("a", mine), ("b", mine.drop(columns="request_id"))], [LIKE, WATCH], headline([LIKE, WATCH]), split="test", bootstrap=50, seed=0
    )
    assert [one.value for one in both.measured[0]] == [one.value for one in both.measured[1]]
