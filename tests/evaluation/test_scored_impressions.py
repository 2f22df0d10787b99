"""Mistakes in predictions: one message each, with the column and the number of rows."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recsys.errors import ConfigError, DataError
from recsys.evaluation import evaluate, off_policy
from recsys.objectives import Objective

LIKE = Objective(name="like", label="is_like = 1")
WATCH = Objective(name="watch", kind="watch_time", label="play_time")


def refused(predictions, objectives=(LIKE,), **options) -> str:
    with pytest.raises(DataError) as caught:
        evaluate(predictions, objectives, run="mine", bootstrap=10, **options)
    assert caught.value.exit_code == 3
    assert "Fix: " in str(caught.value)
    return str(caught.value)


def test_missing_columns_are_all_named(predictions):
    message = refused(predictions.drop(columns=["pred.like", "label.like", "pred.watch"]), (LIKE, WATCH))
    assert "pred.like, pred.watch, label.like" in message
    assert "user_id, timestamp" in refused(predictions.drop(columns=["user_id", "timestamp"]))
    assert "event_id" in refused(predictions.drop(columns="event_id"))
    assert "slice.device" in refused(predictions, slices=["tab", "device"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, None])
def test_a_prediction_that_is_no_number_where_the_label_is_known(predictions, bad):
    known = predictions.index[predictions["label.like"].notna()]
    unknown = predictions.index[predictions["label.like"].isna()]
    predictions.loc[unknown[:5], "pred.like"] = np.nan
    evaluate(predictions, [LIKE], run="mine", bootstrap=0)
    predictions.loc[known[:3], "pred.like"] = bad
    message = refused(predictions)
    assert "column pred.like" in message
    assert f"3 of {len(known)} rows" in message


def test_nan_that_arrow_does_not_call_null_is_refused_too(predictions):
    scores = predictions["pred.like"].to_numpy().copy()
    scores[np.flatnonzero(predictions["label.like"].notna())[0]] = np.nan
    table = pa.Table.from_pandas(predictions.drop(columns="pred.like")).append_column("pred.like", pa.array(scores))
    assert table["pred.like"].null_count == 0
    assert "1 of" in refused(table)


def test_a_missing_ranking_prediction_is_named_by_its_column(predictions):
    predictions["rank.like"] = predictions["pred.like"].where(predictions["label.like"].isna())
    assert "column rank.like" in refused(predictions)


def test_repeated_events_are_counted(predictions):
    assert "2 of 402 rows" in refused(pd.concat([predictions, predictions.head(2)]))


def test_other_impressions_are_counted(predictions):
    other = predictions.iloc[5:].assign(event_id=lambda frame: frame["event_id"].where(frame["label.like"].notna(), -frame["event_id"]))
    changed = (other["event_id"] < 0).sum()
    message = refused(predictions, against={"base": other})
    assert f"{changed} impressions that run mine did not score, and {changed + 5} of its impressions missing" in message
    assert "run base column event_id" in message


def test_more_replicates_than_a_machine_holds_are_refused(predictions):
    with pytest.raises(ConfigError, match="bootstrap: found 10000000000, expected a number of replicates, from 0 to 1,000,000"):
        evaluate(predictions, [LIKE], run="mine", bootstrap=10**10)


def test_other_labels_are_counted(predictions):
    other = predictions.copy()
    flipped = other.index[other["label.like"].notna()][:4]
    other.loc[flipped, "label.like"] = 1 - other.loc[flipped, "label.like"]
    other.loc[flipped[0], "label.like"] = np.nan
    assert "column label.like: found other labels than in run mine" in refused(predictions, against={"base": other})
    assert "4 of 400 rows" in refused(predictions, against={"base": other})


def test_another_run_needs_no_labels_but_scores_where_they_are_known(predictions):
    bare = predictions[["event_id", "pred.like"]]
    rows = evaluate(predictions, [LIKE], run="mine", bootstrap=0, against={"base": bare}).to_pylist()
    assert {row["value"] for row in rows if row["against"] == "base" and row["value"] is not None} == {0.0}
    holes = bare.assign(**{"pred.like": np.nan})
    assert "run base column pred.like" in refused(predictions, against={"base": holes})


def test_ids_are_the_same_however_wide_they_were_written(predictions):
    text = predictions.assign(event_id=predictions["event_id"].astype(str))
    for table, narrow in ((predictions, pa.int32()), (text, pa.string())):
        wide = pa.Table.from_pandas(table, preserve_index=False)
        other = wide.set_column(wide.column_names.index("event_id"), "event_id", wide["event_id"].cast(narrow))
        assert other["event_id"].type != wide["event_id"].type
        evaluate(wide, [LIKE], run="mine", bootstrap=0, against={"base": other})
    assert "expected int64 as in run mine" in refused(predictions, against={"base": text})


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("label.like", 2.0, "expected 0 or 1, or null"),
        ("label.like", "yes", "expected numbers"),
        ("pred.like", "0.3", "expected numbers"),
        ("user_id", 1.5, "expected int64 or string"),
        ("event_id", np.arange(400) + 0.5, "expected int64 or string"),
        ("pred.like", [0.5, "a"] * 200, "one plain type per column"),
        ("user_id", None, "column user_id: found null"),
        ("timestamp", 1.5, "int64 milliseconds"),
        ("timestamp", None, "column timestamp: found null"),
        ("event_id", None, "column event_id: found null"),
        ("split", None, "column split: found null"),
        ("split", [["test"]] * 400, "column split: found values of type list"),
        ("slice.tab", [["a"]] * 400, "column slice.tab: found values of type list"),
        ("slice.tab", [b"\xff"] * 400, "column slice.tab: found values of type binary"),
        ("request_id", [[1]] * 400, "column request_id: found values of type list"),
    ],
)
def test_columns_of_another_kind(predictions, column, value, says):
    assert says in refused(predictions.assign(**{column: value}))


def test_a_column_that_stands_twice_is_named(predictions):
    table = pa.Table.from_pandas(predictions, preserve_index=False)
    for twice in (pd.concat([predictions, predictions[["pred.like"]]], axis=1), table.append_column("pred.like", table["pred.like"])):
        assert "found the columns pred.like more than once" in refused(twice)


def test_predictions_beyond_all_squares_have_no_value_and_a_reason(predictions):
    rows = evaluate(predictions.assign(**{"pred.watch": 1e200}), [WATCH], run="mine", bootstrap=20, slices=()).to_pylist()
    reasons = {row["metric"]: row["reason"] for row in rows if row["day"] is None}
    assert "beyond the range" in reasons["rmse"]
    assert reasons["mae"] is None


def test_an_infinite_number_is_no_label(predictions):
    assert "a finite number of 0 or more, or null" in refused(predictions.assign(**{"label.watch": np.inf}), (WATCH,))


def test_no_rows_at_all(predictions):
    assert "found no rows" in refused(predictions.head(0))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bootstrap": -1}, "bootstrap: found -1"),
        ({"confidence": 95}, "confidence: found 95"),
        ({"objectives": []}, "objectives: found []"),
        ({"bootstrap": 10.5}, "bootstrap: found 10.5"),
        ({"seed": -1}, "seed: found -1"),
        ({"confidence": 0}, "confidence: found 0"),
        ({"confidence": 1.0}, "confidence: found 1"),
        ({"confidence": 0.9999991}, "confidence: found 0.9999991, expected more than 0, up to 0.999999. Fix: 0.95 is usual"),
        ({"list_k": (5, 0)}, "list_k: found 0"),
        ({"list_k": (1.5,)}, "list_k: found 1.5"),
        ({"top_percent": (10, 150.0)}, "top_percent: found 150"),
        ({"top_percent": (0,)}, "top_percent: found 0"),
        ({"top_percent": (100,)}, "top_percent: found 100"),
    ],
)
def test_options_out_of_range(predictions, options, says):
    with pytest.raises(ConfigError) as caught:
        evaluate(predictions, **{"objectives": [LIKE], "run": "mine"} | options)
    assert says in str(caught.value)
    assert "Fix: " in str(caught.value)


def test_a_run_is_not_compared_with_itself(predictions):
    with pytest.raises(ConfigError, match="found run mine itself"):
        evaluate(predictions, [LIKE], run="mine", against={"mine": predictions})


@pytest.mark.parametrize(
    ("factor", "words"), [(0.001, "in the first weeks of 1970 in milliseconds"), (1_000, "after 2103 in milliseconds"), (1, None)]
)
def test_times_in_another_unit_are_refused(factor, words, predictions):
    """Lists without a request are parted by pauses: in seconds each user was one list, in microseconds each row."""
    times = 1_700_000_000_000 + np.arange(len(predictions)) * 60_000
    table = predictions.assign(timestamp=(times * factor).astype(np.int64))
    if words is None:
        evaluate(table, [LIKE], run="mine", bootstrap=0)
    else:
        assert words in refused(table)


def test_times_beyond_int64_are_refused(predictions):
    """One such value beside times in milliseconds, as a hash that stands in the wrong column."""
    times = np.full(len(predictions), 1_700_000_000_000, np.uint64)
    times[0] = 2**63
    assert "to 9223372036854775808, which lie after 2103" in refused(predictions.assign(timestamp=times))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"slices": "tab"}, 'slices: found the text "tab", expected a list of names'),
        ({"metrics": "auc"}, 'metrics: found the text "auc"'),
        ({"against": pd.DataFrame()}, "against: found a DataFrame, expected a mapping of names to predictions"),
        ({"objectives": LIKE}, "objectives: found one Objective, expected a sequence"),
        ({"objectives": "like"}, "objectives: found one str, expected a sequence of Objective"),
        ({"objectives": ["like"]}, r"objectives: found 'like', expected values of Objective. Fix: recsys.Objective\(name='like'\)"),
        ({"run": 5}, "run: found 5, expected a text"),
        ({"confidence": "0.9"}, "confidence: found '0.9', expected a number"),
        ({"list_k": 5}, "list_k: found 5, expected a list of numbers"),
        ({"top_percent": ["10"]}, r"top_percent: found \['10'\], expected a list of numbers"),
        ({"seed": 2**63}, "seed: found 9223372036854775808, expected a whole number"),
        ({"train_means": [0.5]}, r"train_means: found \[0.5\], expected a mapping"),
        ({"train_means": {"like": "half"}}, "train_means: found {'like': 'half'}, expected a mapping of objectives to numbers"),
        ({"predictions": {"event_id": [1]}}, "predictions of run mine: found a dict, expected a frame of pandas or a table of Arrow"),
    ],
)
def test_an_argument_of_another_type_is_named(options, words, predictions):
    with pytest.raises(ConfigError, match=words):
        evaluate(**{"predictions": predictions, "objectives": [LIKE], "run": "mine", **options})


@pytest.mark.parametrize("objectives", [LIKE, "like", ["like"]])
def test_off_policy_names_what_is_no_objective(objectives, predictions):
    with pytest.raises(ConfigError, match=r"objectives: found .*Objective"):
        off_policy(predictions, objectives, run="mine")


def test_whole_numbers_beyond_a_double_are_scores_too(predictions):
    keys = predictions["event_id"].rank().astype(np.int64) * (1 << 53) + 1
    rows = evaluate(predictions.assign(score=keys), [LIKE], run="mine", bootstrap=0).to_pandas()
    assert rows.set_index("metric")["value"].filter(like="ndcg").notna().any()
    assert rows.equals(evaluate(predictions.assign(score=keys.astype(float)), [LIKE], run="mine", bootstrap=0).to_pandas())


@pytest.mark.parametrize("column", [pd.array([0.5] * 400, dtype=pd.SparseDtype(float)), np.full(400, 0.5, ">f8")])
def test_a_column_that_arrow_cannot_hold_is_an_error_of_the_data(column, predictions):
    assert "a column that Arrow cannot hold" in refused(predictions.assign(**{"pred.like": column}))


def test_a_metric_that_is_asked_for_twice_is_given_once(predictions):
    table = predictions.assign(score=predictions["pred.like"])
    rows = evaluate(table, [LIKE], run="mine", bootstrap=0, list_k=[5, 5], top_percent=[10, 10.0]).to_pandas()
    of_lists = rows[rows["metric"].str.contains("@") & (rows["slice"] == "all") & rows["day"].isna()]
    assert sorted(of_lists["metric"]) == ["captured@10%", "captured@5", "ndcg@5"]


def test_a_slice_called_as_the_whole_is_refused(predictions):
    assert 'a slice "all", which names all rows' in refused(predictions.assign(**{"slice.all": "x"}))


def test_labels_of_another_log_are_told_however_small_they_are(predictions):
    small = predictions.assign(**{"label.watch": predictions["label.watch"] * 1e-12})
    shuffled = small.assign(**{"label.watch": small["label.watch"].to_numpy()[::-1].copy()})
    assert "other labels than in run mine" in refused(small, (WATCH,), against={"other": shuffled})
