"""Examples made by hand, with every family of columns, and the pipelines that read them."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys import artifacts
from recsys.config import Pipeline
from recsys.encoding import Batch, Encoder, packing

BATCHES = importlib.import_module("recsys.encoding.batches")  # the package re-exports a function of that name
TRAIN = ("2024-01-01", "2024-01-02", "2024-01-03")
VALIDATION, TEST = "2024-01-04", "2024-01-05"
DAYS = (*TRAIN, VALIDATION, TEST)
HISTORY = 3


def assert_same(got: list[Batch], expected: list[Batch]) -> None:
    """Equal batches, to the bit."""
    assert len(got) == len(expected)
    for place, (ours, theirs) in enumerate(zip(got, expected, strict=True)):
        differ = [
            name for name, one, other in zip(Batch._fields, ours, theirs, strict=True) if not np.array_equal(one, other, equal_nan=True)
        ]
        assert differ == [], f"batch {place}"


ExamplesMaker = Callable[..., pa.Table]
PipelineMaker = Callable[..., Pipeline]
Writer = Callable[[Mapping[str, pa.Table]], Path]


def pipeline(
    *,
    watch: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    split: Mapping[str, Any] | None = None,
    **features: Any,
) -> Pipeline:
    """`watch`: more about the second objective; `train` and `split`: those tables."""
    options = {"ids": ["item_id", "author_id"], "min_count": 3, "max_values": 2, "history": HISTORY, "bias": ["position", "device"]}
    return Pipeline.model_validate(
        {
            "name": "hand",
            "source": {"kind": "table", "log": "log.csv"},
            "split": split or {"train": (TRAIN[0], TRAIN[-1]), "validation": (VALIDATION, VALIDATION), "test": (TEST, TEST)},
            "objective": [
                {"name": "click", "label": "is_click"},
                {"name": "watch", "kind": "watch_time", "label": "play_time_ms", **(watch or {})},
            ],
            "features": {**options, **features},
            "train": train or {},
        }
    )


# --- Numbered days ------------------------------------------------------------------------------------------------
NUMBERED = {"2024-01-01": 173, "2024-01-02": 0, "2024-01-03": 260}  # rows a day
NUMBER = 0  # the dense column that numbers the rows
Relabel = Callable[[int, packing.Packed], packing.Packed]


def write_encoder(folder: Path) -> Encoder:
    encoder = Encoder.fit([("2024-01-01", examples(200))], pipeline(train={"weight": "counts"}))
    with artifacts.writing(folder / "encoder", stage="encode", fingerprint="f") as output:
        encoder.save(output)
    return encoder


def write_encoded(folder: Path, encoded: pa.RecordBatch) -> None:
    """A day in record batches of 64 rows."""
    with (
        artifacts.writing(folder, stage="encode", fingerprint="f") as output,
        pa.ipc.new_file(str(output.path("part-0.arrow")), encoded.schema) as writer,
    ):
        writer.write_table(pa.Table.from_batches([encoded]), 64)


def write_numbered(folder: Path, encoder: Encoder, rows: int, seed: int, start: int, relabel: Relabel) -> None:
    """A day of examples whose rows are numbered from `start`, with the labels that `relabel` gives them."""
    packed = packing.unpack(encoder.transform(examples(rows, seed)), encoder.layout)
    dense = packed.dense.copy()
    dense[:, NUMBER] = np.arange(start, start + rows)
    write_encoded(folder, packing.pack(relabel(seed, packed._replace(dense=dense)), encoder.layout))


def write_numbered_days(folder: Path, relabel: Relabel) -> Path:
    """An encoder and the days of `NUMBERED`, one of them without rows. `relabel` is told which day it is."""
    encoder, start = write_encoder(folder), 0
    for place, (day, rows) in enumerate(NUMBERED.items()):
        write_numbered(folder / f"day={day}", encoder, rows, place, start, relabel)
        start += rows
    return folder


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 80 rows, of which the numbered days have several."""
    monkeypatch.setattr(BATCHES, "_CHUNK_ROWS", 16)
    monkeypatch.setattr(BATCHES, "_WINDOW_CHUNKS", 5)


@pytest.fixture
def make_pipeline() -> PipelineMaker:
    return pipeline


@pytest.fixture
def make_examples() -> ExamplesMaker:
    return examples


@pytest.fixture
def write_examples(tmp_path: Path) -> Writer:
    def write(days: Mapping[str, pa.Table]) -> Path:
        folder = tmp_path / "examples"
        for day, table in days.items():
            with artifacts.writing(folder / f"day={day}", stage="features", fingerprint=day) as output:
                output.write_table("part-0.parquet", table)
        return folder

    return write


