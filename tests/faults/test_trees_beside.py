"""Trees that are fitted in a process of their own while the run trains: kills, and two jobs at once."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recsys.threads import environment

from .amounts import ROUNDS, SIGKILLS, SIGTERMS
from .dying import digests

# A log of any length is long enough. The command line is that of `recsys`, so that a process beside has the workspace in its own.
RECSYS = """
import sys
from recsys import beside
from recsys.cli import run_command
beside.WORTH = 1
sys.exit(run_command(sys.argv[1:]))
"""
TREES = ["--until", "baselines", "--set", 'evaluate.baselines=["gbdt"]', "--set", "train.batch_size=16", "--set", "train.day_passes=3"]
OTHER = ["--set", "train.learning_rate=0.003"]
BEGUN = "baselines: begun beside the training"


def begin(toml: Path, workspace: Path, run: str, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", RECSYS, "run", str(toml), "--workspace", str(workspace), "--run", run, *TREES, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(2))


@pytest.fixture(scope="module")
def whole(toml: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], float]:
    """What two runs leave that share their trees, one after the other; and the seconds of the first."""
    workspace, seconds = tmp_path_factory.mktemp("whole"), []
    for run, more in (("one", []), ("two", OTHER)):
        start = time.perf_counter()
        with begin(toml, workspace, run, *more) as job:
            said, wrong = job.communicate()
        seconds.append(time.perf_counter() - start)
        assert (job.returncode, BEGUN in said) == (0, run == "one"), wrong
    return digests(workspace), seconds[0]


def of_one(right: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in right.items() if "/runs/two/" not in name}


STOPS = [(signal.SIGKILL, seed) for seed in range(SIGKILLS // 3)] + [(signal.SIGTERM, 1_000 + seed) for seed in range(SIGTERMS // 3)]


@pytest.mark.faults
@pytest.mark.parametrize(("number", "seed"), STOPS)
def test_a_stopped_job_goes_on_and_leaves_no_process(
    toml: Path, whole: tuple[dict[str, str], float], tmp_path: Path, number: signal.Signals, seed: int
) -> None:
    right, seconds = whole
    with begin(toml, tmp_path, "one") as job:
        time.sleep(random.Random(seed).uniform(0.3, 1.0) * seconds)
        job.send_signal(number)
        _, wrong = job.communicate(timeout=600)
    assert job.returncode in (0, 130, -number), wrong
    with begin(toml, tmp_path, "one", "--wait") as again:  # a process that is left ends once it has a core
        _, wrong = again.communicate(timeout=600)
    assert again.returncode == 0, wrong
    assert digests(tmp_path) == of_one(right)
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in read(path)]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""


@pytest.mark.faults
@pytest.mark.parametrize("runs", [("one", "one"), ("one", "two")])
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_two_jobs_with_the_same_trees_leave_what_they_leave_one_after_the_other(
    toml: Path, whole: tuple[dict[str, str], float], tmp_path: Path, runs: tuple[str, str], seed: int
) -> None:
    right, _ = whole
    pauses, jobs = random.Random(seed), []
    for run in runs:
        jobs.append(begin(toml, tmp_path, run, "--wait", *(OTHER if run == "two" else [])))
        time.sleep(pauses.uniform(0, 2))
    for job in jobs:
        _, wrong = job.communicate(timeout=600)
        assert (job.returncode, wrong) == (0, "")
    assert digests(tmp_path) == (right if "two" in runs else of_one(right))
