"""The places between two steps where a training may stop, and the times of checkpoints."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from recsys.process_group import ALONE, ProcessGroup
from recsys.training.checkpoint import Checkpoints
from recsys.training.journal import Journal
from recsys.training.state import State

_LOOKS = 8  # looks after which several processes ask one another, because each time costs a message


class Guard:
    """A guard that is called between two steps of a member, where its state is whole.

    `name` is the checkpoint's file. The training's own `facts` go into each checkpoint. `asked` says whether the training shall stop.
    The processes of `group` stop and write together: all do so at the same step once one of them is asked to, or has waited long enough.
    """

    def __init__(
        self, checkpoints: Checkpoints, name: str, journal: Journal, asked: Callable[[], bool], *, facts: Mapping[str, Any],
        seconds: float, group: ProcessGroup = ALONE,
    ) -> None:  # fmt: skip
        self._checkpoints = checkpoints
        self._name = name
        self._journal = journal
        self._asked = asked
        self._facts = facts
        self._seconds = seconds
        self._group = group
        self._looks = 0
        self._written = time.monotonic()

    def look(self, state: State) -> None:
        """Write the checkpoint where it is due. Raise KeyboardInterrupt, with everything saved, where the training shall stop."""
        self._looks += 1
        if self._group.size > 1 and self._looks % _LOOKS:
            return
        asked, is_due = self._group.any_of([self._asked(), time.monotonic() - self._written > self._seconds])
        if asked or is_due:
            self.write(state)
        if asked:
            raise KeyboardInterrupt

    def write(self, state: State) -> None:
        """Write the checkpoint. No process goes on before it stands."""
        self._group.meet()
        self._checkpoints.write(self._name, state.tensors(), {**self._facts, **state.facts(), **self._journal.facts()})
        self._group.meet()
        self._written = time.monotonic()