def examples(rows: int, seed: int = 0, *, values: int = 12) -> pa.Table:
    """`rows` examples; categories take `values` values, the later ones rarely, and nulls turn up in what may be null."""
    rng = np.random.default_rng(seed)

    def texts(prefix: str, nulls: float = 0.05) -> list[str | None]:
        return [None if rng.random() < nulls else f"{prefix}{int(values * rng.random() ** 3)}" for _ in range(rows)]

    def tags(limit: int) -> list[str]:
        return [f"t{int(values * rng.random() ** 3)}" for _ in range(rng.integers(0, limit))]

    def floats(draw: np.ndarray, nulls: float = 0.0) -> pa.Array:
        return pa.array(draw, pa.float64(), mask=rng.random(rows) < nulls)

    def past(draw: Callable[[], Any], kind: pa.DataType) -> pa.Array:
        return pa.array([[draw() for _ in range(length)] for length in lengths], pa.list_(kind))

    lengths = rng.integers(0, HISTORY + 2, rows)
    items = rng.integers(0, values, rows)
    columns = {
        "event_id": pa.array(rng.integers(0, 2**62, rows), pa.int64()),
        "user_id": pa.array(rng.integers(0, 30, rows), pa.int64()),
        "item_id": pa.array(items, pa.int64()),
        "timestamp": pa.array(np.sort(rng.integers(0, 86_400_000, rows)), pa.int64()),
        "user.degree": pa.array(texts("u"), pa.string()),
        "user.fans": floats(rng.lognormal(3, 2, rows).round(), nulls=0.1),
        "item.kind": pa.array(texts("k"), pa.string()),
        "item.tag": pa.array([None if rng.random() < 0.05 else tags(5) for _ in range(rows)], pa.list_(pa.string())),
        "item.duration": floats(rng.normal(10, 3, rows)),
        "item.is_ad": floats((rng.random(rows) < 0.1).astype(float)),
        "context.hour": pa.array([str(hour) for hour in rng.integers(0, 24, rows)], pa.string()),
        "context.tab": pa.array(texts("c", 0.0), pa.string()),
        "context.constant": floats(np.full(rows, 4.0)),
        "query.item_id": pa.array(rng.integers(0, values, rows), pa.int64(), mask=rng.random(rows) < 0.1),
        "query.kind": pa.array(texts("k"), pa.string()),
        "query.tag": pa.array([tags(4) for _ in range(rows)], pa.list_(pa.string())),
        "query.same.kind": floats((rng.random(rows) < 0.3).astype(float), nulls=0.2),
        "id.item_id": pa.array(items, pa.int64()),
        "id.author_id": pa.array(rng.integers(0, 5, rows), pa.int64(), mask=rng.random(rows) < 0.02),
        "agg.item_id.is_click.7": pa.array(rng.normal(0, 1, rows), pa.float32()),
        "agg.item_id.age": pa.array(rng.exponential(1, rows), pa.float32(), mask=rng.random(rows) < 0.3),
        "history.item_id": past(lambda: int(rng.integers(0, values)), pa.int64()),
        "history.item.kind": past(lambda: None if rng.random() < 0.1 else f"k{rng.integers(0, values)}", pa.string()),
        "history.item.tag": past(lambda: tags(4), pa.list_(pa.string())),
        "history.context.tab": past(lambda: f"c{rng.integers(0, values)}", pa.string()),
        "history.is_click": past(lambda: float(rng.random() < 0.4), pa.float32()),
        "history.play_time_ms": past(lambda: None if rng.random() < 0.1 else float(rng.integers(0, 60_000)), pa.float32()),
        "history.age": past(lambda: float(rng.uniform(1, 12)), pa.float32()),
        "bias.position": pa.array(rng.integers(1, 11, rows), pa.int64(), mask=rng.random(rows) < 0.1),
        "bias.device": pa.array(texts("phone"), pa.string()),
        "slice.tab": pa.array(texts("c"), pa.string()),
        "weight": pa.array((np.arange(rows) % 5) / 4, pa.float32()),
        "label.click": pa.array((rng.random(rows) < 0.3).astype(np.float32), pa.float32()),
        "label.watch": pa.array(rng.exponential(10, rows).astype(np.float32), pa.float32(), mask=rng.random(rows) < 0.4),
    }
    columns |= {f"known.{name}": columns["timestamp"] for name in ("click", "watch")}
    return pa.table(columns)
