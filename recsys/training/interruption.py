"""Ctrl-C as a request that is honoured between two steps, so that half a step is never saved; and the times of checkpoints."""

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
