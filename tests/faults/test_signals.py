"""SIGKILL and SIGTERM at a moment drawn at random: the same command then ends in the bytes of a job that nobody stopped."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recsys.cli import run_command

from .amounts import SIGKILLS, SIGTERMS
from .dying import digests

LONG = ["--quiet", "--set", "train.batch_size=16", "--set", "train.day_passes=3", "--run", "long"]


@pytest.fixture(scope="module")
def whole(toml: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], float]:
    """What is left by a job that nobody stops, and the seconds it takes."""
    workspace = tmp_path_factory.mktemp("whole")
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "recsys", "run", str(toml), *LONG, "--workspace", str(workspace)], check=False)
    assert done.returncode == 0
    return digests(workspace), time.perf_counter() - start


STOPS = [(signal.SIGKILL, seed) for seed in range(SIGKILLS)] + [(signal.SIGTERM, seed) for seed in range(1_000, 1_000 + SIGTERMS)]


@pytest.mark.faults
@pytest.mark.parametrize(("number", "seed"), STOPS)
def test_a_stopped_job_goes_on(toml: Path, whole: tuple[dict[str, str], float], tmp_path: Path, number: signal.Signals, seed: int) -> None:
    right, seconds = whole
    command = ["run", str(toml), *LONG, "--workspace", str(tmp_path)]
    process = subprocess.Popen([sys.executable, "-m", "recsys", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(random.Random(seed).uniform(0.1, 1.0) * seconds)
    process.send_signal(number)
    _, said = process.communicate(timeout=600)
    assert process.returncode in (0, 130, -number), said  # -number: killed, or not yet listening
    assert number != signal.SIGKILL or process.returncode != 130
    if process.returncode == 130:
        assert "interrupted" in said
        assert "Traceback" not in said
    assert run_command(command) == 0
    assert digests(tmp_path) == right
