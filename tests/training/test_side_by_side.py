"""Members fitted in processes of their own: the same bytes as one after the other, whatever ends a process."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from recsys.config import Pipeline
from recsys.errors import ConfigError, RecsysError
from recsys.processes import side_by_side
from recsys.progress import Advance
from recsys.scoring.devices import Compute
from recsys.training import ensemble, train_model
from recsys.training.ensemble import WORTH, members_at_once
from recsys.training.pace import pace_of
from recsys.training.work import Training, open_training

from .conftest import Said, Toy, pipeline_of, run_train
from .test_resume import assert_equal

CPU = Compute(torch.device("cpu"), "fp32")
SLOW = {"order": "shuffled", "passes": 2, "patience": 2, "batch_size": 8, "refit": False}


class Shown(Said):
    """Does something once, when both members are under way."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__()
        self._then = then
        self._under_way: set[str] | None = set()

    @contextlib.contextmanager
    def bar(self, what: str, total: int) -> Iterator[Advance]:
        def advance(steps: int = 1, note: str = "") -> None:
            if self._under_way is None or not steps:
                return
            self._under_way.add(what)
            if len(self._under_way) == 2:
                self._under_way = None
                self._then()

        yield advance


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two members at once, with one thread each."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(train_model, "members_at_once", lambda training: 2)
    yield
    torch.set_num_threads(before)


def processes(of: int) -> list[int]:
    """The children of a process that fit members, in the order of their start."""
    children = [int(word) for path in Path(f"/proc/{of}/task").glob("*/children") for word in path.read_text().split()]
    return sorted(child for child in children if is_fitting(child))


