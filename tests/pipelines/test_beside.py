"""Baselines that are fitted beside the training, in a process of their own."""

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch

from recsys import beside, config
from recsys.baselines.gbdt import MAX_ROWS
from recsys.cli import run_command
from recsys.errors import ConfigError
from recsys.jobs import open_job
from recsys.processes import Begun, side_by_side
from recsys.progress import Console
from recsys.signals import Interruption
from recsys.stages import Job
from tests.starving import starved
from tests.training.conftest import Said

from .conftest import PIPELINES

TINY = str(PIPELINES / "tiny.toml")
TREES = ["--set", 'evaluate.baselines=["popularity","gbdt","single_task"]']
BEGUN = "baselines: begun beside the training"


@pytest.fixture
def workspace(untouched: Path, tmp_path: Path) -> Path:
    """A workspace with encoded days, and no run."""
    folder = Path(shutil.copytree(untouched, tmp_path / "workspace"))
    shutil.rmtree(folder / "tiny" / "runs")
    return folder


@pytest.fixture
def pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads, on a log of any length, and nothing beside. On a busy machine what was begun may be given up, and be made here."""
    monkeypatch.setattr(beside, "WORTH", 1)
    monkeypatch.setattr(beside, "_idle_cores", lambda: 2.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


def walked(workspace: Path, *more: str) -> int:
    return run_command(["run", TINY, "--workspace", str(workspace), "--run", "first", "--until", "baselines", *more])


def made(workspace: Path) -> dict[str, bytes]:
    files = [path for path in (workspace / "tiny" / "runs").rglob("*") if path.is_file()]
    return {str(path.relative_to(workspace)): path.read_bytes() for path in files}


@pytest.mark.words
@pytest.mark.usefixtures("pays")
def test_they_end_in_the_bytes_of_one_after_the_other(untouched: Path, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All files that a run makes before it is judged. Trees do not depend on the number of threads."""
    assert walked(workspace) == 0
    said = capsys.readouterr().out
    assert said.count(BEGUN) == said.count("baseline gbdt: ") == 1
    beside, after = made(workspace), made(untouched)
    assert {name.split("-")[0] for name in beside if name.endswith("predictions.parquet")} >= {"tiny/runs/gbdt", "tiny/runs/popularity"}
    assert beside == {name: after[name] for name in beside}


@pytest.mark.words
@pytest.mark.usefixtures("pays")
def test_single_tasks_are_trained_meanwhile(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are an ordinary run, which the first process trains; what the other one has said is said behind them."""
    assert walked(workspace, *TREES) == 0
    said = capsys.readouterr().out
    assert said.index("baseline single_task: the run") < said.index("baseline popularity: ")
    assert len(list((workspace / "tiny" / "runs").glob("*/predictions.parquet"))) == 4


@pytest.mark.words
@pytest.mark.usefixtures("pays")
def test_they_are_begun_once(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not where they stand, and not beside a model that stands."""
    assert walked(workspace) == 0
    (trees,) = (workspace / "tiny" / "runs").glob("gbdt-*")
    capsys.readouterr()
    assert walked(workspace) == 0
    shutil.rmtree(trees)
    assert walked(workspace) == 0
    said = capsys.readouterr().out
    assert BEGUN not in said
    assert "gbdt: click: " in said
    shutil.rmtree(trees)
    assert walked(workspace, "--replace", "--set", "model.d_tower=4") == 0  # another model
    assert BEGUN in capsys.readouterr().out


@pytest.fixture
def job(workspace: Path) -> Job:
    pipeline = config.load(Path(TINY), [TREES[1]])
    return open_job(pipeline, workspace, run="own", console=Console(quiet=True))


def test_trees_hold_as_many_rows_as_their_memory_is_reckoned_by() -> None:
    assert beside._MOST_ROWS == MAX_ROWS


def test_they_have_the_threads_of_the_run(job: Job, pays: None) -> None:
    assert beside._threads_for(job) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("most_threads", lambda: 2),  # --jobs 2: no more than two at once
        ("memory_limits", lambda: iter([(900 << 20, "little")])),
        ("WORTH", 10**6),
        ("are_to_be_fitted", lambda job: False),
        ("is_to_be_trained", lambda job: False),
        ("_idle_cores", lambda: 1.4),  # of two
    ],
)
def test_they_are_not_begun_where_they_do_not_pay(
    job: Job, pays: None, monkeypatch: pytest.MonkeyPatch, name: str, value: Callable[..., object] | int
) -> None:
    monkeypatch.setattr(beside, name, value)
    assert beside._threads_for(job) == 0


def test_they_are_not_begun_where_none_are_trees(job: Job, pays: None, workspace: Path) -> None:
    bare = open_job(config.load(Path(TINY), ['evaluate.baselines=["popularity"]']), workspace, run="own", console=Console(quiet=True))
    assert beside._threads_for(bare) == 0


