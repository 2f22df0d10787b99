"""Ctrl-C as a request that is honoured between two steps, so that what is saved is never half a step."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interruption:
    """`requested` once Ctrl-C was pressed. A second Ctrl-C acts at once, and the last checkpoint stands."""

    requested: bool = False


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Interruption]:
    """Within this block SIGINT sets a flag; the block looks at it and raises KeyboardInterrupt itself once it has saved.

    A request that comes too late to be looked at is raised at the end of the block.
    Python delivers signals to the main thread only: in another thread nothing is deferred and nothing can interrupt.
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
