"""A run folder as the earlier stages leave it: metrics by the real evaluation, strings that want to be code."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recsys.config import Pipeline
from recsys.evaluation import evaluate
from recsys.predictions import assemble
from recsys.progress import Console
from recsys.report import write_report
from tests.staged import ORIGIN, sign

EVIL = "</script><script>alert(1)</script>"
RUN, POPULARITY, TREES = "mmoe-0123456789ab", "popularity-aaaaaaaaaaaa", "gbdt-bbbbbbbbbbbb"
DAYS = {"2024-01-03": "validation", "2024-01-04": "test", "2024-01-05": "test"}

PIPELINE = Pipeline.model_validate(
    {
        "name": "shown",
        "source": {"kind": "world"},
        "split": {"train": ["2024-01-01", "2024-01-02"], "validation": ["2024-01-03"] * 2, "test": ["2024-01-04", "2024-01-05"]},
        "objective": [
            {"name": "click", "label": "clicked = 1"},
            {"name": "dismissal", "label": "a < b", "better": "lower", "group": "satisfaction"},
            {"name": "watch", "kind": "watch_time", "label": "seconds"},
            {"name": "like", "label": "liked = 1", "given": "click", "group": "satisfaction"},
            {"name": "survey", "kind": "ordinal", "label": "stars", "levels": [1, 2, 3], "group": "satisfaction"},
        ],
        "model": {"budget_macs": 120_000},
        "evaluate": {"bootstrap": 30},
    }
)
OBJECTIVES = PIPELINE.objective
SHORT = PIPELINE.model_copy(update={"objective": (OBJECTIVES[0], OBJECTIVES[2])})  # click and watch
ACCOUNT = {"read": 1000, "kept": 970, "duplicate": 20, "quarantined": 10}
TRAIN_MEANS = {"click": 0.4, "dismissal": 0.02, "watch": 5.0, "like": 0.2, "like|click": 0.5, "survey": 2.1}


def _examples(rng: np.random.Generator, day: int, rows: int = 400) -> pa.Table:
    taste = rng.normal(size=rows)
    clicked = taste + rng.normal(size=rows) > 0.3
    stars = np.digitize(taste + rng.normal(size=rows), [-0.5, 0.5]) + 1.0
    return pa.table(
        {
            "event_id": np.arange(rows) + 1000 * day,
            "user_id": rng.integers(40, size=rows),
            "item_id": rng.integers(20, size=rows),
            "timestamp": np.arange(rows) * 60_000 + 86_400_000 * day,
            "slice.tab": np.where(rng.random(rows) < 0.5, EVIL, "home"),
            "label.click": clicked.astype(np.float32),
            "label.dismissal": (rng.random(rows) < 0.05).astype(np.float32),
            "label.watch": np.exp(taste + rng.normal(size=rows)).astype(np.float32),
            "label.like": (clicked & (rng.random(rows) < 0.5)).astype(np.float32),
            "label.survey": pa.array(np.where(rng.random(rows) < 0.3, stars, np.nan).astype(np.float32), from_pandas=True),
            "taste": taste,
        }
    )


def _predictions(examples: dict[str, pa.Table], noise: float, *, levels: bool = False) -> pa.Table:
    rng = np.random.default_rng(3)
    tables = []
    for day, split in DAYS.items():
        guess = examples[day]["taste"].to_numpy() + noise * rng.normal(size=len(examples[day]))
        click_N = 1 / (1 + np.exp(-guess))
        level_NL = np.column_stack([(1 - click_N) ** 2, 2 * click_N * (1 - click_N), click_N**2])
        expected_NK = np.column_stack([click_N, 0.05 * click_N, np.exp(guess), click_N * (0.3 + 0.4 * click_N), level_NL @ [1, 2, 3]])
        predicted_NV = np.column_stack([expected_NK, level_NL]) if levels else expected_NK
        rows = examples[day].drop_columns("taste")
        tables.append(assemble(rows, day=day, split=split, objectives=OBJECTIVES, predicted_NV=predicted_NV, train_means=TRAIN_MEANS))
    return pa.concat_tables(tables)


INSIDE: dict[str, Any] = {
    "multiplications": 123_456,
    "parameters": {"dense": 54_321, "embedding": 98_765},
    "looks": [
        {
            "name": "gates",
            "columns": ["expert 1", "expert 2", EVIL],
            "rows": {name: [0.7, 0.2, 0.1] for name in ("click", "dismissal", "like", "survey")} | {"watch": [0.1, 0.8, 0.1]},
            "polarised": {"click": 0.25, "dismissal": 0.0, "like": 0.0, "survey": 0.1, "watch": 0.4},
        },
        {"name": "task correlation", "columns": ["click", "watch"], "rows": {"watch": [-0.3, 1.0], "click": [1.0, -0.3]}, "polarised": {}},
    ],
    "position_bias": [
        {"objective": "click", "device": device, "position": position, "logit": -1.0 - 0.1 * (position or 3)}
        for device in ("tv", None, EVIL)
        for position in (1, 2, 3, None)
    ],
    "architecture": "mmoe",
    "members": 2,
    "pace": {"rows": 9000, "batch_size": 128, "passes": 4, "day_passes": 1, "learning_rate": 0.002},
    "precision": "fp32",
    "device": "cpu",
    "passes_chosen": [{"click": 2}, {"click": 1}],
}


def _journal() -> list[dict[str, Any]]:
    lines = []
    for member in range(2):
        for step in (10, 20, 30):
            shared = {
                "member": member,
                "phase": "choose",
                "pass": step // 10,
                "day": None,
                "step": step,
                "gates": {},
            }
            loss = {"click": 1.0 - step / 100, "dismissal": None, "watch": 0.9}
            lines.append(shared | {"event": "step", "part": "train", "loss": loss, "auc": dict.fromkeys(loss)})
            lines.append(
                shared | {"event": "pass", "part": "validation", "loss": loss, "auc": {"click": 0.7, "dismissal": None, "watch": None}}
            )
    return lines


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    return PIPELINE


@pytest.fixture(scope="session")
def predictions() -> dict[str, pa.Table]:
    """Run → predictions: the model's are the best, the trees' nearly so."""
    rng = np.random.default_rng(7)
    examples = {day: _examples(rng, number) for number, day in enumerate(DAYS)}
    return {run: _predictions(examples, noise, levels=run == RUN) for run, noise in ((RUN, 0.4), (POPULARITY, 3.0), (TREES, 0.41))}


@pytest.fixture(scope="session")
def metrics(predictions: dict[str, pa.Table]) -> pa.Table:
    against = {run: table for run, table in predictions.items() if run != RUN}
    return evaluate(predictions[RUN], OBJECTIVES, run=RUN, against=against, bootstrap=30)


def run_folder(folder: Path, predictions: dict[str, pa.Table], metrics: pa.Table) -> Path:
    """A trained run, before its report."""
    (folder / "model").mkdir(parents=True)
    pq.write_table(predictions[RUN], folder / "predictions.parquet")
    sign(folder / "predictions.parquet")
    pq.write_table(metrics, folder / "metrics.parquet")
    sign(folder / "metrics.parquet")
    (folder / "model" / "inside.json").write_text(json.dumps(INSIDE))
    sign(folder / "model" / "inside.json")
    (folder / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in _journal()))
    sign(folder / "training.jsonl")
    return folder


def written(run: Path, pipeline: Pipeline, account: dict[str, int] | None = ACCOUNT) -> str:
    """The page of a run, written and read."""
    write_report(run, pipeline, account=account, origin=ORIGIN, console=Console(quiet=True))
    return (run / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def short_metrics(metrics: pa.Table) -> pa.Table:
    """Of two objectives over all rows and days: a page of them is written in half the time."""
    named = pc.is_in(pc.field("objective"), pa.array([objective.name for objective in SHORT.objective]))
    return metrics.filter(named & (pc.field("slice") == "all") & pc.field("day").is_null())


@pytest.fixture
def short_run(predictions: dict[str, pa.Table], short_metrics: pa.Table, tmp_path: Path) -> Path:
    """The folder of a trained run of `SHORT`, to change before its report is written."""
    return run_folder(tmp_path / RUN, predictions, short_metrics)


@pytest.fixture
def run(predictions: dict[str, pa.Table], metrics: pa.Table, tmp_path: Path) -> Path:
    """The folder of a trained run, to change before its report is written."""
    return run_folder(tmp_path / RUN, predictions, metrics)