def is_fitting(number: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return b"processes.worker" in Path(f"/proc/{number}/cmdline").read_bytes()
    return False


def in_turn(pipeline: Pipeline, toy: Toy, run: Path, monkeypatch: pytest.MonkeyPatch, said: Said | None = None) -> Path:
    with monkeypatch.context() as patch:
        patch.setattr(train_model, "members_at_once", lambda training: 1)
        run_train(pipeline, toy.encoded, run, said)
    return run


def _without_speed(said: Said) -> list[str]:
    return sorted(re.sub(r"[0-9,]+ rows/s", "", text) for text in said.texts)


@pytest.mark.words
@pytest.mark.usefixtures("two")
def test_they_end_in_the_bytes_of_one_after_the_other(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three members, so that one process fits two of them. The same is said."""
    pipeline = pipeline_of(model={"members": 3, "input_share": 0.8}, train={"order": "shuffled", "passes": 2, "batch_size": 100})
    beside, alone = Said(), Said()
    run_train(pipeline, toy.encoded, tmp_path / "beside", beside)
    assert_equal(tmp_path / "beside", in_turn(pipeline, toy, tmp_path / "in turn", monkeypatch, alone))
    assert not processes(os.getpid())
    assert _without_speed(beside) == _without_speed(alone)
    assert sum("member 3 of 3" in text for text in beside.texts) == 2  # of its choosing phase and of its refit


@pytest.mark.words
def test_the_error_of_a_member_is_that_of_the_training(toy: Toy, tmp_path: Path, two: None) -> None:
    pipeline = pipeline_of(model={"members": 2}, train={"batch_size": 64, "learning_rate": 1e25})
    with pytest.raises(ConfigError, match=r"at step \d+ \(member [12], choose") as raised:
        run_train(pipeline, toy.encoded, tmp_path / "run")
    assert "in fit_member" in "".join(raised.value.__notes__)  # the traceback of the other process
    assert not (tmp_path / "run/model").exists()
    assert not processes(os.getpid())


def _kill_a_child() -> None:
    os.kill(processes(os.getpid())[0], signal.SIGKILL)


def _stop_a_child() -> None:
    os.kill(processes(os.getpid())[0], signal.SIGTERM)


def _press_twice() -> None:
    raise KeyboardInterrupt  # what the second Ctrl-C does at once


ENDS = {
    "Ctrl-C": pytest.param(lambda: signal.raise_signal(signal.SIGINT), KeyboardInterrupt, None, marks=pytest.mark.words),
    "Ctrl-C twice": pytest.param(_press_twice, KeyboardInterrupt, None, marks=pytest.mark.words),
    "SIGTERM to one process": pytest.param(_stop_a_child, KeyboardInterrupt, None, marks=pytest.mark.words),
    "a process is killed": pytest.param(
        _kill_a_child,
        RecsysError,
        r"the process of member [12] ended with signal 9 \(Killed\).*Fix: if memory ran out, --jobs 1",
        marks=pytest.mark.words,
    ),
}


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(("then", "error", "words"), ENDS.values(), ids=ENDS)
def test_whatever_ends_them_the_same_command_goes_on(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: Callable[[], None], error: type[BaseException], words: str | None
) -> None:
    """It goes on one after the other, because a member does not know who fits it."""
    pipeline = pipeline_of(model={"members": 2}, train=SLOW)
    with pytest.raises(error, match=words):
        run_train(pipeline, toy.encoded, tmp_path / "parts", Shown(then))
    assert not processes(os.getpid())
    assert not (tmp_path / "parts/model").exists()
    assert list((tmp_path / "parts/checkpoint").glob("state-*.safetensors"))
    in_turn(pipeline, toy, tmp_path / "parts", monkeypatch)
    assert_equal(tmp_path / "parts", in_turn(pipeline, toy, tmp_path / "whole", monkeypatch))


DYING = """
import os, signal, sys
from pathlib import Path
from recsys.training import train_model
from tests.training.conftest import pipeline_of, run_train
from tests.training.test_side_by_side import SLOW, Shown, processes

def die():
    print(*processes(os.getpid()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

train_model.members_at_once = lambda training: 2
slow = SLOW | {"passes": 1000, "patience": 1000}
run_train(pipeline_of(model={"members": 2}, train=slow), Path(sys.argv[1]), Path(sys.argv[2]), Shown(die))
"""


@pytest.mark.words
def test_they_end_with_the_first_process(toy: Toy, tmp_path: Path) -> None:
    """They would need minutes to end by themselves."""
    command = [sys.executable, "-c", DYING, str(toy.encoded), str(tmp_path / "run")]
    with (tmp_path / "out").open("w") as out, (tmp_path / "error").open("w") as error:  # not pipes: those last as long as their last writer
        done = subprocess.run(command, stdout=out, stderr=error, check=False, timeout=120, cwd=Path(__file__).resolve().parents[2])
    said = (tmp_path / "error").read_text()
    assert done.returncode == -signal.SIGKILL, said
    numbers = [int(word) for word in (tmp_path / "out").read_text().split()]
    assert len(numbers) == 2
    until = time.monotonic() + 20
    while any(map(is_fitting, numbers)) and time.monotonic() < until:
        time.sleep(0.05)
    alive = [number for number in numbers if is_fitting(number)]
    for number in alive:
        os.kill(number, signal.SIGKILL)
    assert not alive
    assert "Traceback" not in said


@pytest.mark.words
def test_a_module_in_the_working_directory_is_not_taken_for_ours(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two: None
) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    run_train(pipeline_of(model={"members": 2}, train={"refit": False}), toy.encoded, tmp_path / "run")


@pytest.mark.words
def test_a_process_that_cannot_start_says_where_to_look(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two: None, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(side_by_side, "_START", "import nothing_of_that_name")
    with pytest.raises(RecsysError, match=r"the process of member [12] ended with exit code 1 .*Fix: see what it printed above"):
        run_train(pipeline_of(model={"members": 2}), toy.encoded, tmp_path / "run")
    assert "nothing_of_that_name" in capfd.readouterr().err


# --- How many at once ---------------------------------------------------------------------------------------------
@pytest.fixture
def training(toy: Toy) -> Training:
    return open_training(pipeline_of(model={"members": 4}), toy.encoded, CPU)


@pytest.mark.parametrize(
    ("rows", "threads", "device", "expected"),
    [
        (WORTH // 4, 8, "cpu", 4),
        (WORTH // 4, 4, "cpu", 4),
        (WORTH // 4, 3, "cpu", 3),
        (WORTH // 4, 1, "cpu", 1),
        (WORTH // 4 - 1, 8, "cpu", 1),
        (WORTH, 8, "cuda", 1),
    ],
)
def test_as_many_as_there_are_threads_where_it_pays(
    training: Training, monkeypatch: pytest.MonkeyPatch, rows: int, threads: int, device: str, expected: int
) -> None:
    monkeypatch.setattr(ensemble.torch, "get_num_threads", lambda: threads)
    pace = replace(pace_of(training.pipeline.train, rows), day_passes=1)
    assert members_at_once(replace(training, pace=pace, compute=Compute(torch.device(device), "fp32"))) == expected


def test_passes_count(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble.torch, "get_num_threads", lambda: 2)
    found: dict[Any, int] = {}
    for order in ("time", "shuffled"):
        pipeline = training.pipeline.model_copy(update={"train": training.pipeline.train.model_copy(update={"order": order})})
        pace = replace(training.pace, rows=WORTH // 8, passes=2, day_passes=1)
        found[order] = members_at_once(replace(training, pipeline=pipeline, pace=pace))
    assert found == {"time": 1, "shuffled": 2}
