"""The places between two steps where a training may stop, and the times of checkpoints."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from recsys.training.checkpoint import Checkpoints
from recsys.training.journal import Journal
from recsys.training.state import State


class Guard:
    """A guard that is called between two steps of a member, where its state is whole.

    `name` is the checkpoint's file. The training's own `facts` go into each checkpoint. `asked` says whether the training shall stop.
    """

    def __init__(
        self, checkpoints: Checkpoints, name: str, journal: Journal, asked: Callable[[], bool], *, facts: Mapping[str, Any], seconds: float
    ) -> None:
        self._checkpoints = checkpoints
        self._name = name
        self._journal = journal
        self._asked = asked
        self._facts = facts
        self._seconds = seconds
        self._written = time.monotonic()

    def look(self, state: State) -> None:
        """Write the checkpoint where it is due. Raise KeyboardInterrupt, with everything saved, where the training shall stop."""
        asked = self._asked()
        if asked or time.monotonic() - self._written > self._seconds:
            self.write(state)
        if asked:
            raise KeyboardInterrupt

    def write(self, state: State) -> None:
        self._checkpoints.write(self._name, state.tensors(), {**self._facts, **state.facts(), **self._journal.facts()})
        self._written = time.monotonic()
