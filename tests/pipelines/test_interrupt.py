"""Ctrl-C half-way, as a shell would send it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from recsys.cli import run_command

TINY = Path(__file__).resolve().parents[2] / "pipelines" / "tiny.toml"
LONG = ["run", str(TINY), "--until", "train", "--set", "train.day_passes=8", "--set", "evaluate.baselines=[]", "--run", "long"]


def hear_ctrl_c() -> None:
    """In the child, before it starts: a shell that runs the tests in the background ignores SIGINT for them and all they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupted(command: list[str], workspace: Path, appears: str) -> str:
    """What is said by the command that hears Ctrl-C once this file or folder is there."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c)  # noqa: PLW1509
    while process.poll() is None and not list(workspace.rglob(appears)):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130, said
    return said


def test_the_same_command_goes_on_after_ctrl_c_as_often_as_it_comes(tiny: Path, workspace: Path, tmp_path: Path):
    """In ingest, then in train; it ends in the bytes of the command that nobody interrupts."""
    command = [sys.executable, "-m", "recsys", *LONG, "--workspace", str(tmp_path)]
    for appears in ("events", "long/training.jsonl"):
        said = interrupted(command, tmp_path, appears)
        assert "interrupted" in said
        assert "Traceback" not in said
        assert not list(tmp_path.rglob("*.draft"))
        assert not (tmp_path / "tiny" / "runs" / "long" / "model").exists()
    again = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert again.returncode == 0, again.stderr

    assert run_command([*LONG, "--workspace", str(workspace)]) == 0
    model = Path("runs/long/model/model.safetensors")
    assert (tmp_path / "tiny" / model).read_bytes() == (tiny / model).read_bytes()