@pytest.fixture
def heard(workspace: Path) -> tuple[Job, list[str]]:
    """A job whose examples and encoded days stand, and what it says."""
    console = Said()
    job = open_job(config.load(Path(TINY), ['evaluate.baselines=["gbdt"]']), workspace, run="own", console=console)
    return job, console.texts


HOLDS = """
import sys
from pathlib import Path
from recsys.locks import locked
from recsys.progress import Console
with locked(Path(sys.argv[1]), [Path(sys.argv[2])], wait=False, console=Console(quiet=True)):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.words
@pytest.mark.usefixtures("pays")
def test_what_another_job_held_when_it_began_is_made_when_it_is_needed(heard: tuple[Job, list[str]]) -> None:
    job, _ = heard
    trees = next(iter(beside.STAGES["baselines"].writes(job)))
    command = [sys.executable, "-c", HOLDS, str(job.folder), str(trees.parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with beside.baselines_beside(job) as begun:
            assert begun is not None
            assert begun.going_on._worker.channel.poll(300.0), "its end, or what it says"
            other.communicate("\n")
            begun.end()
    assert trees.exists()


@pytest.mark.words
@pytest.mark.usefixtures("pays")
@pytest.mark.parametrize(
    ("number", "why"),
    [
        (signal.SIGKILL, ": the process of the baselines ended with signal 9 (Killed) before it was done"),
        (signal.SIGTERM, ": the process of the baselines got a signal to end before it was done"),
        (signal.SIGSTOP, ", at ordinary priority, because others use the cores"),
    ],
)
def test_where_a_signal_ends_their_process_they_are_made_here(heard: tuple[Job, list[str]], number: signal.Signals, why: str) -> None:
    job, said = heard
    with beside.baselines_beside(job) as begun:
        assert begun is not None
        begun.going_on._worker._process.send_signal(number)
        begun.end()
    assert f"baselines: begun anew{why}" in said
    assert any(text.startswith("gbdt: click: ") for text in said)


@pytest.mark.words
@pytest.mark.usefixtures("pays")
def test_where_others_want_the_cores_they_are_made_here(heard: tuple[Job, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    job, said = heard
    monkeypatch.setattr(side_by_side, "_LOOK", 1.0)
    with beside.baselines_beside(job) as begun:
        assert begun is not None
        with starved(begun.going_on._worker._process.pid):
            begun.end()
    assert "baselines: begun anew, at ordinary priority, because others use the cores" in said
    assert any(text.startswith("gbdt: click: ") for text in said)


class Ends:
    """A process beside that ends with an error."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def wait(self, interruption: Interruption) -> bool:
        raise self._error


@pytest.mark.words
@pytest.mark.parametrize(
    ("error", "said_of_it"), [(MemoryError(), "MemoryError"), (RuntimeError("can't start new thread"), "can't start new thread")]
)
def test_what_their_process_lacked_they_may_have_here(heard: tuple[Job, list[str]], error: Exception, said_of_it: str) -> None:
    job, said = heard
    beside.BaselinesBeside(job, cast(Begun, Ends(error)), contextlib.ExitStack()).end()
    assert said[0] == f"baselines: begun anew: {said_of_it}"
    assert any(text.startswith("gbdt: click: ") for text in said)


def test_what_is_wrong_with_the_job_is_wrong_here_too(job: Job) -> None:
    with pytest.raises(ConfigError, match="wrong"):
        beside.BaselinesBeside(job, cast(Begun, Ends(ConfigError("wrong"))), contextlib.ExitStack()).end()


def test_the_idle_cores_are_some_of_those_there_are() -> None:
    assert 0.0 <= beside._idle_cores() <= (os.cpu_count() or 1) * 1.2  # the system counts in hundredths of a second


@pytest.mark.usefixtures("pays")
def test_where_the_system_grants_no_process_they_are_made_later(heard: tuple[Job, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    job, said = heard

    def refused(*arguments: object, **named: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refused)
    with beside.baselines_beside(job) as begun:
        assert begun is None
    assert said == ["baselines: not begun beside the training: Resource temporarily unavailable"]


@pytest.mark.words
@pytest.mark.usefixtures("pays")
def test_where_the_training_fails_they_end(heard: tuple[Job, list[str]]) -> None:
    job, _ = heard
    with contextlib.suppress(ZeroDivisionError), beside.baselines_beside(job) as begun:
        assert begun is not None
        locks = job.folder / ".locks"
        _until(lambda: any(file.stat().st_size for file in locks.glob("runs+gbdt-*.json")))
        raise ZeroDivisionError
    assert begun.going_on._worker._process.poll() is not None
    assert not any(file.stat().st_size for file in locks.glob("runs+gbdt-*.json")), "another host would take it for alive"


def _until(happens: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.01)
