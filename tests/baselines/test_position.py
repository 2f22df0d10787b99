"""What the trees know of where an impression was shown: as much as a net does, objective by objective."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.baselines import fit_and_score
from recsys.config import Pipeline
from recsys.progress import Console
from tests.staged import ORIGIN

OBJECTIVES = (
    {"name": "click", "label": "clicked = 1"},
    {"name": "watch", "kind": "watch_time", "label": "seconds", "position": False},
    {"name": "like", "label": "liked = 1", "group": "satisfaction", "given": "click"},
    {"name": "skip", "label": "skipped = 1", "group": "satisfaction", "position": True},
)
SEEING, NOT_SEEING = ("click", "like", "skip"), ("watch",)  # a like is joint with the click that it is given


def scored(pipeline: Pipeline, log, run: Path) -> pa.Table:
    fit_and_score("gbdt", pipeline, log.examples, log.encoded, run / "predictions.parquet", ORIGIN, console=Console(quiet=True))
    return pq.read_table(run / "predictions.parquet")


def moved(tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """The same days with the positions and the devices dealt out anew within each."""
    rng, found = np.random.default_rng(3), {}
    for day, table in tables.items():
        for column in ("bias.position", "bias.device"):
            order = pa.array(rng.permutation(len(table)))
            table = table.set_column(table.column_names.index(column), column, table[column].take(order))
        found[day] = table
    return found


def changed(pipeline: Pipeline, **update: object) -> Pipeline:
    return Pipeline.model_validate({**pipeline.model_dump(mode="json"), **update})


@pytest.fixture(scope="module")
def mixed(pipeline: Pipeline) -> Pipeline:
    return changed(pipeline, objective=OBJECTIVES, train={"refit": False})


@pytest.fixture(scope="module")
def days(tables) -> dict[str, pa.Table]:
    """The planted days with a like that a click must come before, and a skip that falls with the position."""
    rng, found = np.random.default_rng(5), {}
    for day, table in tables.items():
        liked = table["label.click"].to_numpy() * (rng.random(len(table)) < 0.4)
        skipped = rng.random(len(table)) < 0.8 / table["bias.position"].to_numpy()
        for name, values in {"like": liked, "skip": skipped}.items():
            table = table.append_column(f"label.{name}", pa.array(np.asarray(values, np.float32)))
            table = table.append_column(f"known.{name}", table["known.click"])
        found[day] = table
    return found


@pytest.fixture(scope="module")
def plain(mixed, days, write_log, tmp_path_factory) -> pa.Table:
    """Predictions of the days as they are."""
    folder = tmp_path_factory.mktemp("plain")
    return scored(mixed, write_log(folder, mixed, days), folder / "run")


@pytest.mark.words
def test_where_it_was_shown_changes_the_trees_of_what_sees_it_and_no_others(mixed, days, plain, write_log, tmp_path) -> None:
    other = scored(mixed, write_log(tmp_path, mixed, moved(days)), tmp_path / "run")
    for name in NOT_SEEING:
        np.testing.assert_array_equal(other[f"pred.{name}"].to_numpy(), plain[f"pred.{name}"].to_numpy(), err_msg=name)
    for name in SEEING:
        assert np.abs(other[f"pred.{name}"].to_numpy() - plain[f"pred.{name}"].to_numpy()).max() > 0.01, name


def test_what_does_not_see_the_position_is_ranked_by_its_prediction(plain) -> None:
    for name in NOT_SEEING:
        np.testing.assert_array_equal(plain[f"rank.{name}"].to_numpy(), plain[f"pred.{name}"].to_numpy(), err_msg=name)
    for name in SEEING:
        assert np.abs(plain[f"rank.{name}"].to_numpy() - plain[f"pred.{name}"].to_numpy()).max() > 0.01, name


@pytest.mark.words
def test_a_blind_pipeline_has_blind_trees(mixed, days, write_log, tmp_path) -> None:
    blind = changed(mixed, model={"position": "blind"}, objective=[OBJECTIVES[3]])
    logs = (("as it was", days), ("moved", moved(days)))
    one, two = (scored(blind, write_log(tmp_path / name, blind, each), tmp_path / name) for name, each in logs)
    assert not [name for name in one.column_names if name.startswith("rank.")]
    np.testing.assert_array_equal(one["pred.skip"].to_numpy(), two["pred.skip"].to_numpy())


def test_a_missing_position_is_learned_and_not_guessed(pipeline, tables, write_log, tmp_path) -> None:
    """Of a click that only the position decides, .8 on three rows in ten and .1 elsewhere, all that is known without it is the mean.

    Trees that have never met a missing value send it where most rows went: .1.
    """
    only = changed(pipeline, objective=OBJECTIVES[:1], train={"refit": False})
    rng, days = np.random.default_rng(11), {}
    for day, table in tables.items():
        is_first = rng.random(len(table)) < 0.3
        columns = {
            "bias.position": pa.array(np.where(is_first, 1, 2), pa.int64()),
            "label.click": pa.array((rng.random(len(table)) < np.where(is_first, 0.8, 0.1)).astype(np.float32)),
        }
        for name, values in columns.items():
            table = table.set_column(table.column_names.index(name), name, values)
        days[day] = table
    found = scored(only, write_log(tmp_path, only, days), tmp_path / "run").to_pandas()
    seen = found.groupby("position")["pred.click"].mean()
    np.testing.assert_allclose(seen, [0.8, 0.1], atol=0.05)
    assert found["rank.click"].mean() == pytest.approx(0.3 * 0.8 + 0.7 * 0.1, abs=0.05)
