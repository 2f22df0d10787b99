"""A job that dies at any moment at all: the same command ends in the bytes of a job that nobody killed, with nothing left over."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.stages import STAGES

from .amounts import PARTS

TOML = """
name = "small"
[source]
kind = "table"
log = "log.csv"
items = "items.csv"
[split]
train = ["2024-03-01", "2024-03-01"]
validation = ["2024-03-02", "2024-03-02"]
test = ["2024-03-03", "2024-03-03"]
[[objective]]
name = "click"
label = "clicked = 1"
[[objective]]
name = "like"
label = "liked = 1"
[features]
signals = ["clicked"]
entities = [["item_id"]]
windows = [1]
history = 2
[model]
architecture = "shared_bottom"
d_shared = 8
d_tower = 8
members = 2
[train]
checkpoint_seconds = 0.05
batch_size = 64
passes = 1
day_passes = 1
[evaluate]
bootstrap = 20
baselines = ["popularity"]
calibrate = "platt"
"""
STEP = 4


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    rng, rows = np.random.default_rng(4), np.arange(900)
    stamp = 1_709_251_200_000 + 86_400_000 * (3 * rows // len(rows)) + 1000 * rows
    columns = {"user_id": rng.integers(0, 60, len(rows)), "item_id": rng.integers(0, 12, len(rows)), "timestamp": stamp}
    pd.DataFrame(columns | {name: rng.integers(0, 2, len(rows)) for name in ("clicked", "liked")}).to_csv(folder / "log.csv", index=False)
    pd.DataFrame({"item_id": range(12), "topic": list("abcdefabcdef")}).to_csv(folder / "items.csv", index=False)
    (folder / "small.toml").write_text(TOML, encoding="utf-8")
    return folder / "small.toml"


@pytest.mark.faults
@pytest.mark.parametrize("part", PARTS)
def test_a_death_at_every_moment(toml: Path, tmp_path: Path, part: int) -> None:
    """Each part takes every fourth moment, until a job lives to its end."""
    script = [sys.executable, "-m", "tests.faults.dying", str(toml), str(tmp_path), str(part + 1), str(STEP)]
    done = subprocess.run(script, capture_output=True, text=True, check=False, cwd=Path(__file__).resolve().parents[2])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    ends = [line for line in lines if line["end"]]
    assert [line["stage"] for line in ends] == list(STAGES), done.stderr
    assert [line for line in ends if line["code"]] == []
    assert len(lines) > 90, "the functions are counted"
    wrong = [line for line in lines if line["code"] or line["said"] or line["different"]]
    assert not wrong, "\n".join(map(str, wrong[:10]))
