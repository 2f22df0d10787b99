"""Bars on a terminal."""

import io

from rich.console import Console as RichConsole

from recsys.progress import Console


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
