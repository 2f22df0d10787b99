"""Trees that are fitted in a process of their own while the run trains: kills, and two jobs at once."""

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import pytest

from recsys.threads import environment

from .amounts import ROUNDS, SIGKILLS, SIGTERMS
from .dying import digests

# A log of any length is long enough, on a machine that does something else, too. A process beside has the workspace in its command line.
RECSYS = """
import sys
from recsys import beside
from recsys.cli import run_command
beside.WORTH, beside._LEFT = 1, 0
sys.exit(run_command(sys.argv[1:]))
"""
TREES = ["--until", "baselines", "--set", 'evaluate.baselines=["gbdt"]', "--set", "train.batch_size=16", "--set", "train.day_passes=3"]
OTHER = ["--set", "train.learning_rate=0.003"]
BEGUN = "baselines: begun beside the training"


def begin(toml: Path, workspace: Path, run: str, *more: str, output: IO[str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", RECSYS, "run", str(toml), "--workspace", str(workspace), "--run", run, *TREES, *more]
    return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, text=True, env=environment(2))


def ended(toml: Path, workspace: Path, run: str, *more: str) -> str:
    """What a job says that ends well."""
    with tempfile.TemporaryFile("w+") as output:
        code = begin(toml, workspace, run, *more, output=output).wait(600)
        output.seek(0)
        said = output.read()
    assert code == 0, said
    return said


@pytest.fixture(scope="module")
def whole(toml: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], float]:
    """What two runs leave that share their trees, one after the other; and the seconds of the first."""
    workspace, seconds = tmp_path_factory.mktemp("whole"), []
    for run, more in (("one", []), ("two", OTHER)):
        start = time.perf_counter()
        assert (BEGUN in ended(toml, workspace, run, *more)) == (run == "one")
        seconds.append(time.perf_counter() - start)
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
    with tempfile.TemporaryFile("w+") as output:
        job = begin(toml, tmp_path, "one", output=output)
        time.sleep(random.Random(seed).uniform(0.3, 1.0) * seconds)
        job.send_signal(number)
        assert job.wait(600) in (0, 130, -number)
    ended(toml, tmp_path, "one", "--wait")  # the process beside ends once it has a core
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
    with tempfile.TemporaryFile("w+") as output:
        first = begin(toml, tmp_path, runs[0], "--wait", output=output)
        time.sleep(random.Random(seed).uniform(0, 2))
        ended(toml, tmp_path, runs[1], "--wait", *(OTHER if runs[1] == "two" else []))
        assert first.wait(600) == 0
    assert digests(tmp_path) == (right if "two" in runs else of_one(right))
