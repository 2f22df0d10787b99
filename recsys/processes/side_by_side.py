"""Tasks in processes of their own: some at once, each with its part of the threads.

Each process gets its orders through a channel, and sends back its messages, its progress and its end. It is in a process group of its own,
so Ctrl-C on a terminal reaches the first process alone, which asks the others to stop as they would at Ctrl-C. (Not in a session of its
own: Linux shares the cores among sessions first, and priorities count within a session.) Where the first process dies, the channel closes,
and the others end at once: what they have written stands.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from recsys.errors import RecsysError
from recsys.processes.worker import END, LAST, PAUSE, STOP, Advanced, BarClosed, BarOpened, Ended, Happened, Said, Task
from recsys.progress import Advance, Console
from recsys.signals import Interruption
from recsys.threads import cores, environment

_PATIENCE = 5.0  # seconds in which a process that was told to end may do so by itself
_LOOK = 3.0  # seconds of wanting a core, after which it is judged what a process has got
_LEAST = 0.25  # of the core time that it wanted. Where others want all cores, a process of ordinary priority gets about half
_START = "from recsys.processes.worker import serve; serve({descriptor})"
_ASKED = (signal.SIGTERM, signal.SIGINT)


class ProcessDiedError(RecsysError):
    """A process that ended before its task did."""


def run_side_by_side(
    tasks: Sequence[Task],
    at_once: int,
    threads: int,
    interruption: Interruption,
    console: Console,
    done: Callable[[Task], None] = lambda task: None,
) -> None:
    """Do the tasks, `at_once` at a time, each with so many threads. When one fails or is interrupted, the others stop too.

    `done` is called with each task that is done; where it raises, the others end at once. Raise KeyboardInterrupt after Ctrl-C, and
    otherwise the first error that came: ProcessDiedError where its process died.
    """
    left, errors = list(tasks), list[BaseException]()
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(_started(threads, console)) for _ in range(min(at_once, len(left)))]
        while left or any(worker.task is not None for worker in workers):
            for worker in workers:
                if worker.task is None:
                    worker.begin(left.pop(0)) if left else worker.end()
            busy = [worker for worker in workers if worker.task is not None]
            heard = wait([worker.channel for worker in busy], PAUSE)
            for worker in busy:
                task, ended = worker.task, worker.hear() if worker.channel in heard else None
                if task is None or ended is None:
                    continue
                if ended.error is None:
                    done(task)
                else:
                    errors.append(ended.error)
            if errors or interruption.requested:
                left.clear()
                for worker in busy:
                    worker.stop()
    failed = [error for error in errors if not isinstance(error, KeyboardInterrupt)]
    if failed and not interruption.requested:
        raise failed[0]  # later ones may come of stopping
    if errors or interruption.requested:
        raise KeyboardInterrupt


@contextlib.contextmanager
def begun(task: Task, threads: int, console: Console) -> Iterator["Begun"]:
    """Begin a task in a process of its own, with so many threads, while this one does something else.

    The process ends with its task, and is killed at the end of the block where the task is not done. Raise OSError where the system
    grants no process.
    """
    with _started(threads, console) as worker:
        worker.begin(task)
        worker.begin_no_more()
        try:
            yield Begun(task, worker)
        finally:
            worker.kill()


class Begun:
    """A task that goes on in another process. What it says is shown while somebody waits for it."""

    def __init__(self, task: Task, worker: "_Worker") -> None:
        self._task = task
        self._worker = worker

    def wait(self, interruption: Interruption) -> bool:
        """Wait until the task is done. Return False where its process gets less than a quarter of the core time that it wants.

        Raise KeyboardInterrupt after Ctrl-C, and what the task raised: ProcessDiedError where its process died, or got a signal to end.
        """
        most, asking, wanted, computed = cores(), 0.0, 0.0, self._worker.computed()
        while self._worker.task is not None:
            if interruption.requested:
                raise KeyboardInterrupt
            if wait([self._worker.channel], PAUSE):
                self._hear(interruption)
            elif threads := self._worker.threads_that_want():
                asking += PAUSE
                wanted += PAUSE * min(threads, most)
                if asking > _LOOK:
                    now = self._worker.computed()
                    if now - computed < _LEAST * wanted:
                        return False
                    asking, wanted, computed = 0.0, 0.0, now
        return True

    def _hear(self, interruption: Interruption) -> None:
        ended = self._worker.hear()
        if ended is None or ended.error is None:
            return
        if isinstance(ended.error, KeyboardInterrupt) and not interruption.requested:
            raise ProcessDiedError(f"the process of {self._task.name} got a signal to end before it was done. Fix: see who sent it")
        raise ended.error


class _Worker:
    """A process as the first process sees it. `task` is what it does; None where it has nothing to do."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", channel: "Connection[Any, Any]", bars: contextlib.ExitStack, console: Console
    ) -> None:
        self.channel = channel
        self.task: Task | None = None
        self._process = process
        self._bars = bars
        self._console = console
        self._advance: dict[int, Advance] = {}  # of each open bar
        self._close: dict[int, contextlib.ExitStack] = {}
        self._told: set[str] = set()  # of orders that are given once

    def begin(self, task: Task) -> None:
        """Order a task."""
        self.task = task
        self._send(pickle.dumps(task))

    def stop(self) -> None:
        """Ask the process to stop, as it does at Ctrl-C."""
        self._send_once(STOP)

    def end(self) -> None:
        """Tell the process to end at once."""
        self._send_once(END)

    def begin_no_more(self) -> None:
        """Tell the process to end when its task is done."""
        self._send_once(LAST)

    def kill(self) -> None:
        """Kill the process, whether its task is done or not: what a task has done is on the disk."""
        self._process.kill()
        for thread in self._threads():
            # A killed process gives its memory back before its locks, and needs a core for it. Not everybody may raise it to one.
            with contextlib.suppress(AttributeError, OSError):
                os.sched_setscheduler(int(thread.name), os.SCHED_OTHER, os.sched_param(0))
        if self.task is not None:
            self._end_bars(ProcessDiedError(f"the process of {self.task.name} was killed"))

    def threads_that_want(self) -> int:
        """Return how many threads of the process have a core or want one, or are stopped; 0 where the system does not tell."""
        return sum(_stat(thread)[:1] in (["R"], ["T"], ["t"]) for thread in self._threads())

    def computed(self) -> float:
        """Return the seconds of core time that the process has had; 0 where the system does not tell."""
        fields = _stat(Path(f"/proc/{self._process.pid}"))
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0  # utime and stime

    def _threads(self) -> Iterator[Path]:
        return Path(f"/proc/{self._process.pid}/task").glob("*")

    def hear(self) -> Ended | None:
        """Take one message, and do what it says. Return it where it is the end of the task."""
        try:
            message = self.channel.recv()
        except (EOFError, OSError):  # the latter half-way through a message
            message = Ended(self._death())
        match message:
            case Said(text):
                self._console.say(text)
            case Happened(what, about):
                self._console.event(what, **about)
            case BarOpened(bar, what, total):
                self._close[bar] = self._bars.enter_context(contextlib.ExitStack())
                self._advance[bar] = self._close[bar].enter_context(self._console.bar(what, total))
            case Advanced(bar, steps, note):
                self._advance[bar](steps, note)
            case BarClosed(bar):
                self._close[bar].close()
            case Ended(error):
                self._end_bars(error)
                self.task = None
                return message
        return None

    def _end_bars(self, error: BaseException | None) -> None:
        self._bars.__exit__(None if error is None else type(error), error, None)

    def _send_once(self, order: str) -> None:
        if order not in self._told:
            self._told.add(order)
            self._send(order)

    def _send(self, order: bytes | str) -> None:
        with contextlib.suppress(ConnectionError):  # it is dead, which `hear` tells
            self.channel.send(order)

    def _death(self) -> BaseException:
        code = self._process.wait()
        if -code in _ASKED:  # before it could listen to signals
            return KeyboardInterrupt()
        how = f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.strsignal(-code)})"
        fix = "see what it printed above"
        if code == -signal.SIGKILL:
            fix = "if memory ran out, --jobs 1, which does one after the other; the same command goes on from what is done"
        name = "a task" if self.task is None else self.task.name
        return ProcessDiedError(f"the process of {name} ended with {how} before it was done. Fix: {fix}")


@contextlib.contextmanager
def _started(threads: int, console: Console) -> Iterator[_Worker]:
    """Start a process that computes with so many threads. At the end of the block it ends."""
    ours, theirs = Pipe()
    path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
    with ours, contextlib.ExitStack() as bars:
        with theirs:
            start = _START.format(descriptor=theirs.fileno())
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", start, *sys.argv],  # -P: no folder beside those of sys.path
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,
                env=environment(threads) | {"PYTHONPATH": path},
            )
        worker = _Worker(process, ours, bars, console)
        try:
            ours.send(threads)
            yield worker
        finally:
            worker.end()
            ours.close()
            _wait(process)


def _stat(folder: Path) -> list[str]:
    """Return the fields of a process or of a thread from its state on (proc(5)); none where it has ended."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _wait(process: "subprocess.Popen[bytes]") -> None:
    """Wait for the end of a process. Kill one that does not end, because it is stopped or holds on to something."""
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
