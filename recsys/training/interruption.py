"""Ctrl-C and SIGTERM as a request that is honoured between two steps, so that no half step is saved; and the times of checkpoints."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from recsys.training.checkpoint import Checkpoints
from recsys.training.journal import Journal
from recsys.training.state import State

STATE = "state"


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


class Guard:
    """A guard that is called between two steps, where the state is whole. The training's own `facts` go into each of its checkpoints."""

    def __init__(
        self, checkpoints: Checkpoints, journal: Journal, interruption: Interruption, *, facts: Mapping[str, Any], seconds: float
    ) -> None:
        self._checkpoints = checkpoints
        self._journal = journal
        self._interruption = interruption
        self._facts = facts
        self._seconds = seconds
        self._written = time.monotonic()

    def look(self, state: State) -> None:
        """Write the checkpoint where it is due. Raise KeyboardInterrupt, with everything saved, where Ctrl-C was pressed."""
        if self._interruption.requested or time.monotonic() - self._written > self._seconds:
            self.write(state)
        if self._interruption.requested:
            raise KeyboardInterrupt

    def write(self, state: State) -> None:
        self._checkpoints.write(STATE, state.tensors(), {**self._facts, **state.facts(), "journal": self._journal.length})
        self._written = time.monotonic()
