"""A small feed with a planted signal, written as examples and encoded by the real encoder."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys import artifacts
from recsys.artifacts import Origin
from recsys.config import Pipeline
from recsys.nn import embeddings
from recsys.progress import Console
from recsys.scoring.member import Outputs
from recsys.training import observe, train
from tests.staged import encode

TAGS = ("news", "music", "sport", "games")
TAG_EFFECT = np.array([-0.8, -0.2, 0.3, 0.9])
POSITION_EFFECT = np.array([0.8, 0.3, 0.0, -0.3, -0.6])
DAYS = tuple((date(2024, 1, 1) + timedelta(days=n)).isoformat() for n in range(6))

OBJECTIVES: tuple[dict[str, Any], ...] = (
    {"name": "click", "label": "is_click = 1"},
    {"name": "watch", "kind": "watch_time", "label": "seconds"},
    {"name": "like", "label": "is_like = 1", "observed": "is_click = 1", "group": "satisfaction"},
)
KINDS: tuple[dict[str, Any], ...] = (
    {"name": "like", "label": "is_like = 1", "given": "click", "group": "satisfaction"},
    {"name": "stars", "kind": "ordinal", "label": "stars", "levels": [1, 2, 3, 4], "group": "satisfaction"},
    {"name": "click", "label": "is_click = 1"},
    {"name": "watch", "kind": "watch_time", "label": "seconds", "method": "d2q", "duration": "length"},
    {"name": "odds", "kind": "watch_time", "label": "seconds", "method": "weighted_logistic"},
    {"name": "fun", "kind": "regression", "label": "fun", "loss": "huber"},
    {"name": "seen", "kind": "watch_time", "label": "seconds", "duration": "length"},
)
KINDS_FEATURES = {"item": ["tag", "length"], "context": ["tab"], "history": 2, "bias": ["position", "device"], "min_count": 1}
MODEL: dict[str, Any] = {
    "members": 1,
    "d_shared": 16,
    "d_tower": 8,
    "d_embedding": 4,
    "d_attention": 4,
    "cross_rank": 2,
    "dropout": 0.1,
    "mmoe": {"num_experts": 2, "hidden": (8,)},
}


@pytest.fixture
def large_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give embedding tables of any size a sparse gradient, as large ones have it."""
    monkeypatch.setattr(embeddings, "DENSE_ROWS", 0)


def pipeline_of(*, model: dict[str, Any] | None = None, objectives: Sequence[dict[str, Any]] = OBJECTIVES, **tables: Any) -> Pipeline:
    """Three days of training, two of validation, one of test, in time order; `train`, `split`, … replace whole tables."""
    tables["train"] = {"order": "time", **tables.get("train", {"batch_size": 100})}
    return Pipeline.model_validate(
        {
            "name": "toy",
            "source": {"kind": "world"},
            "split": {"train": (DAYS[0], DAYS[2]), "validation": (DAYS[3], DAYS[4]), "test": (DAYS[5], DAYS[5])},
            "objective": list(objectives),
            "features": {"item": ["tag"], "context": ["tab"], "history": 2, "bias": ["position", "device"], "min_count": 1},
            "model": {**MODEL, **(model or {})},
            **tables,
        }
    )


def true_logit(table: pa.Table) -> np.ndarray:
    """Of the planted click probability."""
    tag = np.array([TAGS.index(value) for value in table["item.tag"].to_pylist()])
    position = table["bias.position"].to_numpy() - 1
    return 1.2 * table["agg.user_id.is_click.7"].to_numpy().astype(np.float64) + TAG_EFFECT[tag] + POSITION_EFFECT[position] - 0.5


def day_table(number: int, rows: int = 300, *, draws: int | None = None) -> pa.Table:
    """One day's examples, equal for its number, or for that of its `draws`."""
    rng = np.random.default_rng(1000 + (number if draws is None else draws))
    lengths = rng.integers(0, 3, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)])

    def past(values: Any, kind: pa.DataType) -> pa.Array:
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, kind))

    total = int(offsets[-1])
    table = pa.table(
        {
            "event_id": pa.array(number * 100_000 + np.arange(rows)),
            "user_id": pa.array(rng.integers(0, 40, rows)),
            "item_id": pa.array(rng.integers(0, 60, rows)),
            "timestamp": pa.array(1_704_067_200_000 + number * 86_400_000 + np.arange(rows) * 1000),
            "item.tag": pa.array(rng.choice(TAGS, rows)),
            "context.tab": pa.array(rng.choice(["a", "b"], rows)),
            "agg.user_id.is_click.7": pa.array(rng.normal(size=rows), pa.float32()),
            "agg.item_id.count.7": pa.array(rng.exponential(size=rows), pa.float32()),
            "history.item_id": past(rng.integers(0, 60, total), pa.int64()),
            "history.item.tag": past(rng.choice(TAGS, total), pa.string()),
            "history.is_click": past(rng.integers(0, 2, total).astype(np.float32), pa.float32()),
            "history.age": past(rng.exponential(size=total).astype(np.float32), pa.float32()),
            "bias.position": pa.array(rng.integers(1, 6, rows)),
            "bias.device": pa.array(rng.choice(["phone", "tv"], rows)),
            "slice.tab": pa.array(rng.choice(["a", "b"], rows)),
        }
    )
    click = rng.random(rows) < 1 / (1 + np.exp(-true_logit(table)))
    watch = np.where(click, np.exp(rng.normal(2.0, 0.7, rows)), 0.0)
    like = np.where(click, (rng.random(rows) < 0.3).astype(float), np.nan)
    for name, values in {"click": click.astype(float), "watch": watch, "like": like}.items():
        table = with_label(table, name, values)
    return table


