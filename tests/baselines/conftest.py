"""A small log with planted effects: examples by hand, encoded by the real encoder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsys import artifacts
from recsys.config import Pipeline
from recsys.progress import Console
from tests.staged import encode

DAYS = ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04")
ITEMS = 40
ROWS = 1500  # a day

PIPELINE = Pipeline.model_validate(
    {
        "name": "planted",
        "source": {"kind": "world"},
        "split": {"train": DAYS[:2], "validation": (DAYS[2], DAYS[2]), "test": (DAYS[3], DAYS[3])},
        "objective": [
            {"name": "click", "label": "clicked = 1"},
            {"name": "watch", "kind": "watch_time", "label": "seconds"},
            {"name": "stars", "kind": "regression", "label": "stars", "observed": "stars is not null", "group": "satisfaction"},
            {"name": "never", "label": "never = 1"},
        ],
        "features": {"signals": ["clicked"], "history": 6, "bias": ["position", "device"], "min_count": 1},
    }
)


def day_of_examples(day: str, rng: np.random.Generator, rows: int = ROWS) -> pa.Table:
    """Clicks depend on the item, on `agg`, on the position and on the newest click; watch seconds on the item, skewed."""
    item, position = rng.integers(ITEMS, size=rows), rng.integers(1, 6, size=rows)
    lift, newest = rng.normal(size=rows), rng.integers(2, size=rows).astype(float)
    logit = -1.0 + 2.0 * (item % 4 == 0) + lift - 0.5 * position + newest
    click = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    watch = (click * np.exp(2.0 + (item % 2) + rng.normal(size=rows))).astype(np.float32)
    stars = np.where(rng.random(rows) < 0.3, 3.0 + (item % 3 - 1) + 0.1 * rng.normal(size=rows), np.nan).astype(np.float32)
    length = rng.integers(0, 7, size=rows)
    return pa.table(
        {
            "event_id": pa.array(rng.permutation(rows) + 10_000 * int(day[-2:]), pa.int64()),
            "user_id": pa.array(rng.integers(100, size=rows), pa.int64()),
            "item_id": pa.array(item, pa.int64()),
            "timestamp": pa.array(np.arange(rows) * 1000, pa.int64()),
            "item.topic": pa.array([f"t{i % 4}" for i in item], pa.string()),
            "context.hour": pa.array(["1"] * rows, pa.string()),
            "context.weekday": pa.array(["2"] * rows, pa.string()),
            "agg.item_id.clicked.1": pa.array(lift, pa.float32()),
            "history.clicked": pa.array([[new] * n for new, n in zip(newest, length, strict=True)], pa.list_(pa.float32())),
            "history.age": pa.array([[1.0 + step for step in range(n)] for n in length], pa.list_(pa.float32())),
            "history.item_id": pa.array([[7] * n for n in length], pa.list_(pa.int64())),
            "history.item.topic": pa.array([["t1"] * n for n in length], pa.list_(pa.string())),
            "bias.position": pa.array(position, pa.int64()),
            "bias.device": pa.array(np.where(item % 2 == 0, "tv", "phone"), pa.string()),
            "slice.topic": pa.array([f"t{i % 4}" for i in item], pa.string()),
            "label.click": pa.array(click),
            "label.watch": pa.array(watch),
            "label.stars": pa.array(stars, from_pandas=True),
            "label.never": pa.array(np.zeros(rows, np.float32)),
            **{f"known.{name}": pa.array(np.arange(rows) * 1000) for name in ("click", "watch", "stars", "never")},
        }
    )


@dataclass(frozen=True)
class Log:
    examples: Path
    encoded: Path


WriteLog = Callable[[Path, Pipeline, dict[str, pa.Table]], Log]


def _write_log(folder: Path, pipeline: Pipeline, tables: dict[str, pa.Table]) -> Log:
    """The tables as artifacts of the features stage, and encoded."""
    for day, table in tables.items():
        with artifacts.writing(folder / "examples" / f"day={day}", stage="features", fingerprint=day) as output:
            output.write_table("part-0.parquet", table)
    encoded = encode(pipeline, folder / "examples", console=Console(quiet=True))
    return Log(folder / "examples", encoded.folder)


@pytest.fixture(scope="session")
def write_log() -> WriteLog:
    return _write_log


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    return PIPELINE


@pytest.fixture(scope="session")
def tables() -> dict[str, pa.Table]:
    """Day → examples."""
    rng = np.random.default_rng(7)
    return {day: day_of_examples(day, rng) for day in DAYS}


@pytest.fixture(scope="session")
def log(tables: dict[str, pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Log:
    return _write_log(tmp_path_factory.mktemp("log"), PIPELINE, tables)
