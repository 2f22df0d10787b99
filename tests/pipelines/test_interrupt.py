"""Ctrl-C half-way, as a shell would send it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from recsys.cli import run_command

from .conftest import write_small

LONG = ["--until", "train", "--set", "train.batch_size=16", "--set", "train.day_passes=5", "--run", "long", "--quiet"]


def hear_ctrl_c() -> None:
    """In the child, before it starts: a shell that runs the tests in the background ignores SIGINT for them and all they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupted(command: list[str], appears: Path, number: signal.Signals = signal.SIGINT) -> str:
    """What is said by the command that hears the signal once this file or folder is there."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c)  # noqa: PLW1509
    while process.poll() is None and not appears.exists():
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130, said
    return said


@pytest.mark.words
def test_the_same_command_goes_on_after_ctrl_c_as_often_as_it_comes(tmp_path: Path):
    """In ingest, in features (which two threads make), in encode, then in train; it ends in the bytes of one that nobody interrupts."""
    toml, parts, whole = write_small(tmp_path, np.arange(1200) % 100), tmp_path / "parts", tmp_path / "whole"
    command = ["run", str(toml), *LONG, "--workspace", str(parts)]
    for appears in ("events", "state", "encoded", "runs/long/checkpoint/journal-0.jsonl"):
        said = interrupted([sys.executable, "-m", "recsys", *command], parts / "small" / appears)
        assert "interrupted" in said
        assert "Traceback" not in said
        assert not (parts / "small" / "runs" / "long" / "model").exists()
    assert run_command(command) == 0
    assert not list(parts.rglob("*.draft"))  # an interrupted job may leave one, the next one removes it
    assert run_command(["run", str(toml), *LONG, "--workspace", str(whole)]) == 0
    model = Path("small/runs/long/model/model.safetensors")
    assert (parts / model).read_bytes() == (whole / model).read_bytes()


@pytest.mark.words
def test_sigterm_leaves_a_checkpoint_as_ctrl_c_does(tmp_path: Path):
    toml = write_small(tmp_path, np.arange(1200) % 100)
    command = ["run", str(toml), *LONG, "--workspace", str(tmp_path / "parts")]
    run = tmp_path / "parts" / "small" / "runs" / "long"
    said = interrupted([sys.executable, "-m", "recsys", *command], run / "checkpoint/journal-0.jsonl", signal.SIGTERM)
    assert "interrupted" in said
    assert "Traceback" not in said
    assert (run / "checkpoint" / "state-0.safetensors").exists()
    assert not (run / "model").exists()


SIDE_BY_SIDE = """
import sys
from recsys.cli import main
from recsys.training import train_model
train_model.members_at_once = lambda training: 2
main()
"""


@pytest.mark.words
def test_members_side_by_side_end_as_one_process_does(tmp_path: Path):
    """The exit code, the message, and the bytes of the model and of the journal."""
    toml = write_small(tmp_path, np.arange(1200) % 100)
    command = ["run", str(toml), *LONG, "--set", "model.members=2"]
    there = [sys.executable, "-c", SIDE_BY_SIDE, *command, "--workspace", str(tmp_path / "parts")]
    run = Path("small/runs/long")
    said = interrupted(there, tmp_path / "parts" / run / "checkpoint/state-1.safetensors", signal.SIGTERM)
    assert "error: interrupted. The same command goes on" in said
    assert "Traceback" not in said
    subprocess.run(there, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert run_command([*command, "--workspace", str(tmp_path / "whole")]) == 0
    for name in ("model/model.safetensors", "training.jsonl"):
        assert (tmp_path / "parts" / run / name).read_bytes() == (tmp_path / "whole" / run / name).read_bytes()


# The signal comes while a library runs Python text from C: Python then wants to end by SIGINT, whatever exit code it is given.
WITHIN_C = """
import ctypes, sys
from recsys.cli import command_line
run = ctypes.pythonapi.PyRun_String
run.argtypes, run.restype = [ctypes.c_char_p, ctypes.c_int, ctypes.py_object, ctypes.py_object], ctypes.py_object
def app(**_):
    run(b"import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 257, {}, {})
command_line._verbs = lambda: app
command_line.main()
"""


def test_the_exit_code_is_130_wherever_the_signal_comes(tmp_path: Path):
    (tmp_path / "within_c.py").write_text(WITHIN_C)
    done = subprocess.run([sys.executable, "-m", "within_c"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (130, "error: interrupted. The same command goes on from what is done\n")
