"""Messages of a working stage: progress bars with the time left on a terminal, plain lines in a pipe, nothing when quiet."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Advance(Protocol):
    def __call__(self, steps: int = 1, note: str = "") -> None: ...


class Console:
    """The output of a stage. Texts are plain: markup in strings from the data is never interpreted."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._out = RichConsole(quiet=quiet, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def say(self, text: str) -> None:
        self._out.print(text)

    @contextlib.contextmanager
    def bar(self, what: str, total: int) -> Iterator[Advance]:
        """Show a bar of `total` steps; in a pipe, print one line at its end. `note` stands behind the bar (a loss, rows/s)."""
        if not self._out.is_terminal:
            last = ""

            def remember(steps: int = 1, note: str = "") -> None:
                nonlocal last
                last = note or last

            yield remember
            self.say(f"{what}: done{f' ({last})' if last else ''}")
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        with Progress(*columns, console=self._out, transient=True) as progress:
            task = progress.add_task(what, total=total, note="")

            def advance(steps: int = 1, note: str = "") -> None:
                if note:
                    progress.update(task, note=note)
                progress.advance(task, steps)

            yield advance
