"""The stage score and the library's Scorer: the right rows, the right position, and nothing from a damaged folder."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recsys import artifacts
from recsys.config import Pipeline
from recsys.encoding import Encoder
from recsys.errors import ArtifactError, DataError
from recsys.predictions import train_means
from recsys.progress import Console
from recsys.scoring import load, score
from tests.staged import ORIGIN

from .conftest import DAYS, Toy, pipeline_of, run_train, write_examples

score_module = importlib.import_module("recsys.scoring.scorer")  # the package re-exports a function of that name
QUIET = Console(quiet=True)


def _scored(pipeline: Pipeline, toy: Toy, run: Path) -> pa.Table:
    score(pipeline, toy.examples, toy.encoded, run, run / "predictions.parquet", ORIGIN, console=QUIET)
    return pq.read_table(run / "predictions.parquet")


def _values(table: pa.Table, prefix: str) -> np.ndarray:
    return np.column_stack([table[f"{prefix}.{name}"].to_numpy() for name in ("click", "watch", "like")])


@pytest.fixture
def run(run_of_two: Path) -> Path:
    """A trained run with two members."""
    return run_of_two


def test_predictions_hold_the_rows_of_the_examples_with_what_they_carry(toy: Toy, run: Path) -> None:
    pipeline = pipeline_of(model={"members": 2})
    predictions = _scored(pipeline, toy, run)
    expected = pa.concat_tables([toy.tables[day] for day in DAYS[3:]])
    for name in ("event_id", "user_id", "item_id", "timestamp", "slice.tab", "label.click", "label.watch", "label.like"):
        assert predictions[name].combine_chunks().equals(expected[name].combine_chunks())
    assert predictions["position"].to_pylist() == expected["bias.position"].to_pylist()
    assert predictions["day"].to_pylist() == [day for day in DAYS[3:] for _ in range(300)]
    assert predictions["split"].to_pylist() == ["validation"] * 600 + ["test"] * 300
    assert train_means(predictions.schema) == json.loads((run / "model/train_means.json").read_text())
    assert artifacts.is_fresh(run / "predictions.parquet", ORIGIN.fingerprint)


def test_test_days_are_predicted_by_the_model_and_validation_days_as_kept(toy: Toy, run: Path) -> None:
    predictions = _scored(pipeline_of(model={"members": 2}), toy, run)
    scorer = load(run / "model")
    test = predictions.filter(pc.equal(predictions["split"], "test"))
    np.testing.assert_allclose(_values(test, "pred"), scorer.predict(toy.tables[DAYS[5]], position="logged"), rtol=1e-5)
    np.testing.assert_allclose(_values(test, "rank"), scorer.predict(toy.tables[DAYS[5]]), rtol=1e-5)
    validation = predictions.filter(pc.equal(predictions["split"], "validation"))
    kept = pq.read_table(run / "model/validation.parquet")
    for prefix in ("pred", "rank"):
        assert np.array_equal(_values(validation, prefix), _values(kept, prefix))
    refitted = scorer.predict(toy.tables[DAYS[3]], position="logged")
    assert np.abs(_values(validation, "pred")[:300] - refitted).max() > 1e-4, "the refit is another model"


def test_without_a_refit_the_kept_predictions_are_the_models_own(toy: Toy, tmp_path: Path) -> None:
    pipeline = pipeline_of(train={"refit": False})
    run_train(pipeline, toy.encoded, tmp_path / "run")
    validation = _scored(pipeline, toy, tmp_path / "run").slice(0, 300)
    scorer, table = load(tmp_path / "run/model"), toy.tables[DAYS[3]]
    unplaced = table.set_column(table.column_names.index("bias.position"), "bias.position", pa.nulls(len(table), pa.int64()))
    for prefix, of in (("pred", table), ("rank", unplaced)):
        np.testing.assert_allclose(_values(validation, prefix), scorer.predict(of, position="logged"), rtol=1e-5)
    assert np.abs(_values(validation, "pred") - _values(validation, "rank"))[:, 0].max() > 0.01, "the position says something"


def test_ranking_does_not_know_the_position_and_a_prediction_of_the_log_does(toy: Toy, run: Path) -> None:
    scorer, table = load(run / "model"), toy.tables[DAYS[5]]
    place = table.column_names.index("bias.position")
    moved = table.set_column(place, "bias.position", pa.array(np.full(len(table), 5)))
    gone = table.set_column(place, "bias.position", pa.nulls(len(table), pa.int64()))
    assert np.array_equal(scorer.predict(moved), scorer.predict(table))
    assert np.array_equal(scorer.predict(gone, position="logged"), scorer.predict(table))
    assert not np.array_equal(scorer.predict(moved, position="logged"), scorer.predict(table, position="logged"))


@pytest.mark.words
def test_a_blind_model_has_no_ranking_of_its_own(toy: Toy, tmp_path: Path) -> None:
    pipeline = pipeline_of(model={"position": "blind"})
    run_train(pipeline, toy.encoded, tmp_path / "run")
    names = _scored(pipeline, toy, tmp_path / "run").column_names
    assert not any(name.startswith("rank.") for name in names)
    assert not load(tmp_path / "run/model").sees_position


def test_labels_are_not_needed_to_predict_and_the_table_stays_as_it_was(toy: Toy, run: Path) -> None:
    table = toy.tables[DAYS[5]]
    copy = pa.table(table.to_pydict(), schema=table.schema)
    scorer = load(run / "model")
    without = table.drop_columns([name for name in table.column_names if name.startswith("label.")])
    assert np.array_equal(scorer.predict(without), scorer.predict(table))
    assert table.equals(copy)
    assert scorer.predict(table.slice(0, 0)).shape == (0, 3)


def test_rows_are_encoded_once_for_all_members(toy: Toy, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, table = load(run / "model"), toy.tables[DAYS[5]]
    expected = scorer.predict(table)
    encoded: list[int] = []
    original = Encoder.transform

    def transform(encoder: Encoder, part: pa.Table, **keywords: bool) -> pa.RecordBatch:
        encoded.append(len(part))
        return original(encoder, part, **keywords)

    monkeypatch.setattr(Encoder, "transform", transform)
    monkeypatch.setattr(score_module, "PREDICTION_ROWS", 128)
    np.testing.assert_allclose(scorer.predict(table), expected, rtol=1e-5)
    assert encoded == [128, 128, 44]


def test_expected_values_are_probabilities_and_durations(toy: Toy, run: Path) -> None:
    predicted = load(run / "model").predict(toy.tables[DAYS[5]])
    assert ((predicted[:, [0, 2]] > 0) & (predicted[:, [0, 2]] < 1)).all()
    assert (predicted[:, 1] >= 0).all()
    assert [objective.name for objective in load(run / "model").objectives] == ["click", "watch", "like"]


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "encoder/layout.json", "validation.parquet", "learned.json", "train_means.json"]
)
@pytest.mark.parametrize("damage", ["truncated", "flipped", "gone"])
def test_a_damaged_model_folder_is_refused_by_the_files_name(toy: Toy, tmp_path: Path, run: Path, name: str, damage: str) -> None:
    model = tmp_path / "model"
    for path in run.joinpath("model").rglob("*"):
        if path.is_file():
            (model / path.relative_to(run / "model")).parent.mkdir(parents=True, exist_ok=True)
            (model / path.relative_to(run / "model")).write_bytes(path.read_bytes())
    content = (model / name).read_bytes()
    match damage:
        case "truncated":
            (model / name).write_bytes(content[:-1])
        case "flipped":
            (model / name).write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
        case "gone":
            (model / name).unlink()
    with pytest.raises(ArtifactError, match=name.replace(".", r"\.")):
        load(model)


def test_a_run_without_a_model_is_refused(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="Fix: run that stage"):
        _scored(pipeline_of(), toy, tmp_path / "nothing")


def test_examples_of_other_rows_than_were_encoded_are_refused(toy: Toy, tmp_path: Path, run: Path) -> None:
    short = {day: table.slice(0, 200) for day, table in toy.tables.items()}
    examples = write_examples(tmp_path / "examples", short)
    with pytest.raises(ArtifactError, match="found 200 rows, expected the 300"):
        score(pipeline_of(model={"members": 2}), examples, toy.encoded, run, run / "predictions.parquet", ORIGIN, console=QUIET)


def test_nothing_to_score_is_an_error(toy: Toy, tmp_path: Path) -> None:
    pipeline = pipeline_of(split={"train": (DAYS[0], DAYS[2])})
    run_train(pipeline, toy.encoded, tmp_path / "run")
    with pytest.raises(DataError, match="found no validation and no test day"):
        _scored(pipeline, toy, tmp_path / "run")


def test_a_missing_feature_is_named(toy: Toy, run: Path) -> None:
    scorer: Callable[[pa.Table], np.ndarray] = load(run / "model").predict
    with pytest.raises(ArtifactError, match=r"item\.tag"):
        scorer(toy.tables[DAYS[5]].drop_columns(["item.tag"]))
