"""One tiny pipeline walked once for all tests of this folder."""

from collections.abc import Callable
from pathlib import Path

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
today = false
[model]
sharing = "shared_bottom"
d_shared = 8
d_tower = 8
[evaluate]
bootstrap = 20
baselines = ["popularity"]
"""

Run = Callable[..., int]


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="session")
def tiny(workspace: Path) -> Path:
    """The folder of the tiny pipeline after one whole run."""
    assert run_command(["run", str(PIPELINES / "tiny.toml"), "--workspace", str(workspace), "--run", "first"]) == 0
    return workspace / "tiny"
