"""What every baseline promises."""

import itertools
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from recsys import artifacts, predictions, schema
from recsys.baselines import LEARNED, fit_and_score, score_kept
from recsys.config import Pipeline
from recsys.days import Day
from recsys.errors import ArtifactError, ConfigError, DataError
from recsys.lineage import KeptFit
from recsys.progress import Console
from tests.staged import ORIGIN

from .conftest import DAYS, ROWS

day = date.fromisoformat
pytestmark = pytest.mark.parametrize("kind", ["popularity", "gbdt", pytest.param("lightgbm", marks=pytest.mark.words)])


def scored(kind: str, pipeline: Pipeline, log: Any, run: Path) -> pa.Table:
    fit_and_score(kind, pipeline, log.examples, log.encoded, run / "predictions.parquet", ORIGIN, console=Console(quiet=True))
    return pq.read_table(run / "predictions.parquet")


@pytest.fixture(scope="module")
def plain(pipeline: Pipeline, log: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    """Kind → what a baseline of it predicts on the log."""
    return {kind: scored(kind, pipeline, log, tmp_path_factory.mktemp(kind)) for kind in LEARNED}


def outputs(table: pa.Table, split: str) -> np.ndarray:
    rows = table.filter(pc.equal(table[schema.SPLIT], split))
    return np.column_stack([rows[name].to_numpy() for name in rows.column_names if name.startswith((schema.PREDICTION, schema.RANK))])


def shuffled_labels(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    order = pa.array(rng.permutation(len(table)))
    for place, name in enumerate(table.column_names):
        if name.startswith((schema.LABEL, schema.KNOWN)):
            table = table.set_column(place, name, table[name].take(order))
    return table


def without(pipeline: Pipeline, part: str) -> Pipeline:
    return pipeline.model_copy(update={"split": pipeline.split.model_copy(update={part: None})})


def without_refit(pipeline: Pipeline) -> Pipeline:
    return pipeline.model_copy(update={"train": pipeline.train.model_copy(update={"refit": False})})


def test_leaves_every_validation_and_test_row_as_a_verifiable_artifact(kind, pipeline, log, tables, tmp_path) -> None:
    table = scored(kind, pipeline, log, tmp_path)
    validation, test = pipeline.split.days("validation")[0], pipeline.split.days("test")[0]
    expected = pa.concat_tables([tables[validation], tables[test]])
    assert table[schema.EVENT_ID].equals(expected[schema.EVENT_ID])
    assert table["label.stars"].equals(expected["label.stars"])
    assert table[schema.POSITION].equals(expected["bias.position"])
    assert table["slice.topic"].equals(expected["slice.topic"])
    assert set(zip(table[schema.SPLIT].to_pylist(), table[schema.DAY].to_pylist(), strict=True)) == {
        ("validation", validation),
        ("test", test),
    }
    assert artifacts.verify(tmp_path / "predictions.parquet").fingerprint == ORIGIN.fingerprint


def test_predictions_are_finite_and_in_the_labels_own_range(kind, pipeline, plain) -> None:
    table = plain[kind]
    for objective in pipeline.objective:
        value = table[schema.prediction_column(objective.name)].to_numpy()
        assert np.isfinite(value).all()
        assert value.min() >= 0
        assert not objective.is_probability or value.max() <= 1


def test_means_of_predictions_are_means_of_labels(kind, pipeline, plain, tables) -> None:
    table = plain[kind]
    train = pa.concat_tables([tables[day] for day in pipeline.split.days("train")])
    stored = predictions.train_means(table.schema)
    for objective in pipeline.objective:
        label = train[schema.label_column(objective.name)].to_pandas()
        assert stored[objective.name] == pytest.approx(label.mean(), rel=1e-6)
        predicted = table[schema.prediction_column(objective.name)].to_numpy()
        assert predicted.mean() == pytest.approx(label.mean(), rel=0.15, abs=1e-9)


def test_finds_the_planted_click_effect(kind, plain) -> None:
    table = plain[kind]
    auc = roc_auc_score(table["label.click"].to_numpy(), table["pred.click"].to_numpy())
    assert auc > {"popularity": 0.6, "gbdt": 0.75, "lightgbm": 0.75}[kind]  # the item alone; item, lift, position and history (.82 at best)


def test_is_equal_for_a_seed(kind, pipeline, log, plain, tmp_path) -> None:
    assert scored(kind, pipeline, log, tmp_path).equals(plain[kind])


def test_test_labels_are_never_read(kind, pipeline, plain, tables, write_log, rng, tmp_path) -> None:
    test = pipeline.split.days("test")[0]
    other = write_log(tmp_path, pipeline, tables | {test: shuffled_labels(tables[test], rng)})
    before, after = plain[kind], scored(kind, pipeline, other, tmp_path / "run")
    assert not before["label.click"].equals(after["label.click"])
    np.testing.assert_array_equal(outputs(before, "test"), outputs(after, "test"))
    np.testing.assert_array_equal(outputs(before, "validation"), outputs(after, "validation"))


@pytest.fixture(scope="module", params=["validation", "test"])
def late_logs(request, pipeline, tables, write_log, tmp_path_factory) -> tuple[str, Any, Any]:
    """A border, a log with half of the labels of the days before known with it and the others of the last day a millisecond before, and
    one in which those that are known with it are others.
    """
    first = pipeline.split.days(request.param)[0]
    begin, earlier = Day(first, pipeline.zone).start, [day for day in tables if day < first]

    def late(rewritten: bool) -> dict[str, pa.Table]:
        days = dict(tables)
        for number, day in enumerate(earlier):
            is_late = np.random.default_rng(number).random(len(tables[day])) < 0.5
            in_time = begin - 1 if day == earlier[-1] else tables[day]["timestamp"].to_numpy()
            for objective in pipeline.objective:
                label = tables[day][f"label.{objective.name}"]
                other = pc.subtract(1, label) if objective.is_probability else pc.add(1, label)
                columns = {
                    f"label.{objective.name}": pc.if_else(pa.array(is_late & rewritten), other, label).cast(pa.float32()),
                    f"known.{objective.name}": pa.array(np.where(is_late, begin, in_time)),
                }
                for name, values in columns.items():
                    days[day] = days[day].set_column(days[day].column_names.index(name), name, values)
        return days

    return request.param, *(write_log(tmp_path_factory.mktemp("late"), pipeline, late(rewritten)) for rewritten in (False, True))


@pytest.mark.words
def test_labels_known_once_the_next_part_has_begun_are_not_learned(kind, pipeline, late_logs, tmp_path) -> None:
    border, *logs = late_logs
    before, after = (scored(kind, pipeline, log, tmp_path / str(number)) for number, log in enumerate(logs))
    np.testing.assert_array_equal(outputs(before, "validation"), outputs(after, "validation"))
    is_equal = np.array_equal(outputs(before, "test"), outputs(after, "test"))
    assert is_equal is (border == "test"), "what is known before the test begins is learned by the refit"


def test_an_objective_without_a_label_that_is_known_in_time_is_named(kind, pipeline, tables, write_log, tmp_path) -> None:
    begin = Day(pipeline.split.days("validation")[0], pipeline.zone).start
    late = {
        day: table.set_column(table.column_names.index("known.stars"), "known.stars", pa.array([begin] * len(table)))
        for day, table in tables.items()
    }
    with pytest.raises(
        DataError, match=r"label\.stars: found no observed label on the training days that is known before .*; all 8\d\d are"
    ):
        scored(kind, pipeline, write_log(tmp_path, pipeline, late), tmp_path / "run")


def test_refit_learns_the_validation_days_for_the_test_days_only(kind, pipeline, log, plain, tables, write_log, tmp_path) -> None:
    validation = pipeline.split.days("validation")[0]
    swapped = tables[validation].set_column(
        tables[validation].column_names.index("label.click"), "label.click", pc.subtract(1, tables[validation]["label.click"])
    )
    other = write_log(tmp_path, pipeline, tables | {validation: swapped.cast(tables[validation].schema)})
    refitted = plain[kind]
    assert not np.array_equal(outputs(refitted, "test"), outputs(scored(kind, pipeline, other, tmp_path / "b"), "test"))
    never = scored(kind, without_refit(pipeline), log, tmp_path / "c")
    np.testing.assert_array_equal(outputs(refitted, "validation"), outputs(never, "validation"))
    assert not np.array_equal(outputs(refitted, "test"), outputs(never, "test"))


def test_works_without_validation_and_without_test_days(kind, pipeline, log, tmp_path) -> None:
    alone = scored(kind, without(pipeline, "validation"), log, tmp_path / "a")
    assert set(alone[schema.SPLIT].to_pylist()) == {"test"}
    assert np.isfinite(outputs(alone, "test")).all()
    alone = scored(kind, without(pipeline, "test"), log, tmp_path / "b")
    assert set(alone[schema.SPLIT].to_pylist()) == {"validation"}


def test_refuses_a_split_with_nothing_to_score(kind, pipeline, log, tmp_path) -> None:
    with pytest.raises(ConfigError, match="nothing to score"):
        scored(kind, without(without(pipeline, "test"), "validation"), log, tmp_path)


def test_names_the_objective_that_no_training_row_has(kind, pipeline, tables, write_log, tmp_path) -> None:
    unknown = {
        day: table.set_column(table.column_names.index("label.stars"), "label.stars", pa.nulls(len(table), pa.float32()))
        for day, table in tables.items()
    }
    with pytest.raises(DataError, match=r"label\.stars.*no observed label"):
        scored(kind, pipeline, write_log(tmp_path, pipeline, unknown), tmp_path / "run")
    assert not (tmp_path / "run" / "predictions.parquet").exists()


def test_says_which_folder_has_no_training_day(kind, pipeline, log, tmp_path) -> None:
    (tmp_path / "examples").mkdir()
    with pytest.raises(ArtifactError, match="examples"):
        fit_and_score(
            kind, pipeline, tmp_path / "examples", log.encoded, tmp_path / "predictions.parquet", ORIGIN, console=Console(quiet=True)
        )


def test_a_kept_baseline_is_that_of_a_run_whose_split_ends_with_its_days(kind, pipeline, log, tmp_path) -> None:
    """It learns the first two days, the second of which chooses. Restored, it predicts the same, to the bit, without these days."""
    first, second, third, fourth = DAYS
    split = pipeline.split.model_copy(update={"train": (day(first), day(second)), "validation": (day(third), day(third))})
    each = pipeline.split.model_copy(
        update={"train": (day(first), day(first)), "validation": (day(second), day(second)), "test": (day(third), day(fourth))}
    )
    expected = scored(kind, pipeline.model_copy(update={"split": each}), log, tmp_path / "each")
    shutil.copytree(log.examples, tmp_path / "examples")
    shutil.copytree(log.encoded, tmp_path / "encoded")
    kept = KeptFit(tmp_path / "kept", (first, second), ORIGIN)
    found = []
    for run in ("fitted", "restored"):
        target = tmp_path / run / "predictions.parquet"
        score_kept(
            kind,
            pipeline.model_copy(update={"split": split}),
            tmp_path / "examples",
            tmp_path / "encoded",
            kept,
            target,
            ORIGIN,
            console=Console(quiet=True),
        )
        found.append(pq.read_table(target))
        for folder, of in itertools.product(("examples", "encoded"), (first, second)):
            shutil.rmtree(tmp_path / folder / f"day={of}", ignore_errors=True)
    assert found[0].equals(found[1])
    assert found[0][schema.SPLIT].to_pylist() == ["validation"] * ROWS + ["test"] * ROWS
    of_both_days = pa.concat_tables([expected.filter(pc.equal(expected[schema.DAY], of)) for of in (third, fourth)])
    for name in (name for name in expected.column_names if name.startswith((schema.PREDICTION, schema.RANK))):
        assert found[0][name].equals(of_both_days[name])


def test_a_baseline_learns_the_last_days_alone_where_it_is_told_to(kind, pipeline, log, plain, tmp_path) -> None:
    window = pipeline.model_copy(update={"evaluate": pipeline.evaluate.model_copy(update={"baseline_window_days": 1})})
    later = pipeline.split.model_copy(update={"train": (day(DAYS[1]), day(DAYS[1]))})
    found = scored(kind, window, log, tmp_path / "window")
    assert found.equals(scored(kind, pipeline.model_copy(update={"split": later}), log, tmp_path / "later"))
    assert not found.equals(plain[kind])


@pytest.mark.words
def test_a_kept_baseline_learns_no_label_that_is_known_after_its_days(kind, pipeline, tables, write_log, tmp_path) -> None:
    """Half of the labels of its last day are known only then: whatever they are, it is the same. Known before, they count."""
    first, second, third, _ = DAYS
    split = pipeline.split.model_copy(update={"train": (day(first), day(second)), "validation": None, "test": (day(third), day(third))})
    end = Day(second, pipeline.zone).end
    found = []
    for flipped, known in ((False, end), (True, end), (True, end - 1)):
        table = tables[second]
        late_N = np.arange(len(table)) % 2 == 0
        click_N = table["label.click"].to_numpy()
        changed = {"label.click": np.where(late_N, 1 - click_N, click_N) if flipped else click_N, "known.click": np.where(late_N, known, 0)}
        for name, values in changed.items():
            table = table.set_column(table.column_names.index(name), name, pa.array(values, table[name].type))
        log = write_log(tmp_path / str(len(found)), pipeline, tables | {second: table})
        target, kept = tmp_path / f"{len(found)}.parquet", KeptFit(tmp_path / f"kept-{len(found)}", (first, second), ORIGIN)
        here = pipeline.model_copy(update={"split": split})
        score_kept(kind, here, log.examples, log.encoded, kept, target, ORIGIN, console=Console(quiet=True))
        found.append(outputs(pq.read_table(target), "test"))
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[1], found[2])
