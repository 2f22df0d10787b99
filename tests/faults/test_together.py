"""One of several processes is killed at a random moment: all end soon, one says why, and the same command goes on to the same bytes."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recsys.cli import run_command

from .amounts import SIGKILLS
from .dying import digests

OPTIONS = [
    "--set",
    "train.order=shuffled",
    "--set",
    "train.batch_size=8",
    "--set",
    "train.passes=6",
    "--set",
    "train.checkpoint_seconds=0.5",
]
LONG = [*OPTIONS, "--set", "model.members=2", "--run=long"]


def start(toml: Path, workspace: Path, processes: int) -> "subprocess.Popen[str]":
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "-m", "--"]
    command = [*torchrun, "recsys", "train", str(toml), *LONG, "--workspace", str(workspace)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def whole(toml: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], float]:
    """What two processes leave that nobody stops, and the seconds that they take."""
    workspace = tmp_path_factory.mktemp("whole")
    assert run_command(["run", str(toml), "--until", "encode", *LONG, "--workspace", str(workspace), "--quiet"]) == 0
    began = time.perf_counter()
    process = start(toml, workspace, 2)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return digests(workspace), time.perf_counter() - began


@pytest.mark.faults
def test_a_signal_to_all_stops_all_after_a_checkpoint(toml: Path, whole: tuple[dict[str, str], float], tmp_path: Path) -> None:
    """As a scheduler sends it: to each process, and to torchrun, which sends it on."""
    right, _ = whole
    assert run_command(["run", str(toml), "--until", "encode", *LONG, "--workspace", str(tmp_path), "--quiet"]) == 0
    process = start(toml, tmp_path, 2)
    while process.poll() is None and not any(len(path.read_text().splitlines()) > 3 for path in tmp_path.rglob("journal-0.jsonl")):
        time.sleep(0.05)
    children = list(map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()))
    for each in (*children, process.pid):
        os.kill(each, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode, "it was done before the signal came"
    assert "error: interrupted" in said, said
    _, said = start(toml, tmp_path, 2).communicate(timeout=300)
    assert digests(tmp_path) == right, said


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(min(SIGKILLS, 6)))
def test_a_killed_process_ends_all(toml: Path, whole: tuple[dict[str, str], float], tmp_path: Path, seed: int) -> None:
    right, seconds = whole
    draw, killed = random.Random(seed), seed % 2
    assert run_command(["run", str(toml), "--until", "encode", *LONG, "--workspace", str(tmp_path), "--quiet"]) == 0
    process = start(toml, tmp_path, 2)
    time.sleep(draw.uniform(0.3, 1.0) * seconds)
    ranks = sorted(map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()))
    if ranks:
        os.kill(ranks[killed], signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    if process.returncode:
        assert len(re.findall("^error: ", said, re.MULTILINE)) <= 1, said
    again = start(toml, tmp_path, 2)
    _, said = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert digests(tmp_path) == right
