"""First runs that another run cannot start from, each refused by name."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys.encoding import Encoder
from recsys.errors import ArtifactError, ConfigError
from recsys.scoring.model_folder import read_model
from recsys.training.transfer import Transfer
from tests.training.conftest import DAYS, Toy, day_table, encoded_of, pipeline_of
from tests.training.transfer.conftest import NEW, features_of, first_run, pipeline_from, started, with_ids


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"model": {"d_embedding": 6}}, "model.d_embedding: found 6, expected 4 as the run first has it (train.init_from)"),
        ({"model": {"architecture": "cgc"}}, 'model.architecture: found "cgc", expected "mmoe" as the run first has it'),
        ({"model": {"mmoe": {"num_experts": 2, "hidden": [8, 8]}}}, "model.mmoe.hidden: found [8, 8], expected [8]"),
        (
            {"objectives": [{"name": "click", "kind": "regression", "label": "x"}]},
            'objective.click.kind: found "regression", expected "binary"',
        ),
    ],
)
def test_another_shape_is_refused_by_key_and_both_values(first: Path, toy: Toy, change: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as error:
        Transfer(pipeline_from(first, **change), read_model(first / "model").encoder, first)
    assert text in str(error.value)


def _with_number(table: pa.Table) -> pa.Table:
    return table.append_column("agg.item_id.is_click.7", pa.array(np.linspace(-1, 1, len(table)), pa.float32()))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_with_number, "numbers that differ from those of the run first (train.init_from): agg.item_id.is_click.7 added; expected"),
        (lambda table: table.drop_columns(["agg.item_id.count.7"]), "agg.item_id.count.7 missing; expected"),
        (lambda table: table.drop_columns(["context.tab"]), "found categories that differ from those of the run first"),
        (lambda table: table.drop_columns(["history.age"]), "found columns of the history that differ"),
        (lambda table: _replaced(table, "bias.position", [p + (p == 5) for p in table["bias.position"].to_pylist()]), "positions"),
        (lambda table: _replaced(table, "agg.item_id.count.7", [None, *[1.0] * (len(table) - 1)]), "agg.item_id.count.7? added"),
        (
            lambda table: table.select([*table.column_names[:4], *reversed(table.column_names[4:])]),
            "first (train.init_from): another order",
        ),
    ],
)
def test_other_columns_of_the_inputs_are_refused_by_name(
    first: Path, tmp_path: Path, change: Callable[[pa.Table], pa.Table], text: str
) -> None:
    days = {day: change(with_ids(day_table(number))) for number, day in enumerate(DAYS)}
    _, encoded = encoded_of(tmp_path, days, pipeline_of(objectives=NEW, features=features_of()))
    with pytest.raises(ConfigError) as error:
        Transfer(pipeline_from(first), Encoder.load(encoded / "encoder"), first)
    assert text in str(error.value)
    assert "Fix: the same [features]" in str(error.value)


def _replaced(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, table[name].type))


def test_devices_that_are_inputs_are_refused_by_name(other: Toy, tmp_path: Path) -> None:
    first = first_run(tmp_path, {"position": "input"})
    with pytest.raises(ConfigError, match=r"found devices that differ from those of the run first \(train.init_from\): car added"):
        started(pipeline_from(first, model={"position": "input"}), other.encoded, first)


def test_another_share_of_the_inputs_is_refused(other: Toy, tmp_path: Path) -> None:
    """A member's share is drawn by its seed."""
    model = {"input_share": 0.5}
    first = first_run(tmp_path, model)
    same = pipeline_from(first, model=model)
    started(same, other.encoded, first)
    with pytest.raises(
        ConfigError, match=r"model\.input_share: found 0\.5, by which this member and that of the run first see other columns"
    ):
        started(same.model_copy(update={"seed": same.seed + 1}), other.encoded, first)


def test_a_damaged_first_run_is_named(first: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "first")
    (tmp_path / "first/model/inside.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"inside\.json: found other bytes"):
        Transfer(pipeline_from(tmp_path / "first"), read_model(first / "model").encoder, tmp_path / "first")
