"""Metrics of the fused order by one product, against the metrics themselves; the score to the bits of predictions.parquet."""

import numpy as np
import pyarrow as pa
import pytest

from recsys.errors import DataError
from recsys.evaluation import list_metric, read_scores
from recsys.evaluation.fused_order import OrderMetric, fused_rows, rows_of_split
from recsys.evaluation.inputs.scored_impressions import as_table, read_impressions
from recsys.list_metrics import ListMetric
from recsys.objectives import Objective
from recsys.predictions import fused_score

OBJECTIVES = (
    Objective(name="click", label="c", fusion_weight=0.3),
    Objective(name="hide", label="h", better="lower", fusion_weight=1.7),
    Objective(name="cost", label="s", kind="regression", better="lower", fusion_weight=0.9),
)


@pytest.fixture(scope="module")
def table() -> pa.Table:
    rng = np.random.default_rng(5)
    rows = 600
    columns = {"event_id": rng.permutation(rows), "user_id": rng.integers(0, 30, rows), "split": rng.choice(["test", "validation"], rows),
               "timestamp": rng.integers(0, 3_000_000, rows)}  # fmt: skip
    for objective in OBJECTIVES:
        columns[f"label.{objective.name}"] = np.where(rng.random(rows) < 0.2, np.nan, rng.random(rows) < 0.3)
        columns[f"pred.{objective.name}"] = np.round(rng.random(rows), 1)  # many ties, zeros and ones among them
    return as_table(pa.table(columns), "x")


def read(table, at_N=None):
    scores, impressions = read_scores(table, OBJECTIVES, "x", labels=True), read_impressions(table, "x", ())
    return fused_rows(rows_of_split(impressions, "test") if at_N is None else at_N, scores, impressions, OBJECTIVES)


@pytest.mark.parametrize("name", ["captured@10%", "captured@2.5%", "captured@2", "ndcg@3"])
def test_a_metric_of_the_order_is_a_product_of_what_is_seen_and_of_shares(table, name) -> None:
    rows, metric = read(table), list_metric(ListMetric.parse(name))
    judged = OrderMetric(rows, metric)
    for weights in ([1, 0, 0], [0, 0, 0], [0.3, 1.7, 0.9], [0, 0, 5]):
        score_N = rows.score(np.array(weights))
        expected = [metric.estimate(rows.rows(k, score_N)).value() for k in range(3)]
        assert judged.values(score_N) == pytest.approx(expected, abs=1e-12)


def test_the_score_has_the_bits_of_the_fused_score(table) -> None:
    rows = read(table, np.arange(len(table)))
    values_NK = np.column_stack([table[f"pred.{objective.name}"].to_numpy() for objective in OBJECTIVES])
    weights_K = np.array([objective.fusion_weight for objective in OBJECTIVES])
    assert np.array_equal(rows.score(weights_K), fused_score(values_NK, OBJECTIVES))


def test_some_of_the_rows_are_those_rows_read_alone(table) -> None:
    whole, at_N = read(table, np.arange(len(table))), np.arange(0, len(table), 3)
    taken, alone = whole.take(at_N), read(table, at_N)
    np.testing.assert_allclose(taken.terms_NK, alone.terms_NK, rtol=1e-12)
    assert np.array_equal(taken.labels_NK, alone.labels_NK, equal_nan=True)
    assert np.array_equal(taken.list_N, alone.list_N)
    assert (taken.users, taken.lists) == (len(np.unique(whole.user_N[at_N])), len(np.unique(whole.list_N[at_N])))


def test_the_spread_of_a_term_is_its_standard_deviation_and_1_where_it_is_constant(table) -> None:
    constant = table.set_column(table.column_names.index("pred.cost"), "pred.cost", pa.array([2.5] * len(table)))
    rows = read(constant)
    in_test = np.flatnonzero(np.array(table["split"].to_pylist()) == "test")
    click_N = np.log(np.maximum(table["pred.click"].to_numpy()[in_test], 1e-6))  # the term of a binary objective
    mean = click_N.sum() / len(click_N)
    assert rows.spread()[0] == pytest.approx(np.sqrt(((click_N - mean) ** 2).sum() / len(click_N)))
    assert rows.spread()[2] == 1.0


def test_a_column_without_a_number_is_the_one_that_is_named(table) -> None:
    ranked = table.append_column("rank.click", pa.array(np.where(np.arange(len(table)) == 7, np.nan, 0.5)))
    with pytest.raises(DataError, match=r"column rank\.click: found null, NaN or infinite"):
        read(ranked, np.arange(len(table)))


def test_a_row_without_a_prediction_has_no_place(table) -> None:
    missing = table.set_column(table.column_names.index("pred.hide"), "pred.hide", pa.array([None, *[0.5] * (len(table) - 1)]))
    with pytest.raises(DataError, match=r"pred\.hide: found null, NaN or infinite.* 1 of 600 rows"):
        read(missing, np.arange(len(table)))
