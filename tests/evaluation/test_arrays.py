"""`evaluate_arrays`: arrays of any kind, and what is missing in them. Against scikit-learn and `evaluate`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import roc_auc_score

from recsys.errors import ConfigError, DataError
from recsys.evaluation.arrays import evaluate_arrays
from recsys.evaluation.evaluation import evaluate
from recsys.objectives import Objective

ROWS = 600


@pytest.fixture
def feed(rng: np.random.Generator) -> pd.DataFrame:
    label = (rng.random(ROWS) < 0.3).astype(float)
    users = rng.integers(0, 50, ROWS)
    score = np.clip(0.2 * label + 0.8 * rng.random(ROWS), 0, 1).astype(np.float32).astype(float)
    return pd.DataFrame({"label": label, "score": score, "user": users, "list": users * 10 + rng.integers(0, 3, ROWS)})


KINDS: dict[str, Callable[[pd.Series], Any]] = {
    "numpy": lambda values: values.to_numpy(),
    "a column of numpy": lambda values: values.to_numpy()[:, None],
    "numbers with the high byte first": lambda values: values.to_numpy().astype(values.dtype.newbyteorder(">")),
    "a list": lambda values: values.tolist(),
    "another index": lambda values: values.set_axis(values.index[::-1]),
    "pandas with nulls": lambda values: values.convert_dtypes(),
    "categories": lambda values: values.astype("category"),
    "objects": lambda values: values.astype(object),
    "arrow": pa.array,
    "chunks of arrow": lambda values: pa.chunked_array([values[:100], values[100:]]),
    "torch": lambda values: torch.tensor(values.to_numpy()),
    "torch with a gradient": lambda values: torch.tensor(values.to_numpy(), dtype=torch.float64, requires_grad=True),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_arrays_of_every_kind_are_the_same_numbers(kind: str, feed: pd.DataFrame) -> None:
    plain = evaluate_arrays(feed["label"], feed["score"], users=feed["user"], lists=feed["list"], bootstrap=50)
    assert plain.loc["auc", "value"] == pytest.approx(roc_auc_score(feed["label"], feed["score"]))
    label, score, users, lists = (KINDS[kind](feed[name]) for name in feed)
    pd.testing.assert_frame_equal(evaluate_arrays(label, score, users=users, lists=lists, bootstrap=50), plain)


def test_what_is_masked_is_not_known(feed: pd.DataFrame, rng: np.random.Generator) -> None:
    hidden = rng.random(ROWS) < 0.3
    masked = evaluate_arrays(np.ma.array(feed["label"].where(~hidden, 0.0), mask=hidden), feed["score"], bootstrap=0)
    pd.testing.assert_frame_equal(masked, evaluate_arrays(feed["label"].mask(hidden), feed["score"], bootstrap=0))
    assert masked.loc["auc", "n"] == np.count_nonzero(~hidden)
    assert masked.loc["auc", "value"] == pytest.approx(roc_auc_score(feed["label"][~hidden], feed["score"][~hidden]))


@pytest.mark.parametrize("users", [np.array([1.0, np.nan]), ["ann", None], pd.array([1, pd.NA], dtype="Int64"), pa.array(["ann", None])])
def test_a_missing_user_is_an_error(users: Any) -> None:
    with pytest.raises(DataError, match="users: found null, expected a user of each row; 1 of 2 rows"):
        evaluate_arrays([1, 0], [0.2, 0.1], users=users)


def test_a_row_without_a_list_is_in_none(feed: pd.DataFrame, rng: np.random.Generator) -> None:
    """As rows without a request are, of which each is far from the next in time."""
    lists = feed["list"].where(rng.random(ROWS) < 0.5)
    table = pd.DataFrame({
        "event_id": range(ROWS), "user_id": feed["user"], "timestamp": np.arange(ROWS) * 3_600_000, "request_id": lists,
        "label.x": feed["label"], "pred.x": feed["score"],
    })  # fmt: skip
    known = evaluate(table, [Objective(name="x")], run="x", bootstrap=0).to_pandas().set_index("metric")
    found = evaluate_arrays(feed["label"], feed["score"], users=feed["user"], lists=lists, bootstrap=0)
    assert found.loc["gauc_list", ["value", "coverage"]].tolist() == known.loc["gauc_list", ["value", "coverage"]].tolist()


def test_without_users_each_list_is_a_user(feed: pd.DataFrame) -> None:
    found = evaluate_arrays(feed["label"], feed["score"], lists=feed["list"], bootstrap=50)
    pd.testing.assert_frame_equal(
        found, evaluate_arrays(feed["label"], feed["score"], users=feed["list"], lists=feed["list"], bootstrap=50)
    )
    assert 0.5 < found.loc["gauc_list", "value"] < 1


def test_whole_numbers_that_no_type_holds_together_are_still_different_users(feed: pd.DataFrame) -> None:
    large = [2**63 + user if user % 2 else -1 - user for user in feed["user"].tolist()]
    found, known = (evaluate_arrays(feed["label"], feed["score"], users=users, bootstrap=0) for users in (large, feed["user"]))
    assert found.loc["gauc", "value"] == pytest.approx(known.loc["gauc", "value"], abs=1e-12)


@pytest.mark.parametrize("kind", [list, pa.array, lambda ids: pd.array(ids, dtype="Int64")])
def test_large_ids_beside_a_null_stay_different(kind: Callable[[list[int | None]], Any], feed: pd.DataFrame) -> None:
    is_known = feed["list"] % 7 > 0
    large, small = ([offset + each if known else None for each, known in zip(feed["list"], is_known, strict=True)] for offset in (2**60, 0))
    found, known = (
        evaluate_arrays(feed["label"], feed["score"], users=feed["user"], lists=kind(ids), bootstrap=0) for ids in (large, small)
    )
    pd.testing.assert_frame_equal(found, known)


@pytest.mark.parametrize(
    ("label", "score", "options", "error", "words"),
    [
        (np.eye(2), np.eye(2), {}, ConfigError, "y_true: found an array of 2 × 2, expected one value per row"),
        ([1, 0], [0.1 + 0j, 0.2], {}, DataError, "y_score: found values of type complex128"),
        ([1, 0], pd.to_datetime([1, 2]), {}, DataError, "y_score: found values of type datetime64"),
        (["yes", "no"], [0.1, 0.2], {}, DataError, r"y_true: found values of type \w+ \('yes'\), expected numbers"),
        ([1, 2], [0.1, 0.2], {}, DataError, "y_true: found 2, expected 0 or 1"),
        ([1, 0], [0.1, np.nan], {}, DataError, "y_score: found null, NaN or infinite"),
        ([1, 0], [0.1], {}, ConfigError, "y_score: found 1 values, expected 2"),
        ([[1, 0], [1]], [0.1, 0.2], {}, ConfigError, "y_true: found lists of different lengths, expected one value per row"),
        (iter([1, 0]), [0.1, 0.2], {}, ConfigError, "y_true: found one list_iterator, expected one value per row. Fix: put the values"),
        ([1, 0], [0.1, 0.2], {"users": "ann"}, ConfigError, "users: found one str, expected one value per row"),
        ([], [], {}, DataError, "y_true: found no rows"),
        (None, [0.1], {}, ConfigError, "y_true: found None, expected a value per row"),
        ([10**400, 1], [0.1, 0.2], {"kind": "regression"}, DataError, "y_true: found a whole number beyond the range of a 64-bit float"),
        ([1, 0], [0.1, 0.2], {"kind": "rank"}, ConfigError, 'kind: found "rank", expected binary, regression, watch_time'),
        ([1, 0], [0.1, 0.2], {"kind": "ordinal"}, ConfigError, "use evaluate, which knows the levels"),
    ],
)
def test_what_is_no_such_array_is_named(label: Any, score: Any, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        evaluate_arrays(label, score, **options)


def test_numbers_that_are_written_as_texts_are_numbers() -> None:
    found = evaluate_arrays(["1", "0", "1", "0"], pd.Series(["0.9", "0.2", "0.4", "0.5"]), bootstrap=0)
    assert found.loc["auc", "value"] == 0.75
