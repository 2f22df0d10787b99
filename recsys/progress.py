"""Messages of a working stage: progress bars with the time left on a terminal, plain lines in a pipe, nothing when quiet."""

import contextlib
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LogForm = Literal["text", "json"]
_UNUSUAL = ("warn: ", "stop: ")  # how a line of a result begins that is one
_WARNING = "warning:"  # how a message begins, or goes on behind the name of its stage, that is one


class _Log:
    """The form of the messages of every console of this process (`--log`)."""

    form: LogForm = "text"


def log_as(form: LogForm) -> None:
    """Write messages as text for people, or as one JSON object per line for programs."""
    _Log.form = form


def line_of(level: str, text: str) -> str:
    """Return a message, or an error, as a line of the log: an object with `moment` (UTC), `level` and `message`."""
    return _line({"level": level, "message": text})


def _line(fields: Mapping[str, Any]) -> str:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    return _json({"moment": moment, **fields})


def _json(value: Mapping[str, Any], indent: int | None = None) -> str:
    """Return a text of JSON. Where the output is not UTF-8, letters are escaped: they would come out as question marks."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # there is no output where the caller has closed it
    return json.dumps(_finite(value), ensure_ascii=encoding.lower() not in ("utf-8", "utf8"), indent=indent, default=str)


def logs_as_json() -> bool:
    return _Log.form == "json"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


class Advance(Protocol):
    def __call__(self, steps: int = 1, note: str = "") -> None: ...


class Messages(Protocol):
    """Tell what goes on: all that a stage needs of a console while it works."""

    def say(self, text: str) -> None: ...

    def bar(self, what: str, total: int) -> contextlib.AbstractContextManager[Advance]: ...


class Console:
    """The output of a command. Texts are plain: markup in strings from the data is never interpreted.

    Messages tell what goes on; a result is what was asked for. `quiet` leaves out the messages. `as_json` sends them to stderr, and gives
    the result as one JSON object on stdout in place of the text. With `--log json`, each message and each line of a result is an object
    on a line of its own, and so is each event.
    """

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self._out = RichConsole(quiet=quiet, stderr=as_json, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._events = RichConsole(stderr=as_json, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._results = RichConsole(quiet=as_json, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._as_json = as_json
        self._progress: Progress | None = None  # of the bars that are open; rich has one live display

    def say(self, text: str) -> None:
        """Print a message."""
        if logs_as_json():
            level = "warning" if text.startswith(_WARNING) or f": {_WARNING}" in text else "info"
            self._out.print(line_of(level, text))
            return
        self._out.print(text)

    def event(self, what: str, **about: Any) -> None:
        """Tell programs what was done, in fields, also where messages are quiet. In a log as text an event is nothing."""
        if logs_as_json():
            self._events.print(_line({"event": what, **about}))

    def result(self, text: str) -> None:
        """Print a result as text."""
        level = "warning" if text.startswith(_UNUSUAL) else "result"
        self._results.print(line_of(level, text) if logs_as_json() else text)

    def give(self, value: Mapping[str, Any]) -> None:
        """Print a result as JSON, where it is asked for. A number that is not finite is null."""
        if self._as_json:
            print(_json(value, indent=1))

    @contextlib.contextmanager
    def bar(self, what: str, total: int) -> Iterator[Advance]:
        """Show a bar of `total` steps; in a pipe, print one line at its end. `note` stands behind the bar (a loss, rows/s).

        Bars that are open at the same time stand below each other. They may end in any order.
        """
        if not self._out.is_terminal or logs_as_json():
            last = ""

            def remember(steps: int = 1, note: str = "") -> None:
                nonlocal last
                last = note or last

            yield remember
            self.say(f"{what}: done{f' ({last})' if last else ''}")
            return
        progress = self._progress = self._progress or self._started()
        task = progress.add_task(what, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            if note:
                progress.update(task, note=note)
            progress.advance(task, steps)

        try:
            yield advance
        finally:
            progress.remove_task(task)
            if not progress.tasks:
                progress.stop()
                self._progress = None

    def _started(self) -> Progress:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        progress = Progress(*columns, console=self._out, transient=True)
        progress.start()
        return progress


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows of cells as lines with columns; the first row is the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
