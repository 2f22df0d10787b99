"""Ctrl-C and SIGTERM as a request that is honoured where the work is whole."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interruption:
    """A request to stop: `requested` is True once a signal came. A second signal acts at once, and the last checkpoint stands."""

    requested: bool = False


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Interruption]:
    """Make SIGINT and SIGTERM set a flag within this block. The block looks at it, and raises KeyboardInterrupt once it has saved.

    Where a request comes too late for the block to see it, KeyboardInterrupt is raised at the end of the block.
    Python delivers signals to the main thread only. In another thread nothing is deferred and nothing can interrupt.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def request(number: int, frame: FrameType | None) -> None:
        interruption.requested = True
        restore()

    def restore() -> None:
        for one, handler in before.items():
            signal.signal(one, handler)

    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    for one in before:
        signal.signal(one, request)
    try:
        yield interruption
    finally:
        restore()
    if interruption.requested:
        raise KeyboardInterrupt


def interrupt_on_sigterm() -> None:
    """Make SIGTERM, which a scheduler sends before it kills, act as Ctrl-C in this process."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
