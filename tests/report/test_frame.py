import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recsys import schema
from recsys.report import frame
from recsys.report.chance import by_chance
from recsys.report.tables.cells import Cell, grid
from recsys.report.tables.frame import by_slice, compared, falls, short_names, splits, whole


def row(**changes) -> dict:
    base = {
        "run": "r", "objective": "click", "group": "engagement", "metric": "auc", "split": "test", "day": None, "slice": "all",
        "slice_value": None, "against": None, "value": 0.7, "low": 0.6, "high": 0.8, "method": "bootstrap", "n": 10, "n_positive": 3,
        "coverage": 1.0, "seed": 0, "better": "higher", "reason": None,
    }  # fmt: skip
    return base | changes


def table(*rows: dict) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=schema.METRICS)


def difference(value: float, low: float, high: float, **changes) -> dict:
    return row(against="b", value=value, low=low, high=high, **changes)


def test_holds_every_number_of_the_long_rows_once(metrics) -> None:
    found = frame(metrics)
    long = metrics.to_pandas()
    keys = ["split", "objective", "metric", "day", "slice", "slice_value"]
    differences = long[long["against"].notna()].sort_values([*keys, "against"])["value"].to_numpy()
    np.testing.assert_array_equal(found.sort_values([*keys, "against"])["difference"].to_numpy(), differences)
    values = long[long["against"].isna()].sort_values(keys)["value"].to_numpy()
    np.testing.assert_array_equal(found.drop_duplicates(keys).sort_values(keys)["value"].to_numpy(), values)
    assert compared(found) == ["popularity-aaaaaaaaaaaa", "gbdt-bbbbbbbbbbbb"]
    assert splits(found) == ["test", "validation"]


@pytest.mark.parametrize(
    ("low", "high", "better", "verdict"),
    [
        (0.01, 0.03, "higher", "better"),
        (0.01, 0.03, "lower", "worse"),
        (-0.03, -0.01, "higher", "worse"),
        (-0.03, -0.01, "lower", "better"),
        (-0.01, 0.03, "higher", "unclear"),
        (0.0, 0.03, "higher", "unclear"),
        (0.01, 0.03, None, None),
        (None, None, "higher", None),
    ],
)
def test_a_verdict_needs_an_interval_on_one_side_of_0_and_a_direction(low, high, better, verdict) -> None:
    found = frame(table(row(better=better), difference(0.02, low, high, better=better)))
    assert found["verdict"].tolist() == [verdict]


def test_without_baselines_there_is_one_row_a_number() -> None:
    found = frame(table(row(), row(metric="log_loss")))
    assert found["against"].isna().all()
    assert found["metric"].tolist() == ["auc", "log_loss"]


def test_main_metrics_and_the_test_come_first() -> None:
    found = frame(table(row(metric="log_loss", split="validation"), row(split="validation"), row(metric="gauc"), row()))
    assert list(zip(found["split"], found["metric"], strict=True)) == [
        ("test", "auc"), ("test", "gauc"), ("validation", "auc"), ("validation", "log_loss"),
    ]  # fmt: skip


def test_an_unknown_slice_value_is_not_the_empty_one() -> None:
    sliced = [row(slice="tab", slice_value=value, value=v) for value, v in ((None, 0.1), ("", 0.2))]
    both = [difference(d, d, d, slice="tab", slice_value=value) for value, d in ((None, 1.0), ("", 2.0))]
    found = by_slice(frame(table(*sliced, *both)))
    assert list(zip(found["value"], found["difference"], strict=True)) == [(0.1, 1.0), (0.2, 2.0)]
    assert [line.slice_value for line in grid(found).lines] == [None, ""]


def test_the_deepest_fall_against_a_baseline_comes_first_whatever_the_direction() -> None:
    rows = [row(), row(metric="rmse", better="lower", value=10.0)]
    for name, auc, rmse in (("a", 0.01, 0.5), ("b", -0.07, -1.0), ("c", 0.0, 3.0)):
        rows += [row(slice="tab", slice_value=name), difference(auc, auc, auc, slice="tab", slice_value=name)]
        lower = {"metric": "rmse", "better": "lower", "slice": "tab", "slice_value": name}
        rows += [row(**lower), difference(rmse, rmse, rmse, **lower)]
    found = falls(frame(table(*rows)))
    assert list(zip(found["metric"], found["slice_value"], strict=True))[:3] == [("rmse", "c"), ("auc", "b"), ("rmse", "a")]


def test_a_fall_that_the_interval_shows_comes_before_a_deeper_one_that_it_does_not() -> None:
    rows = [row()]
    for name, value, half in (("few rows", -0.3, 0.5), ("many rows", -0.02, 0.01), ("unharmed", 0.1, 0.01)):
        rows += [row(slice="tab", slice_value=name), difference(value, value - half, value + half, slice="tab", slice_value=name)]
    assert falls(frame(table(*rows)))["slice_value"].tolist() == ["many rows", "few rows", "unharmed"]


def test_a_fall_without_an_interval_comes_behind_all_that_have_one() -> None:
    rows = [row()]
    for name, value, bounds in (("one positive", -0.4, (None, None)), ("few rows", -0.1, (-0.3, 0.1)), ("unharmed", 0.1, (0.09, 0.11))):
        rows += [row(slice="tab", slice_value=name), difference(value, *bounds, slice="tab", slice_value=name)]
    assert falls(frame(table(*rows)))["slice_value"].tolist() == ["few rows", "unharmed", "one positive"]


