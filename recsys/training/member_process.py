"""A process that fits members for another one, and what goes through the channel between the two (`side_by_side.py`)."""

import contextlib
import os
import pickle
import queue
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from recsys.config import Pipeline
from recsys.errors import EXIT_INTERRUPTED
from recsys.progress import Advance
from recsys.scoring.devices import decide, settled
from recsys.signals import deferred_interrupt
from recsys.threads import bound_threads
from recsys.training.checkpoint import Checkpoints
from recsys.training.members import fit_member
from recsys.training.work import open_training

PAUSE = 0.2  # seconds between two looks at Ctrl-C, and between two reports of progress
STOP, END = "stop", "end"  # orders beside a member's index: save and stop; end at once


# --- What goes through the channel --------------------------------------------------------------------------------
@dataclass(frozen=True)
class Task:
    """What a process needs to know before its first member."""

    pipeline: Pipeline
    encoded: Path
    checkpoints: Checkpoints
    threads: int


@dataclass(frozen=True)
class Said:
    text: str


@dataclass(frozen=True)
class BarOpened:
    what: str
    total: int


@dataclass(frozen=True)
class Advanced:
    steps: int
    note: str


@dataclass(frozen=True)
class BarClosed:
    pass


@dataclass(frozen=True)
class Ended:
    """The end of a member: it is done where there is no error."""

    error: BaseException | None = None


# --- The process --------------------------------------------------------------------------------------------------
def serve(descriptor: int) -> None:
    """Fit the members that the channel of this number names, one after the other, until it says to end."""
    channel: Connection[Any, Any] = Connection(descriptor)
    try:
        task: Task = channel.recv()
        orders = _Orders(channel)
        bound_threads(task.threads)
        compute, training = decide(task.pipeline.train), None
        with settled(compute, deterministic=task.pipeline.train.deterministic), deferred_interrupt() as interruption:
            for member in orders.members():
                training = training or open_training(task.pipeline, task.encoded, compute)
                fit_member(training, task.checkpoints, member, lambda: orders.stopped or interruption.requested, _Told(channel))
                channel.send(Ended())
    except BaseException as error:
        channel.send(Ended(_sendable(error)))


class _Orders:
    """What the first process orders. A thread listens. It ends this process where it is told to, or where the first one is gone."""

    def __init__(self, channel: "Connection[Any, Any]") -> None:
        self.stopped = False
        self._channel = channel
        self._members: queue.Queue[int | str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def members(self) -> Iterator[int]:
        """Yield the members to fit as they are ordered. Raise KeyboardInterrupt once the first process says to stop."""
        while isinstance(order := self._members.get(), int) and not self.stopped:
            yield order
        raise KeyboardInterrupt

    def _listen(self) -> None:
        while True:
            try:
                order = self._channel.recv()
            except (EOFError, OSError):
                order = END
            if order == END:
                os._exit(EXIT_INTERRUPTED)
            self.stopped = self.stopped or order == STOP
            self._members.put(order)


class _Told:
    """Messages that the first process shows. Steps are told a few times per second, not one by one."""

    def __init__(self, channel: "Connection[Any, Any]") -> None:
        self._channel = channel

    def say(self, text: str) -> None:
        self._channel.send(Said(text))

    @contextlib.contextmanager
    def bar(self, what: str, total: int) -> Iterator[Advance]:
        self._channel.send(BarOpened(what, total))
        told, untold = time.monotonic(), 0

        def advance(steps: int = 1, note: str = "") -> None:
            nonlocal told, untold
            untold += steps
            if note or time.monotonic() - told > PAUSE:
                self._channel.send(Advanced(untold, note))
                told, untold = time.monotonic(), 0

        yield advance
        self._channel.send(Advanced(untold, ""))
        self._channel.send(BarClosed())


def _sendable(error: BaseException) -> BaseException:
    """Return the error with its traceback as a note, because a traceback does not go through a channel."""
    note = "".join(traceback.format_exception(error))
    try:
        copy: BaseException = pickle.loads(pickle.dumps(error))
    except Exception:  # an error of a library that cannot be pickled
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    copy.add_note(note)
    return copy
