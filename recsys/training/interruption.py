"""The places between two steps where a training may stop, and the times of checkpoints."""

import time
from collections.abc import Mapping
from typing import Any

from recsys.signals import Interruption
from recsys.training.checkpoint import Checkpoints
from recsys.training.journal import Journal
from recsys.training.state import State

STATE = "state"


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
        journal = {"journal": self._journal.length, "journal_sha256": self._journal.digest}
        self._checkpoints.write(STATE, state.tensors(), {**self._facts, **state.facts(), **journal})
        self._written = time.monotonic()
