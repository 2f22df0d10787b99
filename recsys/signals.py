"""Ctrl-C and SIGTERM as a request that is honoured where the work is whole."""

import atexit
import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

_INTERRUPTED = ("Query interrupted", "INTERRUPT Error", "KeyboardInterrupt")  # DuckDB's words, and Python's name for it
_asked_to_stop = threading.Event()
_repeated = threading.Event()  # set where somebody repeats each signal, so that a second one means no more than the first
_deferring: list["Interruption"] = []  # the blocks of `deferred_interrupt` that the main thread is in


@dataclass
class Interruption:
    """A request to stop: `requested` is true once a signal came. A second signal acts at once, and the last checkpoint stands."""

    came: bool = False

    @property
    def requested(self) -> bool:
        return self.came or _asked_to_stop.is_set()


def ask_to_stop() -> None:
    """Ask this process from another thread to stop, as Ctrl-C does; where Ctrl-C came already, it is no second one."""
    _asked_to_stop.set()
    if not _deferring:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def bear_repeated_signals() -> None:
    """Let a second signal mean no more than the first: torchrun sends on what its processes have got already."""
    _repeated.set()


def is_asked_to_stop() -> bool:
    """Return whether `ask_to_stop` was called."""
    return _asked_to_stop.is_set()


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Interruption]:
    """Make SIGINT and SIGTERM set a flag within this block. The block looks at it, and raises KeyboardInterrupt once it has saved.

    Where a request comes too late for the block to see it, KeyboardInterrupt is raised at the end of the block. So a block that does not
    look is done as a whole: handing work to a thread, for one, because a thread that is half started is awaited by nobody.
    Python delivers signals to the main thread only. In another thread nothing is deferred and nothing can interrupt.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def request(number: int, frame: FrameType | None) -> None:
        interruption.came = True
        if not _repeated.is_set():
            restore()

    def restore() -> None:
        for one, handler in before.items():
            signal.signal(one, handler)

    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    _deferring.append(interruption)
    for one in before:
        signal.signal(one, request)
    try:
        yield interruption
    finally:
        restore()
        _deferring.remove(interruption)
    if interruption.requested:
        raise KeyboardInterrupt


def is_interruption(error: BaseException) -> bool:
    """Return whether a library reports a Ctrl-C by this error of its own. A text of the data that says "interrupted" is none."""
    return any(said in str(error) for said in _INTERRUPTED)


def interrupt_on_sigterm() -> None:
    """Make SIGTERM, which a scheduler sends before it kills, act as Ctrl-C in this process."""
    signal.signal(signal.SIGTERM, _interrupt)


def end_undisturbed() -> None:
    """Let no SIGINT or SIGTERM change the exit code of a process whose work is done, once its threads have ended.

    Python gives them their default meaning before it takes its modules down. That takes half a second with all libraries, and a signal
    that came then killed the process without a word.
    """
    atexit.register(_ignore)


def _ignore() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
