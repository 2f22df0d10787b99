"""evaluate() on any small log, cell by cell, against scikit-learn and plain loops: ties, one class, unknown labels and empty slices."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, log_loss, mean_absolute_error, roc_auc_score

from recsys.objectives import Objective
from tests.evaluation.samples import frame

LIKE = Objective(name="like", label="is_like = 1")
STARS = Objective(name="stars", kind="regression", label="stars")
ROW = st.tuples(
    st.sampled_from([0.0, 1.0, None]),
    st.integers(0, 4),
    st.integers(0, 3),
    st.sampled_from(["a", "b", None]),
    st.integers(0, 3) | st.none(),
)
LOGS = st.lists(ROW, min_size=1, max_size=40)
OPTIONS = {"bootstrap": 0, "list_k": (2,), "top_percent": (30.0,)}


def table_of(log: list[tuple]) -> pd.DataFrame:
    like, score, user, kind, stars = (list(column) for column in zip(*log, strict=True))
    score = np.array(score) / 4
    columns = {"event_id": np.arange(len(log)), "user_id": user, "timestamp": 0, "slice.kind": kind, "score": score}
    named = {"label.like": like, "label.stars": stars}
    more = {name: np.array([np.nan if value is None else value for value in values]) for name, values in named.items()}
    return pd.DataFrame(columns | more | {"pred.like": score, "pred.stars": score})


# --- What each metric is of some rows: a number, or None where it is not defined ----------------------------------
def auc(label: np.ndarray, score: np.ndarray, user: np.ndarray) -> float | None:
    return roc_auc_score(label, score) if len(set(label)) == 2 else None


def gauc(label: np.ndarray, score: np.ndarray, user: np.ndarray) -> float | None:
    of_users = [(np.sum(user == one), auc(label[user == one], score[user == one], user)) for one in set(user)]
    counted = [(n, each) for n, each in of_users if each is not None]
    return sum(n * each for n, each in counted) / sum(n for n, _ in counted) if counted else None


def surprise(label: np.ndarray, score: np.ndarray, user: np.ndarray) -> float | None:
    return log_loss(label, np.clip(score, 1e-12, 1 - 1e-12), labels=[0, 1]) if len(label) else None


def calibration(label: np.ndarray, score: np.ndarray, user: np.ndarray) -> float | None:
    return score.sum() / label.sum() if label.sum() > 0 else None


def ece(label: np.ndarray, score: np.ndarray, user: np.ndarray) -> float | None:
    """A prediction's bin is where the middle of the rows tied with it lies: 15 bins of equal mass."""
    bins: dict[int, list[float]] = {}
    for y, p in zip(label, score, strict=True):
        middle = sum(score < p) + sum(score == p) / 2
        bins.setdefault(math.floor(middle * 15 / len(label)), []).append(p - y)
    return sum(abs(sum(excess)) for excess in bins.values()) / len(label) if len(label) else None


def precision(label: np.ndarray, score: np.ndarray, user: np.ndarray) -> float | None:
    return average_precision_score(label, score) if len(set(label)) == 2 else None


def mae(label: np.ndarray, score: np.ndarray, user: np.ndarray) -> float | None:
    return mean_absolute_error(label, score) if len(label) else None


def xauc(label: np.ndarray, score: np.ndarray, user: np.ndarray) -> float | None:
    pairs = [(i, j) for i in range(len(label)) for j in range(i) if label[i] != label[j]]
    right = [0.5 if score[i] == score[j] else (score[i] > score[j]) == (label[i] > label[j]) for i, j in pairs]
    return sum(right) / len(pairs) if pairs else None


Oracle = Callable[[np.ndarray, np.ndarray, np.ndarray], float | None]
IN_EVERY_CELL: dict[tuple[str, str], Oracle] = {
    ("like", "auc"): auc,
    ("like", "gauc"): gauc,
    ("like", "log_loss"): surprise,
    ("like", "calibration"): calibration,
    ("stars", "mae"): mae,
    ("stars", "xauc"): xauc,
}
ON_THE_WHOLE: dict[tuple[str, str], Oracle] = {("like", "ece"): ece, ("like", "pr_auc"): precision}


@settings(max_examples=30, deadline=None)
@given(LOGS)
def test_each_cell_is_what_an_oracle_gives_of_its_rows(log):
    table = table_of(log)
    rows = frame(table, [LIKE, STARS], **OPTIONS)
    for (objective, metric), oracle in (IN_EVERY_CELL | ON_THE_WHOLE).items():
        for _, row in rows[(rows["objective"] == objective) & (rows["metric"] == metric)].iterrows():
            if row["slice"] == "all":
                cell = table
            else:
                cell = table[table["slice.kind"].isna() if row["slice_value"] is None else table["slice.kind"] == row["slice_value"]]
            known = cell[cell[f"label.{objective}"].notna()]
            assert row["n"] == len(known)
            expected = oracle(*(known[name].to_numpy() for name in (f"label.{objective}", f"pred.{objective}", "user_id")))
            assert (row["value"] is None) == (expected is None), (objective, metric, row["slice_value"])
            if expected is None:
                assert row["reason"]
            else:
                assert row["value"] == pytest.approx(expected, abs=1e-9)


def in_lists(table: pd.DataFrame, share: Callable[[list[float]], float], longer_than: int) -> float | None:
    """The mean over users' lists, each in descending order of the score, then by event_id."""
    ordered = table.sort_values(["score", "event_id"], ascending=[False, True])
    gains = [rows["label.like"].fillna(0).tolist() for _, rows in ordered.groupby("user_id")]
    found = [share(gain) for gain in gains if len(gain) > longer_than and sum(gain) > 0]
    return sum(found) / len(found) if found else None


def dcg(gains: list[float]) -> float:
    return sum(gain / math.log2(2 + place) for place, gain in enumerate(gains[:2]))


@pytest.mark.words
@settings(max_examples=30, deadline=None)
@given(LOGS)
def test_the_fused_order_is_what_loops_over_lists_give(log):
    table = table_of(log)
    rows = frame(table, [LIKE], **OPTIONS)
    likes = table.sort_values(["score", "event_id"], ascending=[False, True])["label.like"].fillna(0)
    top = math.ceil(round(len(table) * 0.3, 9))
    expected = {
        "captured@2": in_lists(table, lambda gains: sum(gains[:2]) / sum(gains), 2),
        "ndcg@2": in_lists(table, lambda gains: dcg(gains) / dcg(sorted(gains, reverse=True)), 1),
        "captured@30%": likes.head(top).sum() / likes.sum() if likes.any() else None,
    }
    for metric, number in expected.items():
        (row,) = rows[(rows["metric"] == metric) & (rows["slice"] == "all")].to_dict("records")
        assert (row["value"] is None) == (number is None), metric
        assert row["reason"] if number is None else row["value"] == pytest.approx(number, abs=1e-12)