def test_slices_without_a_value_come_last_each_once() -> None:
    rows = [row()]
    for name, value in (("a", None), ("b", -0.01), ("c", None), ("d", 0.01)):
        rows += [row(slice="tab", slice_value=name), difference(value, value, value, slice="tab", slice_value=name)]
    assert falls(frame(table(*rows)))["slice_value"].tolist() == ["b", "d", "a", "c"]


def test_without_baselines_the_fall_is_against_the_whole() -> None:
    rows = [row(value=0.7), *(row(slice="tab", slice_value=name, value=value) for name, value in (("a", 0.71), ("b", 0.5)))]
    assert falls(frame(table(*rows)))["slice_value"].tolist() == ["b", "a"]


def test_says_which_columns_are_missing_and_leaves_its_input(metrics) -> None:
    with pytest.raises(ValueError, match="low, better"):
        frame(metrics.drop_columns(["low", "better"]))
    before = metrics.to_pandas()
    frame(metrics)
    pd.testing.assert_frame_equal(metrics.to_pandas(), before)


def test_short_names_stay_different() -> None:
    assert short_names(["gbdt-1a2b3c", "popularity-2b3c4d"]) == {"gbdt-1a2b3c": "gbdt", "popularity-2b3c4d": "popularity"}
    assert short_names(["mmoe-1a2b3c", "mmoe-2b3c4d"]) == {name: name for name in ("mmoe-1a2b3c", "mmoe-2b3c4d")}


def test_a_name_that_somebody_gave_stays_whole() -> None:
    """It may end in letters of a fingerprint: cut there, a day would be a month."""
    names = ["night-2024-01-05", "mmoe-2", "last-added", "one-cafe"]
    assert short_names(names) == {name: name for name in names}


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell(0.74123, 0.7331, 0.7493), ".7412 [.7331, .7493]"),
        (Cell(0.0123, 0.01, 0.0146, verdict="better", signed=True), "+.0123 [+.0100, +.0146] ▲"),
        (Cell(-0.0123, -0.0146, 0.01, verdict="unclear", signed=True), "-.012 [-.015, +.010] ·"),
        (Cell(31234.56, 30000.0, 32000.0), "31235 [30000, 32000]"),
        (Cell(1.0, None, None), "1.0000"),
        (Cell(None, None, None, reason="one class"), "–"),
        (Cell(0.0, 0.0, 0.0), "0 [0, 0]"),
        (Cell(0.0, 0.0, 0.0, verdict="unclear", signed=True), "0 [0, 0] ·"),
        (Cell(0.5, 0.5, 0.5), ".5 [.5, .5]"),
        (Cell(-0.0251, -0.0474, -0.0003, verdict="worse", signed=True), "-.0251 [-.0474, -.0003] ▼"),
        (Cell(-0.03, -0.05, -0.00001, verdict="worse", signed=True), "-.03000 [-.05000, -.00001] ▼"),
        (Cell(-0.00002, -0.0051, 0.0049, verdict="unclear", signed=True), ".0000 [-.0051, +.0049] ·"),
        (Cell(-0.02, -0.05, 0.0004, verdict="unclear", signed=True), "-.020 [-.050, .000] ·"),
        (Cell(10.5, 10.5, 10.5), "10.5 [10.5, 10.5]"),
        (Cell(-120.25, -120.25, -120.25, signed=True), "-120.25 [-120.25, -120.25]"),
        (Cell(100.0, 100.0, 100.0), "100 [100, 100]"),
        (Cell(0.524567, None, None, reason="no interval: too few users"), ".52"),
        (Cell(0.68764, None, None), ".6876"),
        (Cell(1.0234e31, 9.8123e30, 1.0612e31), "1.023e31 [9.81e30, 1.061e31]"),
        (Cell(-1.0234e31, -2e31, -3e30, verdict="worse", signed=True), "-1.02e31 [-2.00e31, -3.0e30] ▼"),
        (Cell(1.0234e31, None, None), "1.0234e31"),
        (Cell(1.0234e31, None, None, reason="no interval: too few users"), "1.02e31"),
        (Cell(1.05e10, 1.05e10, 1.05e10), "1.05e10 [1.05e10, 1.05e10]"),
        (Cell(999_999_999.0, 9e8, 1.1e9), "999999999 [900000000, 1.10e9]"),
    ],
)
def test_a_number_has_two_digits_of_its_interval(cell: Cell, text: str) -> None:
    assert str(cell) == text


def test_whole_leaves_out_days_and_slices(metrics) -> None:
    found = whole(frame(metrics))
    assert found["day"].isna().all()
    assert set(found["slice"]) == {"all"}


@pytest.mark.parametrize(("intervals", "about"), [(1, "0.05"), (5, "0.25"), (25, "1"), (400, "20")])
def test_the_number_by_chance_is_written_without_an_exponent(intervals: int, about: str) -> None:
    assert by_chance(intervals, 0.95) == f"By chance alone, about {about} of {intervals} intervals would exclude 0."
