"""A first run of two objectives, and other days with another order of objectives that start from it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from torch import Tensor

from recsys.config import Pipeline
from recsys.encoding import EncodedDays, Encoder, batches
from recsys.scoring import member as members
from recsys.training.transfer import Transfer
from tests.training.conftest import DAYS, OBJECTIVES, Toy, day_table, encoded_of, pipeline_of, run_train

OLD = OBJECTIVES[:2]  # click, watch
NEW = (OBJECTIVES[2], OBJECTIVES[0], OBJECTIVES[1])  # like, click, watch: another order
TABLE = "ranker.inputs.embeddings.tables.table"
EMBEDDING = 4


def with_ids(table: pa.Table, shift: int = 0) -> pa.Table:
    return table.append_column("id.user_id", pa.array([str(user + shift) for user in table["user_id"].to_pylist()]))


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of click and watch on the first two days."""
    return first_run(tmp_path_factory.mktemp("first"), {})


def first_run(folder: Path, model: dict[str, Any], objectives: Sequence[dict[str, Any]] = OLD, **options: Any) -> Path:
    days = {day: with_ids(day_table(number)) for number, day in enumerate(DAYS)}
    pipeline = pipeline_of(
        objectives=objectives, model=model, features=features_of(), split={"train": (DAYS[0], DAYS[1])}, train={"batch_size": 50, **options}
    )
    run_train(pipeline, encoded_of(folder, days, pipeline)[1], folder / "first")
    return folder / "first"


def features_of(**changes: Any) -> dict[str, Any]:
    plain = {"item": ["tag"], "context": ["tab"], "history": 2, "bias": ["position", "device"], "min_count": 1}
    return plain | {"ids": ["user_id"]} | changes


def _next_days() -> dict[str, pa.Table]:
    """Days with users that the first run never saw, and a tag and a device that it did not know."""
    tables = {}
    for number, day in enumerate(DAYS):
        table = day_table(number, draws=number + 20)
        tags = pa.array(["opera" if n % 7 == 0 else tag for n, tag in enumerate(table["item.tag"].to_pylist())])
        table = with_ids(table, shift=10)
        devices = pa.array(["car" if n % 5 == 0 else device for n, device in enumerate(table["bias.device"].to_pylist())])
        for name, values in {"item.tag": tags, "bias.device": devices}.items():
            table = table.set_column(table.column_names.index(name), name, values)
        tables[day] = table
    return tables


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    folder = tmp_path_factory.mktemp("other")
    days = _next_days()
    examples, encoded = encoded_of(folder, days, pipeline_of(objectives=NEW, features=features_of()))
    return Toy(examples, encoded, days)


def pipeline_from(
    first: Path, *, objectives: Sequence[dict[str, Any]] = NEW, model: dict[str, Any] | None = None, **train: Any
) -> Pipeline:
    options = {"batch_size": 64, "init_from": str(first), **train}
    return pipeline_of(objectives=objectives, model=model, features=features_of(), train=options)


def started(pipeline: Pipeline, encoded: Path, first: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], Any]:
    """A new member's tensors, those it would have had, and what it was told."""
    encoder = Encoder.load(encoded / "encoder")
    days = EncodedDays(encoded, DAYS[:3])
    member = members.new_member(pipeline, days, 0)
    before = {name: tensor.clone() for name, tensor in member.state_dict().items()}
    held = Transfer(pipeline, encoder, first).start(member, 0, next(iter(batches(days, batch_size=1, order="time"))))
    return dict(member.state_dict()), before, held


def rows_of(encoder: Encoder) -> dict[tuple[str, str | None], int]:
    known = {(row["space"], row["value"]): row["row"] for row in encoder.vocabulary.table().to_pylist()}
    return known | {(space, "any other value"): row for space, row in encoder.vocabulary.unknown_rows.items()}
