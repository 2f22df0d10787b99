"""One tiny pipeline walked once for all tests of this folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.cli import run_command

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"

Run = Callable[..., int]


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="session")
def tiny(workspace: Path) -> Path:
    """The folder of the tiny pipeline after one whole run."""
    assert run_command(["run", str(PIPELINES / "tiny.toml"), "--workspace", str(workspace), "--run", "first"]) == 0
    return workspace / "tiny"