def with_label(table: pa.Table, name: str, values: np.ndarray, delay: int = 0) -> pa.Table:
    """The table with this label, NaN where not observed, known `delay` ms after the impression."""
    label = pa.array(values, pa.float32(), from_pandas=True)
    known = pa.array(table["timestamp"].to_numpy() + delay, mask=label.is_null().to_numpy(zero_copy_only=False))
    for column, cells in ((f"label.{name}", label), (f"known.{name}", known)):
        table = table.drop_columns([column] if column in table.column_names else []).append_column(column, cells)
    return table


def kinds_pipeline(**tables: Any) -> Pipeline:
    """Of every kind of label, on rows that count differently."""
    train = {"batch_size": 100, "weight": "counts", **tables.pop("train", {})}
    return pipeline_of(objectives=KINDS, features=KINDS_FEATURES, train=train, **tables)


def with_kinds(table: pa.Table, number: int) -> pa.Table:
    """The toy feed's day with a length, a weight (0 among them), and a label of each kind; a like is joint."""
    rng, rows = np.random.default_rng(50 + number), len(table)
    click = table["label.click"].to_numpy()
    like = np.nan_to_num(table["label.like"].to_numpy(zero_copy_only=False).astype(float))
    lengths = rng.lognormal(3, 0.8, rows)
    lengths[rng.random(rows) < 0.1] = np.nan
    watch = np.where(rng.random(rows) < 0.7, np.nan_to_num(lengths, nan=20.0) * rng.random(rows), 0.0)
    stars = np.where(rng.random(rows) < 0.5, rng.integers(1, 5, rows), np.nan)
    columns = {
        "item.length": lengths,
        "weight": rng.choice([0.0, 0.5, 1.0, 3.0], rows),
    }
    labels = {
        "like": np.where(click == 1, like, 0.0),
        "stars": stars,
        "watch": watch,
        "odds": watch,
        "seen": watch,
        "fun": rng.normal(size=rows),
    }
    kept = table.drop_columns([name for name in columns if name in table.column_names])
    for name, values in columns.items():
        kept = kept.append_column(name, pa.array(values, pa.float32(), from_pandas=True))
    for name, values in labels.items():
        kept = with_label(kept, name, values)
    return kept


def write_examples(folder: Path, tables: dict[str, pa.Table]) -> Path:
    for day, table in tables.items():
        with artifacts.writing(folder / f"day={day}", stage="features", fingerprint="test") as output:
            output.write_table("part-0.parquet", table)
    return folder


def tables(rows: int = 300) -> dict[str, pa.Table]:
    return {day: day_table(number, rows) for number, day in enumerate(DAYS)}


def encoded_of(folder: Path, days: dict[str, pa.Table], pipeline: Pipeline | None = None) -> tuple[Path, Path]:
    """The examples' folder and the encoded folder."""
    examples = write_examples(folder / "examples", days)
    return examples, encode(pipeline or pipeline_of(), examples, console=Console(quiet=True)).folder


def run_train(pipeline: Pipeline, encoded: Path, run: Path, console: Console | None = None) -> None:
    origin = Origin("train", artifacts.fingerprint(pipeline.model_dump()))
    train(pipeline, encoded, run, origin, console=console or Console(quiet=True))


def journal(run: Path, **wanted: Any) -> list[dict[str, Any]]:
    """The lines of training.jsonl that hold these values; before the training's end, of the first member's journal."""
    path = run / "training.jsonl"
    text = (path if path.exists() else run / "checkpoint" / "journal-0.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if all(line[key] == value for key, value in wanted.items())]


class Said(Console):
    """Keeps what was said."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.texts: list[str] = []

    def say(self, text: str) -> None:
        self.texts.append(text)

    result = say


@dataclass(frozen=True)
class Toy:
    examples: Path
    encoded: Path
    tables: dict[str, pa.Table] = field(default_factory=dict)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The six days, encoded once for all tests."""
    days = tables()
    examples, encoded = encoded_of(tmp_path_factory.mktemp("toy"), days)
    return Toy(examples, encoded, days)


@pytest.fixture(scope="session")
def plain_run(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of `pipeline_of()` on the toy feed, to look at and to compare with."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    run_train(pipeline_of(), toy.encoded, folder)
    return folder


@pytest.fixture(scope="session")
def run_of_two(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with two members."""
    folder = tmp_path_factory.mktemp("two") / "run"
    run_train(pipeline_of(model={"members": 2}), toy.encoded, folder)
    return folder


@pytest.fixture(scope="session")
def kinds_toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The toy feed with every kind of label, a length and a weight."""
    days = {day: with_kinds(table, number) for number, (day, table) in enumerate(tables().items())}
    examples, encoded = encoded_of(tmp_path_factory.mktemp("kinds"), days, kinds_pipeline())
    return Toy(examples, encoded, days)


@pytest.fixture
def trained(toy: Toy, tmp_path: Path) -> Callable[..., Path]:
    """Trains on the toy feed; returns the run's folder."""

    def train_on(pipeline: Pipeline, name: str = "run", console: Console | None = None) -> Path:
        run_train(pipeline, toy.encoded, tmp_path / name, console)
        return tmp_path / name

    return train_on


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Outputs]:
    """Every set of predictions that a training makes, in order."""
    made: list[Outputs] = []
    original = observe.predict

    def predict(*arguments: Any, **keywords: Any) -> Outputs:
        made.append(original(*arguments, **keywords))
        return made[-1]

    monkeypatch.setattr(observe, "predict", predict)
    return made
