"""Predictions with one group of features permuted, held against predicting examples whose columns were permuted by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recsys import schema
from recsys.config import Pipeline
from recsys.errors import ArtifactError, DataError
from recsys.evaluation import falls
from recsys.progress import Console
from recsys.scoring import load, permuted, score
from recsys.scoring.permutation import MOST_PERMUTATIONS
from tests.staged import ORIGIN

from .conftest import DAYS, KINDS, Toy, encoded_of, kinds_pipeline, pipeline_of, run_train, tables, write_examples

QUIET = Console(quiet=True)
ROWS = 300  # of a day of the toy feed
PREDICTED = ("pred.click", "pred.watch", "pred.like")


def spoiled(pipeline: Pipeline, examples: Path, encoded: Path, run: Path, rows: int) -> tuple[pa.Table, dict[str, list[pa.Table]]]:
    found = permuted(pipeline, examples, encoded, run, rows=rows, console=QUIET)
    return found.base, dict(found.groups)


def values(table: pa.Table) -> np.ndarray:
    return np.column_stack([table[name].to_numpy() for name in PREDICTED])


def with_constant(table: pa.Table, column: str, value: Any) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, pa.array([value] * len(table)))


@pytest.fixture(scope="module")
def two() -> Pipeline:
    return pipeline_of(model={"members": 2})


@pytest.fixture
def run(run_of_two: Path) -> Path:
    """A trained run with two members."""
    return run_of_two


def test_nothing_permuted_gives_the_predictions_of_the_stage_score(toy: Toy, run: Path, two: Pipeline) -> None:
    score(two, toy.examples, toy.encoded, run, run / "predictions.parquet", ORIGIN, console=QUIET)
    scored = pq.read_table(run / "predictions.parquet")
    test = scored.filter(pc.equal(scored["split"], "test"))
    base, _ = spoiled(two, toy.examples, toy.encoded, run, ROWS)
    for name in ("event_id", "user_id", "label.click", "label.watch", "label.like"):
        assert base[name].combine_chunks().equals(test[name].combine_chunks()), name
    np.testing.assert_allclose(values(base), values(test), rtol=1e-5)


def test_a_permuted_group_is_the_prediction_of_examples_with_permuted_columns(toy: Toy, run: Path, two: Pipeline) -> None:
    _, groups = spoiled(two, toy.examples, toy.encoded, run, ROWS)
    order_N = np.random.default_rng([two.seed, 1]).permutation(ROWS)
    test, scorer = toy.tables[DAYS[5]], load(run / "model")
    prefixes = {name: f"{name}." for name in ("item", "context", "history", "agg.user_id", "agg.item_id")}
    prefixes |= {name: name for name in ("bias.position", "bias.device")}
    assert set(groups) == set(prefixes)
    for name, prefix in prefixes.items():
        columns = {column: test[column].take(order_N) if column.startswith(prefix) else test[column] for column in test.column_names}
        expected = scorer.predict(pa.table(columns), position="logged")
        np.testing.assert_allclose(values(groups[name][0]), expected, rtol=1e-5, err_msg=name)
        assert groups[name][0]["label.click"].equals(test["label.click"])


def test_a_sample_is_a_function_of_the_seed(toy: Toy, run: Path, two: Pipeline) -> None:
    first, again = (spoiled(two, toy.examples, toy.encoded, run, 200) for _ in range(2))
    other = spoiled(two.model_copy(update={"seed": 8}), toy.examples, toy.encoded, run, 200)[0]
    assert first[0].equals(again[0])
    assert all(first[1][name][0].equals(again[1][name][0]) for name in first[1])
    drawn = first[0]["event_id"].to_pylist()
    assert len(drawn) == 200
    assert drawn != other["event_id"].to_pylist()
    assert drawn == [event for event in toy.tables[DAYS[5]]["event_id"].to_pylist() if event in set(drawn)]


@pytest.mark.parametrize(("rows", "times"), [(200, 1), (599, 1), (600, 2), (100 * ROWS, MOST_PERMUTATIONS)])
def test_a_small_sample_is_permuted_several_times(toy: Toy, run: Path, two: Pipeline, rows: int, times: int) -> None:
    found = permuted(two, toy.examples, toy.encoded, run, rows=rows, console=QUIET)
    _, each = next(found.groups)
    assert len(each) == times
    assert len({tuple(table["pred.click"].to_pylist()) for table in each}) == times


@pytest.mark.words
def test_values_stay_within_their_day(toy: Toy, run: Path) -> None:
    pipeline = pipeline_of(
        model={"members": 2}, split={"train": (DAYS[0], DAYS[2]), "validation": (DAYS[3], DAYS[3]), "test": (DAYS[4], DAYS[5])}
    )
    scorer = load(run / "model")
    for rows in (600, 400):
        base, groups = spoiled(pipeline, toy.examples, toy.encoded, run, rows)
        start = 0
        for number, day in enumerate(DAYS[4:]):
            table = toy.tables[day]
            there = table.filter(pc.is_in(table["event_id"], value_set=base["event_id"].combine_chunks()))
            got = values(groups["bias.position"][0])[start : start + len(there)]
            start += len(there)
            # each row with each of the day's positions: the row's prediction must be among them
            candidates = [scorer.predict(with_constant(there, "bias.position", position), position="logged") for position in range(1, 6)]
            chosen = np.argmin([np.abs(candidate[:, 0] - got[:, 0]) for candidate in candidates], axis=0)
            counts = np.bincount(chosen, minlength=5)
            assert counts.tolist() == np.bincount(there["bias.position"].to_numpy() - 1, minlength=5).tolist(), (rows, number)
        assert start == rows


def fall_of(pipeline: Pipeline, examples: Path, encoded: Path, run: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = permuted(pipeline, examples, encoded, run, rows=3 * ROWS, console=QUIET)
    rows = falls(found.base, found.groups, pipeline.objective, run="r", split=found.split, bootstrap=100, confidence=0.95, seed=7)
    assert rows.schema.equals(schema.IMPORTANCE)
    return {(row["objective"], row["feature_group"]): row for row in rows.to_pylist()}


def test_the_planted_signal_dominates_and_what_cannot_be_seen_falls_by_exactly_nothing(tmp_path: Path) -> None:
    constant = {day: with_constant(table, "context.tab", "a") for day, table in tables().items()}
    pipeline = pipeline_of(train={"batch_size": 64, "day_passes": 4, "refit": False})
    examples, encoded = encoded_of(tmp_path, constant, pipeline)
    run_train(pipeline, encoded, tmp_path / "run")
    found = fall_of(pipeline, examples, encoded, tmp_path / "run")
    click = {group: row for (objective, group), row in found.items() if objective == "click"}
    assert max(click, key=lambda group: click[group]["value"]) == "agg.user_id"
    assert click["agg.user_id"]["low"] > 0.05
    for objective in ("click", "watch", "like"):
        row = found[objective, "context"]
        assert (row["value"], row["low"], row["high"]) == (0.0, 0.0, 0.0)
    unseen = found["like", "bias.position"]  # a satisfaction is not told the position
    assert (unseen["value"], unseen["low"], unseen["high"]) == (0.0, 0.0, 0.0)
    assert found["click", "bias.position"]["value"] > 0


@pytest.mark.words
def test_every_kind_of_label_has_a_fall_and_a_length_goes_with_its_item(kinds_toy: Toy, tmp_path: Path) -> None:
    pipeline = kinds_pipeline()
    run_train(pipeline, kinds_toy.encoded, tmp_path / "run")
    found = fall_of(pipeline, kinds_toy.examples, kinds_toy.encoded, tmp_path / "run")
    assert {objective for objective, _ in found} == {*(kind["name"] for kind in KINDS), "like|click"}
    assert all(row["value"] is not None for row in found.values())
    assert found["watch", "item"]["low"] > 0  # a quantile of the length: another row's length says little


def test_damaged_inputs_are_told(toy: Toy, run: Path, two: Pipeline, tmp_path: Path) -> None:
    short = write_examples(tmp_path / "examples", {DAYS[5]: toy.tables[DAYS[5]].slice(0, 299)})
    with pytest.raises(ArtifactError, match="found 299 rows, expected the 300"):
        permuted(two, short, toy.encoded, run, rows=ROWS, console=QUIET)
    nowhere = two.model_copy(update={"split": two.split.model_copy(update={"validation": None, "test": None})})
    with pytest.raises(DataError, match="no validation and no test day"):
        permuted(nowhere, toy.examples, toy.encoded, run, rows=ROWS, console=QUIET)


def test_without_test_days_the_validation_days_are_asked(toy: Toy, run: Path, two: Pipeline) -> None:
    blind = two.model_copy(update={"split": two.split.model_copy(update={"test": None})})
    found = permuted(blind, toy.examples, toy.encoded, run, rows=1000, console=QUIET)
    assert found.split == "validation"
    assert len(found.base) == 600
