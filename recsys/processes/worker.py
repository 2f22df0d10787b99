"""A process that works for another one, and what goes through the channel between the two (`side_by_side.py`)."""

import contextlib
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from recsys.errors import EXIT_INTERRUPTED
from recsys.progress import Advance, Console
from recsys.signals import ask_to_stop, interrupt_on_sigterm, is_asked_to_stop
from recsys.threads import bound_threads

PAUSE = 0.2  # seconds between two looks at Ctrl-C, and between two reports of progress
STOP, END, LAST = "stop", "end", "last"  # orders beside tasks: act as at Ctrl-C; end at once; end when the tasks so far are done


# --- What goes through the channel --------------------------------------------------------------------------------
@dataclass(frozen=True)
class Task(ABC):
    """Work for a process. It can be pickled. `name` says what it is in messages; `title` stands before all that it says."""

    name: str
    title: str

    @abstractmethod
    def run(self, console: Console) -> None:
        """Do the work, in the main thread of a process. Ctrl-C may interrupt it; the same task then goes on from what is done."""


@dataclass(frozen=True)
class Said:
    text: str


@dataclass(frozen=True)
class Happened:
    """An event for programs (`Console.event`)."""

    what: str
    about: Mapping[str, Any]


@dataclass(frozen=True)
class BarOpened:
    bar: int  # a process has several bars where it has processes of its own
    what: str
    total: int


@dataclass(frozen=True)
class Advanced:
    bar: int
    steps: int
    note: str


@dataclass(frozen=True)
class BarClosed:
    bar: int


@dataclass(frozen=True)
class Ended:
    """The end of a task: it is done where there is no error."""

    error: BaseException | None = None


# --- The process --------------------------------------------------------------------------------------------------
def serve(descriptor: int) -> None:
    """Do the tasks that come through the channel of this number, one after the other, until it says to end."""
    channel: Connection[Any, Any] = Connection(descriptor)
    sys.argv = sys.argv[1:]  # the first process's own words, for the locks that this one takes
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in all that a shell starts in the background
    interrupt_on_sigterm()
    try:
        bound_threads(channel.recv())
        for task in _Orders(channel).tasks():
            task.run(_Told(channel, task.title))
            channel.send(Ended())
    except BaseException as error:
        try:
            channel.send(Ended(_sendable(error)))
        except OSError:  # the first process is gone, which this thread may find before the one that listens
            os._exit(EXIT_INTERRUPTED)


class _Orders:
    """Take the first process's orders. A thread listens, and ends this process when it is told to, or when the first one is gone."""

    def __init__(self, channel: "Connection[Any, Any]") -> None:
        self._channel = channel
        self._tasks: queue.Queue[bytes | str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def tasks(self) -> Iterator[Task]:
        """Yield the tasks as they are ordered, up to the last. Raise KeyboardInterrupt once the first process says to stop."""
        while not is_asked_to_stop():
            order = self._tasks.get()
            if isinstance(order, str):
                return
            yield pickle.loads(order)  # in this thread, because it imports what the task needs
        raise KeyboardInterrupt

    def _listen(self) -> None:
        while True:
            try:
                order = self._channel.recv()
            except (EOFError, OSError):
                order = END
            if order == END:
                os._exit(EXIT_INTERRUPTED)
            if order == STOP:
                ask_to_stop()
            else:
                self._tasks.put(order)


class _Told(Console):
    """A console whose messages the first process shows. Steps are told a few times per second, not one by one."""

    def __init__(self, channel: "Connection[Any, Any]", title: str) -> None:
        super().__init__(quiet=True)
        self._channel = channel
        self._title = title
        self._bars = 0

    def say(self, text: str) -> None:
        self._channel.send(Said(self._title + text))

    def event(self, what: str, **about: Any) -> None:
        self._channel.send(Happened(what, about))

    @contextlib.contextmanager
    def bar(self, what: str, total: int) -> Iterator[Advance]:
        self._bars += 1
        bar = self._bars
        self._channel.send(BarOpened(bar, self._title + what, total))
        told, untold = time.monotonic(), 0

        def advance(steps: int = 1, note: str = "") -> None:
            nonlocal told, untold
            untold += steps
            if note or time.monotonic() - told > PAUSE:
                self._channel.send(Advanced(bar, untold, note))
                told, untold = time.monotonic(), 0

        yield advance
        self._channel.send(Advanced(bar, untold, ""))
        self._channel.send(BarClosed(bar))


def _sendable(error: BaseException) -> BaseException:
    """Return the error with its traceback as a note, because a traceback does not go through a channel."""
    note = "".join(traceback.format_exception(error))
    try:
        copy: BaseException = pickle.loads(pickle.dumps(error))
    except Exception:  # an error of a library that cannot be pickled
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    copy.add_note(note)
    return copy
