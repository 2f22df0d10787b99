"""Members fitted side by side: some processes, each of which fits one member after the other with its part of the threads.

A small net gains little from more threads, so members in processes of their own use the cores better. No member depends on another, so it
does not matter which process fits which.

Each process gets its orders through a channel, and sends back its messages, its progress and its end. It is in a session of its own, so
Ctrl-C on a terminal reaches the first process alone, which asks the others to save and stop. Where the first process dies, the channel
closes, and the others end at once: the checkpoints stand.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from recsys.errors import RecsysError
from recsys.progress import Advance, Console
from recsys.signals import Interruption
from recsys.threads import environment
from recsys.training.checkpoint import Checkpoints
from recsys.training.member_process import END, PAUSE, STOP, Advanced, BarClosed, BarOpened, Ended, Said, Task
from recsys.training.work import Training

WORTH = 250_000  # row visits of all members; a process takes five seconds before its first step
_PATIENCE = 5.0  # seconds in which a process that was told to end may do so by itself
_START = "from recsys.training.member_process import serve; serve({descriptor})"
_ASKED = (signal.SIGTERM, signal.SIGINT)


def members_at_once(training: Training) -> int:
    """Return how many members are fitted at once: at most one per thread; one on a GPU, and where there is little to do.

    It is a function of the options, the rows and the threads (`--jobs`), so a repeated command does the same operations again.
    """
    members, pace = training.pipeline.model.most_members, training.pace
    visits = members * pace.rows * pace.over(training.pipeline.train.order)
    if training.compute.device.type != "cpu" or visits < WORTH:
        return 1
    return min(members, torch.get_num_threads())


def fit_side_by_side(
    training: Training, checkpoints: Checkpoints, todo: Sequence[int], at_once: int, interruption: Interruption, console: Console
) -> None:
    """Fit the members `todo`, `at_once` at a time. When one fails or stops, the others save their states and stop too.

    Raise KeyboardInterrupt after Ctrl-C, and otherwise the error of the first member that failed: RecsysError where its process died.
    """
    task = Task(training.pipeline, training.encoded, checkpoints, threads=max(1, torch.get_num_threads() // at_once))
    left, errors = list(todo), dict[int, BaseException]()
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(_started(task, console)) for _ in range(min(at_once, len(left)))]
        while left or any(worker.member is not None for worker in workers):
            for worker in workers:
                if worker.member is None:
                    worker.fit(left.pop(0)) if left else worker.end()
            busy = [worker for worker in workers if worker.member is not None]
            heard = wait([worker.channel for worker in busy], PAUSE)
            for worker in busy:
                member, ended = worker.member, worker.hear() if worker.channel in heard else None
                if member is not None and ended is not None and ended.error is not None:
                    errors[member] = ended.error
            if errors or interruption.requested:
                left.clear()
                for worker in busy:
                    worker.stop()
    failed = [index for index, error in sorted(errors.items()) if not isinstance(error, KeyboardInterrupt)]
    if failed and not interruption.requested:
        raise errors[failed[0]]
    if errors or interruption.requested:
        raise KeyboardInterrupt


class _Worker:
    """A process as the first process sees it. `member` is the member that it fits; None where it has nothing to do."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", channel: "Connection[Any, Any]", bars: contextlib.ExitStack, console: Console
    ) -> None:
        self.channel = channel
        self.member: int | None = None
        self._process = process
        self._bars = bars
        self._console = console
        self._advance: Advance = _ignore
        self._told: set[str] = set()  # of orders that are given once

    def fit(self, member: int) -> None:
        self.member = member
        self._send(member)

    def stop(self) -> None:
        """Ask the process to save its state and to stop."""
        self._send_once(STOP)

    def end(self) -> None:
        """Tell the process to end at once."""
        self._send_once(END)

    def hear(self) -> Ended | None:
        """Take one message, and do what it says. Return it where it is the end of the member."""
        try:
            message = self.channel.recv()
        except (EOFError, OSError):  # the latter half-way through a message
            message = Ended(self._death())
        match message:
            case Said(text):
                self._console.say(text)
            case BarOpened(what, total):
                self._advance = self._bars.enter_context(self._console.bar(what, total))
            case Advanced(steps, note):
                self._advance(steps, note)
            case BarClosed():
                self._bars.close()
            case Ended(error):
                self._bars.__exit__(None if error is None else type(error), error, None)
                self.member = None
                return message
        return None

    def _send_once(self, order: str) -> None:
        if order not in self._told:
            self._told.add(order)
            self._send(order)

    def _send(self, order: int | str) -> None:
        with contextlib.suppress(ConnectionError):  # it is dead, which `hear` tells
            self.channel.send(order)

    def _death(self) -> BaseException:
        code = self._process.wait()
        if -code in _ASKED:  # before it could listen to signals
            return KeyboardInterrupt()
        how = f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.strsignal(-code)})"
        fix = "see what it printed above"
        if code == -signal.SIGKILL:
            fix = "if memory ran out, --jobs 1, which fits one member after the other; the command goes on from the checkpoints"
        return RecsysError(f"train: the process of member {(self.member or 0) + 1} ended with {how} before the member was done. Fix: {fix}")


@contextlib.contextmanager
def _started(task: Task, console: Console) -> Iterator[_Worker]:
    """Start a process and give it its task. At the end of the block the process ends."""
    ours, theirs = Pipe()
    path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
    with ours, contextlib.ExitStack() as bars:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START.format(descriptor=theirs.fileno())],  # -P: no folder beside those of sys.path
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=environment(task.threads) | {"PYTHONPATH": path},
            )
        worker = _Worker(process, ours, bars, console)
        try:
            ours.send(task)
            yield worker
        finally:
            worker.end()
            ours.close()
            _wait(process)


def _wait(process: "subprocess.Popen[bytes]") -> None:
    """Wait for the end of a process. Kill one that does not end, because it is stopped or holds on to something."""
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ignore(steps: int = 1, note: str = "") -> None:
    pass
