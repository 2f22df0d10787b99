"""One tiny pipeline walked once for all tests of this folder."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.cli import run_command

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"

SMALL_LOG = """
name = "small"
[source]
kind = "table"
log = "log.csv"
[split]
train = ["2024-03-01", "2024-03-01"]
test = ["2024-03-02", "2024-03-02"]
[[objective]]
name = "click"
label = "clicked = 1"
[features]
signals = ["clicked"]
entities = [["item_id"]]
windows = [1]
history = 0
today = []
[model]
architecture = "shared_bottom"
d_shared = 8
d_tower = 8
[evaluate]
bootstrap = 20
baselines = ["popularity"]
"""


def write_small(folder: Path, user_N: np.ndarray) -> Path:
    """The small pipeline's file, beside a log of two days, half of these users' impressions on each."""
    rng, rows = np.random.default_rng(4), np.arange(len(user_N))
    stamp = 1_709_251_200_000 + 86_400_000 * (2 * rows // len(rows)) + 1000 * rows
    columns = {"user_id": user_N, "item_id": rng.integers(0, 12, len(rows)), "timestamp": stamp, "clicked": rng.integers(0, 2, len(rows))}
    pd.DataFrame(columns).to_csv(folder / "log.csv", index=False)
    (folder / "small.toml").write_text(SMALL_LOG, encoding="utf-8")
    return folder / "small.toml"


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="session")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace after one whole run of the tiny pipeline, for tests that nobody else's runs may stand beside. Make nothing in it."""
    folder = tmp_path_factory.mktemp("untouched")
    assert run_command(["run", str(PIPELINES / "tiny.toml"), "--workspace", str(folder), "--run", "first"]) == 0
    return folder


@pytest.fixture(scope="session")
def tiny(untouched: Path, workspace: Path) -> Path:
    """The folder of the tiny pipeline after one whole run, in the workspace in which tests make others beside it."""
    return Path(shutil.copytree(untouched / "tiny", workspace / "tiny"))
