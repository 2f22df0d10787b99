"""What weights, levels and joint labels are to a baseline."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys import predictions
from recsys.baselines import LEARNED, fit_and_score
from recsys.baselines.lightgbm_trees import LightGBM
from recsys.baselines.popularity import SHRINKAGE
from recsys.baselines.scikit_trees import Scikit
from recsys.baselines.trees import Labelled, Trees
from recsys.config import Pipeline
from recsys.errors import DataError
from recsys.objectives import Objective
from recsys.progress import Console
from tests.staged import ORIGIN

KINDS = [
    {"name": "click", "label": "clicked = 1"},
    {"name": "like", "label": "liked = 1", "given": "click", "group": "satisfaction"},
    {"name": "grade", "kind": "ordinal", "label": "grade", "levels": [1, 2, 3, 4], "group": "satisfaction"},
    {"name": "watch", "kind": "watch_time", "label": "seconds", "method": "weighted_logistic"},
]


@pytest.fixture(scope="module")
def kinds(pipeline, tables, write_log, tmp_path_factory):
    """A pipeline of such objectives on rows that count differently, its tables, and the log that holds them."""
    raw = pipeline.model_dump(mode="json")
    train = {"weight": "counts", "negatives": {"objective": "click", "keep": 0.01}}
    changed = Pipeline.model_validate({**raw, "objective": KINDS, "train": train})
    days = {}
    for number, (day, table) in enumerate(tables.items()):
        rng, rows = np.random.default_rng(number), len(table)
        item, click = table["item_id"].to_numpy(), table["label.click"].to_numpy()
        grade = np.clip(np.round(2.5 + (item % 4 - 1.5) / 1.5 + 0.5 * rng.normal(size=rows)), 1, 4)
        more = {
            "weight": np.where(item % 2 == 0, rng.choice([0.0, 2.0], rows), 1.0),
            "label.like": click * (rng.random(rows) < np.where(item % 5 == 0, 0.8, 0.1)),
            "label.grade": np.where(rng.random(rows) < 0.5, grade, np.nan),
        }
        for name, values in more.items():
            table = table.append_column(name, pa.array(values, pa.float32(), from_pandas=True))
        for name in ("known.like", "known.grade"):
            table = table.append_column(name, table["timestamp"])
        days[day] = table
    return changed, days, write_log(tmp_path_factory.mktemp("kinds"), changed, days)


def scored(kind: str, pipeline: Pipeline, log, run: Path) -> pa.Table:
    fit_and_score(kind, pipeline, log.examples, log.encoded, run / "predictions.parquet", ORIGIN, console=Console(quiet=True))
    return pq.read_table(run / "predictions.parquet")


def frame(tables: dict[str, pa.Table], days: list[str]) -> pd.DataFrame:
    return pa.concat_tables([tables[day] for day in days]).to_pandas()


@pytest.mark.words
@pytest.mark.parametrize("kind", list(LEARNED))
def test_an_ordinal_objective_gets_its_expected_level_and_a_conditional_one_its_form(kinds, kind: str, tmp_path) -> None:
    pipeline, tables, log = kinds
    table = scored(kind, pipeline, log, tmp_path)
    assert not [name for name in table.column_names if "=" in name], "no probabilities of levels"
    found = table.to_pandas()
    known = found[found["label.grade"].notna()]
    assert 1 <= found["pred.grade"].min() < found["pred.grade"].max() <= 4.5
    assert np.corrcoef(known["pred.grade"], known["label.grade"])[0, 1] > 0.5
    assert found["pred.like|click"].between(0, 1).all()
    means = predictions.train_means(table.schema)
    train = frame(tables, pipeline.split.days("train"))
    assert means["like|click"] == pytest.approx(train.loc[train["label.click"] == 1, "label.like"].mean())
    assert means["grade"] == pytest.approx(train["label.grade"].mean()), "a background of all rows, each counting once"


def test_popularity_is_a_weighted_mean_shrunk_by_so_many_rows_of_mean_weight(kinds, tmp_path) -> None:
    pipeline, tables, log = kinds
    found = scored("popularity", pipeline, log, tmp_path).to_pandas()
    train = frame(tables, pipeline.split.days("train"))
    train = train[train["label.grade"].notna()]
    train["weight"] /= train.loc[train["weight"] > 0, "weight"].mean()
    weighted = (train["weight"] * train["label.grade"]).groupby(train["item_id"]).sum()
    weight = train["weight"].groupby(train["item_id"]).sum()
    base = np.average(train["label.grade"], weights=train["weight"])
    expected = (weighted + SHRINKAGE * base) / (weight + SHRINKAGE)
    validation = found[found["split"] == "validation"]
    np.testing.assert_allclose(validation["pred.grade"], validation["item_id"].map(expected), rtol=1e-6)


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[] if kind == "popularity" else pytest.mark.words) for kind in LEARNED])
def test_only_the_ratios_of_weights_count(kinds, kind: str, write_log, tmp_path) -> None:
    """In millionths a leaf's penalty and an item's shrinkage were all there was: each baseline predicted the mean."""
    pipeline, tables, log = kinds
    place = tables[pipeline.split.days("train")[0]].column_names.index("weight")
    small = {day: pa.array(table["weight"].to_numpy() * 2.0**-20, pa.float32()) for day, table in tables.items()}
    days = {day: table.set_column(place, "weight", small[day]) for day, table in tables.items()}
    same = scored(kind, pipeline, write_log(tmp_path / "log", pipeline, days), tmp_path / "run").to_pandas()
    whole = scored(kind, pipeline, log, tmp_path / "whole").to_pandas()
    for name in ("pred.click", "pred.grade", "pred.watch"):
        np.testing.assert_allclose(same[name], whole[name], rtol=1e-5)


@pytest.mark.parametrize("library", [Scikit, LightGBM])
def test_trees_learn_rows_by_their_weight(rng, library) -> None:
    """A row of weight 2 is two rows; so says the mean that a tree without a signal predicts."""
    matrix = rng.normal(size=(4000, 3)).astype(np.float32)
    label = (rng.random(4000) < 0.3).astype(float)
    weight = np.where(label == 1, 2.0, 1.0)
    objective = Objective(name="o", label="x")
    for learned, expected in (
        (Labelled(matrix, label), label.mean()),
        (Labelled(matrix, label, weight), np.average(label, weights=weight)),
    ):
        first, last = learned.split(3000)
        predicted = Trees(objective, library(), seed=1).choose(first, last).predict(matrix)
        assert predicted.mean() == pytest.approx(expected, rel=0.05)


@pytest.mark.words
@pytest.mark.parametrize("library", [Scikit, LightGBM])
def test_the_curve_of_watch_time_keeps_the_weighted_mean(rng, library) -> None:
    matrix = rng.normal(size=(5000, 2)).astype(np.float32)
    seconds = np.where(rng.random(5000) < 0.5, np.exp(2 + matrix[:, 0] + 0.5 * rng.normal(size=5000)), 0.0)
    weight = np.where(matrix[:, 1] > 0, 3.0, 0.5)
    learned = Labelled(matrix, seconds, weight)
    predicted = Trees(Objective(name="w", kind="watch_time", label="x"), library(), seed=1).choose(learned, learned).predict(matrix)
    assert np.average(predicted, weights=weight) == pytest.approx(np.average(seconds, weights=weight), rel=0.05)


@pytest.mark.parametrize("kind", list(LEARNED))
def test_rows_of_weight_0_are_not_learned_and_thinning_is_not_for_baselines(kinds, kind: str, write_log, tmp_path) -> None:
    """With their labels turned round predictions stay; with all negatives kept too."""
    pipeline, tables, log = kinds
    turned = {}
    for day, table in tables.items():
        is_out = table["weight"].to_numpy() == 0
        click = np.where(is_out, 1 - table["label.click"].to_numpy(), table["label.click"].to_numpy()).astype(np.float32)
        turned[day] = table.set_column(table.column_names.index("label.click"), "label.click", pa.array(click))
    other = write_log(tmp_path / "turned", pipeline, turned)
    without = pipeline.model_copy(update={"train": pipeline.train.model_copy(update={"negatives": None})})
    one, two = scored(kind, pipeline, log, tmp_path / "one"), scored(kind, without, other, tmp_path / "two")
    np.testing.assert_array_equal(one["pred.click"].to_numpy(), two["pred.click"].to_numpy())


@pytest.mark.parametrize("kind", list(LEARNED))
def test_an_objective_of_which_no_row_counts_is_named(kinds, kind: str, write_log, tmp_path) -> None:
    pipeline, tables, _ = kinds
    nothing = {day: table.set_column(table.column_names.index("weight"), "weight", pa.array(np.zeros(len(table), np.float32)))
               for day, table in tables.items()}  # fmt: skip
    with pytest.raises(DataError, match=r"label\.click: found no observed label .* expected at least one on a row of a weight above 0"):
        scored(kind, pipeline, write_log(tmp_path, pipeline, nothing), tmp_path / "run")
