"""Rows for metrics from plain sequences, the literal form of a bootstrap replicate, and long rows to look into."""

from dataclasses import replace

import numpy as np
import pandas as pd

from recsys import schema
from recsys.evaluation import Rows, evaluate
from recsys.evaluation.metrics.lists import places

LEVELS = (1.0, 2.0, 3.0, 4.0, 5.0)


def build_rows(label, prediction, user=None, lists=None, *, ranking=None, train_mean=None, levels=(), probability=None, score=None) -> Rows:
    """Users and lists may be any values; without users each row has its own, without lists a user is one list. The fused order is
    by `score`, without one by the prediction.
    """
    label, prediction = np.asarray(label, float), np.asarray(prediction, float)
    users, user = np.unique(np.arange(len(label)) if user is None else user, return_inverse=True)
    lists, list_of_row = np.unique(user if lists is None else lists, return_inverse=True)
    ranking = prediction if ranking is None else np.asarray(ranking, float)
    probability = None if probability is None else np.asarray(probability, float)
    rows = Rows(label, prediction, ranking, user, list_of_row, len(users), len(lists), train_mean, levels, probability)
    return in_order_of(rows, prediction if score is None else np.asarray(score, float))


def in_order_of(rows: Rows, score_N: np.ndarray) -> Rows:
    """The same rows under another fused order."""
    return replace(rows, **places(score_N, rows.list_N)._asdict())


def resample_users(rows: Rows, times_U: np.ndarray) -> Rows:
    """The rows of each user copied as often as it was drawn, each copy a user, with lists, of its own."""
    taken, user, lists = [], [], []
    for one, times in enumerate(times_U):
        mine = np.flatnonzero(rows.user_N == one)
        for copy in range(times):
            taken.append(mine)
            user += [(one, copy)] * len(mine)
            lists += [(int(of), copy) for of in rows.list_N[mine]]
    at = np.concatenate(taken)
    _, user_N = np.unique(np.array(user), axis=0, return_inverse=True)
    _, list_N = np.unique(np.array(lists), axis=0, return_inverse=True)
    prediction_N = rows.prediction_N[at]
    place_N = np.argsort(np.argsort(rows.place_N[at], kind="stable"))  # copies of a row stand side by side
    return replace(
        rows,
        label_N=rows.label_N[at],
        prediction_N=prediction_N,
        ranking_N=prediction_N if rows.ranking_N is rows.prediction_N else rows.ranking_N[at],
        user_N=user_N,
        list_N=list_N,
        users=int(user_N.max()) + 1,
        lists=int(list_N.max()) + 1,
        probability_NL=None if rows.probability_NL is None else rows.probability_NL[at],
        place_N=place_N,
        list_place_N=rows.list_place_N[at],
        list_size_N=rows.list_size_N[at],
    )


def random_rows(rng: np.random.Generator, kind: str, *, rows: int = 300, users: int = 40) -> Rows:
    """Informative predictions with ties, labels of the kind; users differ in size and level."""
    user = np.minimum(rng.integers(0, users, rows), rng.integers(0, users, rows))
    level = rng.normal(size=users)[user] + rng.normal(size=rows)
    if kind == "binary":
        probability = np.round(1 / (1 + np.exp(1 - level)), 2).clip(0.01, 0.99)
        return build_rows(rng.random(rows) < probability, probability, user, user * 3 + rng.integers(0, 3, rows), train_mean=0.3)
    if kind == "ordinal":
        probability = np.exp(-((np.array(LEVELS) - 3 - level[:, None]) ** 2) / 2)
        probability /= probability.sum(axis=1, keepdims=True)
        label = np.array(LEVELS)[(rng.random((rows, 1)) > np.cumsum(probability, axis=1)[:, :-1]).sum(axis=1)]
        return build_rows(label, np.round(probability @ LEVELS, 1), user, levels=LEVELS, probability=probability)
    expected = np.round(np.exp(level / 2), 1)
    return build_rows(rng.poisson(expected), expected, user, user * 3 + rng.integers(0, 3, rows))


def frame(predictions, objectives, **options) -> pd.DataFrame:
    """The long rows of `evaluate`."""
    table = evaluate(predictions, objectives, **{"run": "mine", "bootstrap": 100} | options)
    assert table.schema.equals(schema.METRICS)
    return pd.DataFrame(table.to_pylist(), dtype=object)


def one(rows: pd.DataFrame, **where) -> pd.Series:
    """The one row with these values; on the whole split unless said otherwise."""
    for column, value in ({"slice": "all", "day": None, "against": None} | where).items():
        rows = rows[rows[column].isna() if value is None else rows[column] == value]
    assert len(rows) == 1, rows
    return rows.iloc[0]
