"""Tasks in processes of their own: bars of processes within processes, the error that is told, and signals to all at once."""

import contextlib
import io
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console as RichConsole

from recsys.errors import ConfigError
from recsys.processes import ProcessDiedError, Task, begun, run_side_by_side, side_by_side
from recsys.progress import Console
from recsys.signals import Interruption, deferred_interrupt
from tests.starving import starved
from tests.training.conftest import Said

pytestmark = pytest.mark.words


@dataclass(frozen=True)
class Counts(Task):
    """Counts on a bar."""

    steps: int

    def run(self, console: Console) -> None:
        with console.bar(self.name, self.steps) as advance:
            for step in range(self.steps):
                time.sleep(0.02)
                advance(note=f"step {step}")


@dataclass(frozen=True)
class CountsTwice(Task):
    """Counts in two processes of its own."""

    def run(self, console: Console) -> None:
        run_side_by_side([Counts("short", "", 5), Counts("long", "", 60)], 2, 1, Interruption(), console)


@dataclass(frozen=True)
class Fails(Task):
    """Fails after a while, or when it is asked to stop, with another error."""

    seconds: float

    def run(self, console: Console) -> None:
        try:
            time.sleep(self.seconds)
        except KeyboardInterrupt:
            raise ConfigError(f"{self.name} was disturbed") from None
        raise ConfigError(f"{self.name} failed")


@dataclass(frozen=True)
class Saves(Task):
    """Works until it is asked to stop, takes a second for that, and writes that it has saved."""

    file: Path

    def run(self, console: Console) -> None:
        with deferred_interrupt() as interruption:
            console.say("begun")
            while not interruption.requested:
                time.sleep(0.01)
            time.sleep(1.0)
            self.file.write_text("saved")


@dataclass(frozen=True)
class Computes(Task):
    """Computes for so many seconds."""

    seconds: float

    def run(self, console: Console) -> None:
        console.say("begun")
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            pass


@dataclass(frozen=True)
class InThreads(Task):
    """Computes in so many threads, one after the other."""

    threads: int

    def run(self, console: Console) -> None:
        for _ in range(self.threads):
            thread = threading.Thread(target=Computes("", "", 0.3).run, args=(Console(quiet=True),))
            thread.start()
            thread.join()


def on_terminal() -> Console:
    console = Console()
    console._out = RichConsole(file=io.StringIO(), force_terminal=True, width=120, _environ={"TERM": "xterm"})
    return console


def test_bars_of_processes_within_a_process_end_one_by_one() -> None:
    console = on_terminal()
    run_side_by_side([CountsTwice("both", "1: ")], 1, 2, Interruption(), console)
    assert console._progress is None


def test_the_first_error_is_told_and_not_what_came_of_stopping() -> None:
    tasks = [Fails("slow", "", 60.0), Fails("quick", "", 0.2)]
    with pytest.raises(ConfigError, match="quick failed"):
        run_side_by_side(tasks, 2, 1, Interruption(), Console(quiet=True))


class Begun(Console):
    """Sends SIGTERM to the processes, and then Ctrl-C to this one, once all have begun."""

    def __init__(self, tasks: int) -> None:
        super().__init__(quiet=True)
        self._left = tasks

    def say(self, text: str) -> None:
        self._left -= text == "begun"
        if not self._left:
            for child in _children():
                os.kill(child, signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)


def _children() -> Iterator[int]:
    words = [word for path in Path("/proc/self/task").glob("*/children") for word in path.read_text().split()]
    for child in map(int, words):
        with contextlib.suppress(FileNotFoundError):
            if b"processes.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                yield child


def test_a_signal_to_all_processes_at_once_is_one_signal(tmp_path: Path) -> None:
    """As a batch system sends it. The order to stop that follows is no second Ctrl-C, which would act at once."""
    assert threading.current_thread() is threading.main_thread()
    files = [tmp_path / name for name in "ab"]
    with pytest.raises(KeyboardInterrupt), deferred_interrupt() as interruption:
        run_side_by_side([Saves(file.name, "", file) for file in files], 2, 1, interruption, Begun(2))
    assert [file.read_text() for file in files] == ["saved", "saved"]


# --- One task beside what the first process does --------------------------------------------------------------------
@dataclass(frozen=True)
class Speaks(Task):
    """Says something, and tells programs of it."""

    def run(self, console: Console) -> None:
        console.say("said")
        console.event("stage", rows={"read": 3})


class Heard(Said):
    """Keeps what it is told, events as text."""

    def event(self, what: str, **about: object) -> None:
        self.texts.append(f"{what}: {about}")


def test_what_it_says_is_heard_by_the_one_who_waits() -> None:
    console = Heard()
    with begun(Speaks("beside", "of it: "), 1, console) as going_on:
        assert going_on._worker.channel.poll(60.0)
        assert not console.texts
        assert going_on.wait(Interruption())
        assert going_on.wait(Interruption()), "a second time"
    assert console.texts == ["of it: said", "stage: {'rows': {'read': 3}}"]


def test_its_error_is_raised_by_the_one_who_waits() -> None:
    with begun(Fails("beside", "", 0.0), 1, Console(quiet=True)) as going_on, pytest.raises(ConfigError, match="beside failed"):
        going_on.wait(Interruption())


def test_ctrl_c_ends_it_at_once_though_it_would_save_for_a_second(tmp_path: Path) -> None:
    with begun(Saves("beside", "", tmp_path / "saved"), 1, Console(quiet=True)) as going_on:
        assert going_on._worker.channel.poll(60.0)
        with pytest.raises(KeyboardInterrupt):
            going_on.wait(Interruption(came=True))
    assert not list(_children())
    assert not (tmp_path / "saved").exists()


def test_it_is_given_up_where_others_want_its_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not where it computes, or waits for something else than a core."""
    monkeypatch.setattr(side_by_side, "_LOOK", 1.0)
    with begun(Computes("starved", "", 600.0), 1, Console(quiet=True)) as going_on, starved(going_on._worker._process.pid):
        assert not going_on.wait(Interruption())
    monkeypatch.setattr(side_by_side, "_LEAST", 0.05)  # what a process of ordinary priority gets on a busy machine, too
    with begun(Computes("busy", "", 2.0), 1, Console(quiet=True)) as going_on:
        assert going_on.wait(Interruption())
    with begun(InThreads("many", "", 8), 1, Console(quiet=True)) as going_on:
        assert going_on.wait(Interruption()), "the time of threads that have ended counts"
    with begun(Fails("asleep", "", 3.0), 1, Console(quiet=True)) as going_on, pytest.raises(ConfigError, match="asleep failed"):
        going_on.wait(Interruption())


def test_its_process_ends_with_it() -> None:
    """So its memory is free while the first process does something else."""
    with begun(Speaks("beside", ""), 1, Console(quiet=True)) as going_on:
        assert going_on._worker._process.wait(60.0) == 0
        assert going_on.wait(Interruption())


def test_a_signal_to_it_alone_is_no_ctrl_c() -> None:
    with begun(Computes("beside", "", 600.0), 1, Console(quiet=True)) as going_on:
        assert going_on._worker.channel.poll(60.0)
        going_on._worker._process.send_signal(signal.SIGTERM)
        with pytest.raises(ProcessDiedError, match="of beside got a signal to end"):
            going_on.wait(Interruption())


def test_no_bar_of_one_that_is_killed_ends_as_done() -> None:
    console = Said()
    with begun(Counts("beside", "", 10_000), 1, console) as going_on:
        assert going_on._worker.channel.poll(60.0)
        going_on._worker.hear()
    assert not console.texts
