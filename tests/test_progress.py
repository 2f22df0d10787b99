"""Bars on a terminal, and the log as objects."""

import io
import json
import math
from datetime import datetime, timedelta

import pytest
from rich.console import Console as RichConsole

from recsys.progress import Console, log_as


def on_terminal() -> tuple[Console, io.StringIO]:
    console, shown = Console(), io.StringIO()
    console._out = RichConsole(file=shown, force_terminal=True, width=120, _environ={"TERM": "xterm"})
    return console, shown


def test_bars_may_be_open_together_and_end_in_any_order() -> None:
    console, shown = on_terminal()
    first, second = console.bar("first", 4), console.bar("second", 2)
    advance_first, advance_second = first.__enter__(), second.__enter__()
    advance_first(3)
    advance_second(1, note="loss 0.5")
    assert console._progress is not None
    console._progress.refresh()
    text = shown.getvalue()
    assert all(word in text for word in ("first", "3/4", "second", "1/2", "loss 0.5"))
    first.__exit__(None, None, None)
    assert [task.description for task in console._progress.tasks] == ["second"]
    second.__exit__(None, None, None)
    assert console._progress is None
    with console.bar("third", 1):  # rich refuses a second live display
        assert console._progress is not None


def test_a_bar_that_fails_is_closed() -> None:
    console, _ = on_terminal()
    try:
        with console.bar("first", 4):
            raise ValueError
    except ValueError:
        assert console._progress is None
    else:
        raise AssertionError


def test_a_log_of_objects(capsys: pytest.CaptureFixture[str]) -> None:
    """Each message, line of a result, event and bar is one object on a line; text has no events."""
    console = Console()
    console.event("stage", rows=3)
    assert capsys.readouterr().out == ""
    log_as("json")
    try:
        console = Console()
        console.say("train: warning: found few")
        console.say('a "quoted" [bold]line[/bold]\nand another')
        console.result("done")
        console.event("stage", stage="train", rows={"read": 3}, seconds=0.5, loss=math.nan)
        with console.bar("score", 2) as advance:
            advance(note="day 1")
    finally:
        log_as("text")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    moments = [datetime.fromisoformat(line.pop("moment")) for line in lines]
    assert all(moment.utcoffset() == timedelta() for moment in moments)
    assert lines == [
        {"level": "warning", "message": "train: warning: found few"},
        {"level": "info", "message": 'a "quoted" [bold]line[/bold]\nand another'},
        {"level": "result", "message": "done"},
        {"event": "stage", "stage": "train", "rows": {"read": 3}, "seconds": 0.5, "loss": None},
        {"level": "info", "message": "score: done (day 1)"},
    ]
