"""On a CUDA device: resumed runs are bit-equal with `train.deterministic`, and a GPU model scores on a CPU."""

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from recsys import artifacts
from recsys.artifacts import Origin
from recsys.config import Pipeline, Train
from recsys.progress import Console
from recsys.scoring import load
from recsys.training import train
from recsys.training.interruption import Guard
from recsys.training.state import State
from tests.staged import encode

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

DAYS = ("2024-01-01", "2024-01-02", "2024-01-03")
QUIET = Console(quiet=True)


def _pipeline(precision: str = "fp32") -> Pipeline:
    return Pipeline.model_validate(
        {
            "name": "gpu",
            "source": {"kind": "world"},
            "split": {"train": (DAYS[0], DAYS[1]), "validation": (DAYS[2], DAYS[2])},
            "objective": [{"name": "click", "label": "c"}, {"name": "watch", "kind": "watch_time", "label": "w"}],
            "model": {"members": 1},
            "features": {"item": ["tag"], "history": 3, "min_count": 1, "bias": ["position"]},
            "train": {"order": "time", "batch_size": 256, "device": "cuda", "deterministic": True, "precision": precision},
        }
    )


def _table(day: int, rows: int = 4_000) -> pa.Table:
    rng = np.random.default_rng(day)
    number, tag = rng.normal(size=rows), rng.integers(0, 20, rows)
    click = rng.random(rows) < 1 / (1 + np.exp(-number - np.sin(tag)))
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 4, rows))])

    def past(values: np.ndarray) -> pa.Array:
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values))

    return pa.table(
        {
            "event_id": np.arange(rows) + day * rows,
            "user_id": rng.integers(0, 50, rows),
            "item_id": rng.integers(0, 50, rows),
            "timestamp": np.arange(rows),
            "item.tag": tag.astype(str),
            "agg.user_id.is_click.7": number.astype(np.float32),
            "history.item_id": past(rng.integers(0, 50, offsets[-1])),
            "history.item.tag": past(rng.integers(0, 20, offsets[-1]).astype(str)),
            "history.is_click": past(rng.integers(0, 2, offsets[-1]).astype(np.float32)),
            "history.age": past(rng.exponential(size=offsets[-1]).astype(np.float32)),
            "bias.position": rng.integers(1, 6, rows),
            "label.click": click.astype(np.float32),
            "label.watch": (click * rng.exponential(10, rows)).astype(np.float32),
            "known.click": np.arange(rows),
            "known.watch": np.arange(rows),
        }
    )


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu")
    for number, day in enumerate(DAYS):
        with artifacts.writing(folder / f"examples/day={day}", stage="features", fingerprint="test") as output:
            output.write_table("part-0.parquet", _table(number))
    return encode(_pipeline(), folder / "examples", console=QUIET).folder


@pytest.fixture
def interrupted_every_tenth_look(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    original, count = Guard.look, 0

    def look(guard: Guard, state: State) -> None:
        nonlocal count
        count += 1
        if count % 10 == 0:
            signal.raise_signal(signal.SIGINT)
        original(guard, state)

    with monkeypatch.context() as patch:
        patch.setattr(Guard, "look", look)
        yield


def _train(pipeline: Pipeline, encoded: Path, run: Path) -> None:
    train(pipeline, encoded, run, Origin("train", "f"), console=QUIET)


@pytest.fixture
def whole(encoded: Path, tmp_path: Path) -> Path:
    _train(_pipeline(), encoded, tmp_path / "whole")
    return tmp_path / "whole"


def test_an_interrupted_run_ends_bit_equal(whole: Path, encoded: Path, tmp_path: Path, interrupted_every_tenth_look: None) -> None:
    times = 0
    while not (tmp_path / "parts/model").exists():
        try:
            _train(_pipeline(), encoded, tmp_path / "parts")
        except KeyboardInterrupt:
            times += 1
    assert times >= 3
    assert (tmp_path / "parts/model/model.safetensors").read_bytes() == (whole / "model/model.safetensors").read_bytes()


def test_a_model_trained_on_a_gpu_scores_the_same_on_a_cpu(whole: Path) -> None:
    table = _table(9)
    there, here = (load(whole / "model", Train(device=device, precision="fp32")).predict(table) for device in ("cuda", "cpu"))
    np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-4)


def test_bf16_learns_what_fp32_learns(whole: Path, encoded: Path, tmp_path: Path) -> None:
    _train(_pipeline("bf16"), encoded, tmp_path / "bf16")
    table = _table(9)
    one, other = (load(run / "model", Train(device="cuda", precision="fp32")).predict(table) for run in (whole, tmp_path / "bf16"))
    assert np.corrcoef(one[:, 0], other[:, 0])[0, 1] > 0.98
