"""Ctrl-C as a request that is honoured between two steps, so that half a step is never saved."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interruption:
    """A request to stop: `requested` is True once Ctrl-C was pressed. A second Ctrl-C acts at once, and the last checkpoint stands."""

    requested: bool = False


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Interruption]:
    """Make SIGINT set a flag within this block. The block looks at the flag, and raises KeyboardInterrupt itself once it has saved.

    Where a request comes too late for the block to see it, KeyboardInterrupt is raised at the end of the block.
    Python delivers signals to the main thread only. In another thread nothing is deferred and nothing can interrupt.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def request(number: int, frame: FrameType | None) -> None:
        interruption.requested = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, request)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, before)
    if interruption.requested:
        raise KeyboardInterrupt
