"""Ctrl-C half-way, as a shell would send it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TINY = Path(__file__).resolve().parents[2] / "pipelines" / "tiny.toml"
LONG = ["--set", "train.day_passes=8", "--set", "evaluate.baselines=[]", "--run", "long"]


def command(workspace: Path) -> list[str]:
    return [sys.executable, "-m", "recsys", "run", str(TINY), "--until", "train", "--workspace", str(workspace), *LONG]


def hear_ctrl_c() -> None:
    """In the child, before it starts: a shell that runs the tests in the background ignores SIGINT for them and all they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of the command that nobody interrupts."""
    workspace = tmp_path_factory.mktemp("whole")
    done = subprocess.run(command(workspace), capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return workspace


@pytest.mark.parametrize("appears", ["events", "long/training.jsonl"])
def test_the_same_command_goes_on_after_ctrl_c(tmp_path: Path, whole: Path, appears: str):
    process = subprocess.Popen(command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c)  # noqa: PLW1509
    while process.poll() is None and not list(tmp_path.rglob(appears)):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("*.draft"))
    assert not (tmp_path / "tiny" / "runs" / "long" / "model").exists()

    again = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=600, check=False)
    assert again.returncode == 0, again.stderr
    model = Path("tiny/runs/long/model/model.safetensors")
    assert (tmp_path / model).read_bytes() == (whole / model).read_bytes()
