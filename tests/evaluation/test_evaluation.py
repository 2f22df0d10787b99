"""The long rows: what they hold, paired differences, slices, days, splits."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from recsys.errors import ConfigError, DataError
from recsys.evaluation import METRICS, MOST_VALUES, OTHERS, evaluate, measured
from recsys.objectives import Objective
from recsys.predictions import judged, judged_beside
from tests.evaluation.samples import frame, one

LIKE = Objective(name="like", label="is_like = 1")
WATCH = Objective(name="watch", kind="watch_time", label="play_time", group="satisfaction")
BOTH = (LIKE, WATCH)


def test_every_metric_of_the_kind_has_a_row_on_the_whole(predictions):
    rows = frame(predictions, BOTH)
    whole = rows[(rows["slice"] == "all") & rows["day"].isna()]
    for objective in BOTH:
        found = whole.loc[whole["objective"] == objective.name, "metric"].tolist()
        assert found == [metric.name for metric in METRICS if objective.kind in metric.kinds]
    assert set(rows["split"]) == {"test"}
    assert set(rows["group"]) == {"engagement", "satisfaction"}


def test_a_row_says_what_its_number_rests_on(predictions):
    row = one(frame(predictions, BOTH, seed=5), objective="like", metric="auc")
    known = predictions.dropna(subset="label.like")
    assert row["value"] == pytest.approx(roc_auc_score(known["label.like"], known["pred.like"]))
    assert (row["n"], row["n_positive"]) == (len(known), known["label.like"].sum())
    assert (row["method"], row["seed"], row["better"], row["coverage"]) == ("bootstrap", 5, "higher", 1)
    assert row["low"] < row["value"] < row["high"]
    assert row["reason"] is None
    watch = one(frame(predictions, BOTH), objective="watch", metric="rmse")
    assert (watch["better"], watch["n"]) == ("lower", len(known))
    assert watch["n_positive"] is None


def test_the_direction_of_a_metric_is_not_that_of_the_label(predictions):
    dismissal = LIKE.model_copy(update={"better": "lower"})
    assert one(frame(predictions, [dismissal]), metric="auc")["better"] == "higher"
    assert one(frame(predictions, [dismissal]), metric="log_loss")["better"] == "lower"
    assert one(frame(predictions, [dismissal]), metric="calibration")["better"] is None


def test_slices_and_days_are_the_metric_of_their_rows(predictions):
    predictions.loc[:9, "slice.tab"] = None
    rows = frame(predictions, BOTH)
    known = predictions.dropna(subset="label.like")
    for column, where in (("slice.tab", "slice_value"), ("day", "day")):
        for value, part in known.groupby(column):
            row = one(rows, objective="like", metric="auc", **{"slice": "tab" if where == "slice_value" else "all", where: value})
            assert row["value"] == pytest.approx(roc_auc_score(part["label.like"], part["pred.like"]))
            assert row["n"] == len(part)
            assert row["low"] < row["value"] < row["high"]
    nulls = one(rows, objective="like", metric="log_loss", slice="tab", slice_value=None)
    assert nulls["n"] == known["slice.tab"].isna().sum()


def test_a_slice_of_many_values_gives_numbers_for_the_most_frequent_and_for_all_others_together() -> None:
    many = MOST_VALUES + 50
    often = [f"often {at}" for at in range(MOST_VALUES) for _ in range(3)]
    values = np.random.default_rng(4).permutation([*often, *(f"few {at}" for at in range(many)), *[None] * 5])
    rng = np.random.default_rng(5)
    given = pd.DataFrame({"event_id": np.arange(len(values)), "user_id": rng.integers(0, 90, len(values)), "timestamp": 0})
    given = given.assign(
        **{"label.like": rng.integers(0, 2, len(values)) * 1.0, "pred.like": rng.random(len(values)), "slice.size": values}
    )
    rows = frame(given, [LIKE])
    of_slice = rows[(rows["slice"] == "size") & (rows["metric"] == "auc")]
    assert set(of_slice["slice_value"].dropna()) == {*often, OTHERS}
    assert len(of_slice) == MOST_VALUES + 2
    others = given[[isinstance(value, str) and value.startswith("few") for value in values]]
    row = one(rows, objective="like", metric="auc", slice="size", slice_value=OTHERS)
    assert row["n"] == many
    assert row["value"] == pytest.approx(roc_auc_score(others["label.like"], others["pred.like"]))
    assert one(rows, objective="like", metric="log_loss", slice="size", slice_value=None)["n"] == 5


@pytest.mark.parametrize("more", [0, 1, 3])
def test_a_value_with_the_name_of_the_others_is_one_of_them(more: int) -> None:
    """The most frequent value is called so: beside as many others as have numbers of their own less one, as many, and two more."""
    values = np.array([OTHERS] * 90 + [f"value {at}" for at in range(MOST_VALUES - 1 + more) for _ in range(2)])
    given = pd.DataFrame({"event_id": np.arange(len(values)), "user_id": np.arange(len(values)), "timestamp": 0, "slice.size": values})
    rng = np.random.default_rng(6)
    rows = frame(given.assign(**{"label.like": rng.integers(0, 2, len(values)) * 1.0, "pred.like": rng.random(len(values))}), [LIKE])
    found = rows[(rows["slice"] == "size") & (rows["metric"] == "log_loss")].set_index("slice_value")["n"]
    assert found.index.is_unique
    assert found[OTHERS] == 90 + 2 * max(0, more - 1)
    assert found.sum() == len(values)


def test_slices_can_be_chosen_and_one_day_needs_no_row_of_its_own(predictions):
    rows = frame(predictions.assign(day="2022-05-01"), BOTH, slices=())
    assert set(rows["slice"]) == {"all"}
    assert rows["day"].isna().all()


def test_splits_come_in_the_order_of_time_and_are_apart(predictions):
    predictions["split"] = np.where(predictions["day"] == "2022-05-01", "validation", "test")
    rows = frame(predictions, [LIKE])
    assert rows["split"].drop_duplicates().tolist() == ["validation", "test"]
    alone = frame(predictions[predictions["split"] == "test"], [LIKE])
    columns = ["metric", "slice", "slice_value", "value", "low", "high", "n"]
    pd.testing.assert_frame_equal(rows.loc[rows["split"] == "test", columns].reset_index(drop=True), alone[columns].reset_index(drop=True))


def test_the_order_of_rows_changes_nothing_and_a_seed_repeats(predictions):
    first = evaluate(predictions, BOTH, run="mine", bootstrap=50)
    shuffled = evaluate(predictions.sample(frac=1, random_state=1), BOTH, run="mine", bootstrap=50)
    assert first.equals(shuffled)
    assert not first.equals(evaluate(predictions, BOTH, run="mine", bootstrap=50, seed=1))


def test_inputs_are_left_as_they_were(predictions):
    other = predictions.sample(frac=1, random_state=2)
    copies = predictions.copy(), other.copy()
    means = {"like": 0.3}
    frame(predictions, BOTH, against={"other": other}, train_means=means)
    pd.testing.assert_frame_equal(predictions, copies[0])
    pd.testing.assert_frame_equal(other, copies[1])
    assert means == {"like": 0.3}


def test_differences_are_paired(predictions, rng):
    """Against a nearly equal run the interval of the difference is far narrower than that of either value."""
    other = predictions.assign(**{"pred.like": (predictions["pred.like"] + rng.normal(0, 0.01, len(predictions))).clip(0.001, 0.999)})
    rows = frame(predictions, [LIKE], against={"other": other.sample(frac=1, random_state=3)}, bootstrap=500)
    theirs = frame(other, [LIKE], run="other")
    for metric in ("auc", "log_loss", "gauc", "gauc_list", "pr_auc", "calibration"):
        mine, difference = one(rows, metric=metric), one(rows, metric=metric, against="other")
        assert difference["value"] == pytest.approx(mine["value"] - one(theirs, metric=metric)["value"])
        assert difference["low"] <= difference["value"] <= difference["high"]
        assert difference["high"] - difference["low"] < 0.5 * (mine["high"] - mine["low"])


def test_the_difference_to_an_equal_run_is_exactly_nothing(predictions):
    rows = frame(predictions, BOTH, against={"twin": predictions}, train_means={"like": 0.25})
    differences = rows[rows["against"] == "twin"]
    assert len(differences) == len(rows) / 2
    defined = differences[differences["value"].notna()]
    assert set(defined["objective"]) == {"like", "watch"}
    assert {number for column in ("value", "low", "high") for number in defined[column].dropna()} == {0.0}


def test_a_run_judged_beside_another_has_the_numbers_that_it_has_alone(predictions, rng):
    other = predictions.assign(**{"pred.like": rng.permutation(predictions["pred.like"])})
    rows = frame(predictions, BOTH, against={"other": other, "third": predictions}, also=["other"], bootstrap=50)
    alone = frame(other, BOTH, run="other", bootstrap=50)
    beside = rows[rows["run"] == "other"].reset_index(drop=True)
    pd.testing.assert_frame_equal(beside, alone, check_exact=True)
    without = frame(predictions, BOTH, against={"other": other, "third": predictions}, bootstrap=50)
    pd.testing.assert_frame_equal(rows[rows["run"] != "other"].reset_index(drop=True), without)


def test_users_in_their_thousands_are_judged_run_by_run_with_the_same_numbers(predictions, rng, monkeypatch):
    other = predictions.assign(**{"pred.like": rng.permutation(predictions["pred.like"])})
    together = frame(predictions, BOTH, against={"other": other}, bootstrap=50)
    monkeypatch.setattr(measured, "TOGETHER_USERS", 1)
    pd.testing.assert_frame_equal(frame(predictions, BOTH, against={"other": other}, bootstrap=50), together, check_exact=True)


def test_of_a_run_beside_another_the_columns_that_compare_it_are_enough(predictions, rng):
    predictions = predictions.assign(**{"known.like": 0, "item_id": 1, "score": rng.random(len(predictions))})
    other = predictions.assign(**{"pred.like": rng.permutation(predictions["pred.like"]), "split": "test"})
    whole = frame(predictions, BOTH, against={"other": other}, also=["other"], bootstrap=50)
    needed = judged_beside(other.columns)
    assert {"user_id", "timestamp", "day", "known.like", "item_id", "slice.tab"} & set(other.columns) & set(needed) == set()
    found = frame(predictions[judged(predictions.columns)], BOTH, against={"other": other[needed]}, also=["other"], bootstrap=50)
    pd.testing.assert_frame_equal(found, whole, check_exact=True)


def test_only_a_run_compared_with_can_be_judged_beside_another(predictions):
    with pytest.raises(ConfigError, match="also: found typo, expected names of against"):
        frame(predictions, BOTH, against={"other": predictions}, also=["typo"])


def test_a_worse_run_is_worse_beyond_the_interval(predictions, rng):
    other = predictions.assign(**{"pred.like": rng.permutation(predictions["pred.like"])})
    rows = frame(predictions, [LIKE], against={"noise": other})
    assert one(rows, metric="auc", against="noise")["low"] > 0
    assert one(rows, metric="log_loss", against="noise")["high"] < 0


def test_train_means_come_from_the_table_unless_given(predictions):
    table = pa.Table.from_pandas(predictions).replace_schema_metadata({b"recsys.train_means": b'{"like": 0.25}'})
    from_file = one(frame(table, [LIKE]), metric="normalized_entropy")
    given = one(frame(predictions, [LIKE], train_means={"like": 0.25}), metric="normalized_entropy")
    assert from_file["value"] == given["value"]
    absent = one(frame(predictions, [LIKE]), metric="normalized_entropy")
    assert absent["value"] is None
    assert absent["reason"] == "the training rate is not known"


def test_one_class_in_a_slice_is_null_with_a_reason(predictions):
    predictions.loc[predictions["slice.tab"] == "search", "label.like"] = 0.0
    rows = frame(predictions, [LIKE], against={"twin": predictions})
    for against in (None, "twin"):
        row = one(rows, metric="auc", slice="tab", slice_value="search", against=against)
        assert row[["value", "low", "high"]].isna().all()
        assert row["reason"] == "one class: no positive label"
        assert (row["n_positive"], row["coverage"]) == (0, 0)
        assert row["n"] == (predictions["slice.tab"] == "search").sum()
    assert one(rows, metric="log_loss", slice="tab", slice_value="search")["value"] > 0


def test_an_objective_without_a_known_label_is_null_with_a_reason(predictions):
    rows = frame(predictions.assign(**{"label.like": np.nan, "pred.like": np.nan}), [LIKE])
    assert rows["value"].isna().all()
    assert (rows["n"] == 0).all()
    assert set(rows.loc[rows["metric"] != "normalized_entropy", "reason"]) == {"no rows with a known label"}


def test_one_user_has_values_but_no_interval(predictions):
    row = one(frame(predictions.assign(user_id=7), [LIKE]), metric="auc")
    assert 0.5 < row["value"] < 1
    assert row["low"] is None
    assert row["reason"] == "too few users (1)"


def test_without_bootstrap_there_are_values_only(predictions):
    rows = frame(predictions, BOTH, bootstrap=0, train_means={"like": 0.25})
    assert rows["value"].notna().all()
    assert rows[["low", "high", "method", "seed"]].isna().all(axis=None)


def test_no_number_is_nan_or_infinite(predictions):
    table = evaluate(predictions.head(30), BOTH, run="mine", bootstrap=50, against={"twin": predictions.head(30)})
    for name in ("value", "low", "high", "coverage"):
        numbers = [number for number in table[name].to_pylist() if number is not None]
        assert np.isfinite(numbers).all()
    reasons = [row["reason"] for row in table.to_pylist() if row["value"] is None or row["low"] is None]
    assert all(reasons)


def test_scores_of_any_other_system_need_no_more_than_five_columns(predictions):
    bare = predictions[["event_id", "user_id", "timestamp", "label.like", "pred.like"]]
    logits = bare.assign(**{"pred.like": np.log(bare["pred.like"].clip(0.01, 0.99) / (1 - bare["pred.like"].clip(0.01, 0.99)))})
    rows = frame(logits, [LIKE])
    assert one(rows, metric="auc")["value"] == pytest.approx(one(frame(bare, [LIKE]), metric="auc")["value"], abs=0.01)
    assert "not a probability" in one(rows, metric="log_loss")["reason"]


def test_text_ids_booleans_and_small_floats_are_the_same_numbers(predictions):
    whole = predictions.dropna().assign(**{"pred.like": lambda table: table["pred.like"].astype("float32")})
    typed = pa.table(
        {
            "event_id": [f"{event:06d}" for event in whole["event_id"]],
            "user_id": pa.array([f"u{user:03d}" for user in whole["user_id"]]).dictionary_encode(),
            "timestamp": pa.array(whole["timestamp"], pa.int64()).cast(pa.timestamp("ms")),
            "label.like": pa.array(whole["label.like"] == 1),
            "pred.like": pa.array(whole["pred.like"], pa.float32()),
        }
    )
    columns = ["metric", "value", "low", "high", "n"]
    plain = frame(whole.drop(columns=["day", "slice.tab"]), [LIKE])[columns]
    pd.testing.assert_frame_equal(frame(typed, [LIKE])[columns], plain)


ORDERED = ("xauc", "xgauc", "xgauc_list", "spearman")


@pytest.mark.parametrize("missing", [False, True], ids=["one order", "position missing"])
def test_percentiles_order_impressions_and_lists_and_means_are_judged_as_values(predictions, rng, missing):
    """Each number of an order is that of a run that predicts the percentile; all others are those of the mean alone."""
    percentile, rank = rng.random(len(predictions)), rng.random(len(predictions))
    means = predictions.assign(**({"rank.watch": rng.random(len(predictions))} if missing else {}))
    given = means.assign(**{"pred.watch%": percentile} | ({"rank.watch%": rank} if missing else {}))
    instead = predictions.assign(**{"pred.watch": percentile} | ({"rank.watch": rank} if missing else {}))
    found, by_mean, by_percentile = (frame(table, [WATCH], seed=3) for table in (given, means, instead))
    keys = ["metric", "slice", "slice_value", "day", "split"]
    is_order = found["metric"].isin(ORDERED)
    assert is_order.any()
    assert (~is_order).any()
    for mine, theirs in ((found[is_order], by_percentile), (found[~is_order], by_mean)):
        both = mine.merge(theirs, on=keys, suffixes=("", ".theirs"))
        assert len(both) == len(mine)
        for column in ("value", "low", "high"):
            np.testing.assert_allclose(both[column].astype(float), both[f"{column}.theirs"].astype(float), rtol=1e-12)


def test_of_one_mean_and_many_percentiles_there_is_an_order(predictions, rng):
    def of_order(**columns):
        found = frame(predictions.assign(**columns), [WATCH])
        (row,) = found[(found["metric"] == "spearman") & (found["slice"] == "all") & found["day"].isna()].to_dict("records")
        return row

    varied = rng.random(len(predictions))
    assert np.isfinite(of_order(**{"pred.watch": 5.0, "pred.watch%": varied})["value"])
    assert of_order(**{"pred.watch": varied, "pred.watch%": 0.5})["reason"] == "all predictions are equal"


def test_a_percentile_of_another_kind_orders_nothing(predictions, rng):
    """Lists of clicks were ordered by such a column of a foreign file, and all impressions by the probability."""
    more = predictions.assign(**{"pred.like%": rng.random(len(predictions))})
    pd.testing.assert_frame_equal(frame(more, [LIKE]), frame(predictions, [LIKE]))


def test_a_percentile_that_is_no_number_is_refused(predictions):
    predictions["pred.watch%"] = 0.5
    predictions.loc[3, "pred.watch%"] = np.nan
    predictions.loc[3, "label.watch"] = 1.0
    with pytest.raises(DataError, match=r"column pred\.watch%: found null, NaN or infinite"):
        frame(predictions, [WATCH])
