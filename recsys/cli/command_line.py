"""One command line: it is run, its mistakes are printed, and its exit code is returned."""

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from io import TextIOWrapper
from itertools import pairwise
from typing import Any, TextIO

import typer
from pydantic import ValidationError

from recsys.cli import pipeline_verbs, run_verbs, study_verbs  # noqa: F401 -- they register themselves with the app
from recsys.cli.app import app
from recsys.config import of_a_word
from recsys.errors import EXIT_ARTIFACT, EXIT_CLOSED, EXIT_CONFIG, EXIT_INTERRUPTED, RecsysError, near, not_text, one_line, system_error
from recsys.progress import line_of, log_as, logs_as_json
from recsys.signals import end_undisturbed, interrupt_on_sigterm

_USAGE_ERROR: Any = typer.BadParameter.__base__  # click's UsageError, wherever this typer keeps its click


class OutputError(Exception):
    """The error for text that cannot be printed. It is no OSError, because those are reported as errors of files in the workspace."""

    def __init__(self, error: OSError, stream: TextIO) -> None:
        self.is_closed = error.errno == errno.EPIPE  # whoever read it has gone
        self.stream = stream
        super().__init__(f"the output: {error.strerror or error}")


class _Output(TextIOWrapper):
    """A stream that is printed to. An error of it is told from errors of files."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise OutputError(error, self) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise OutputError(error, self) from error


def main(*, interrupted: bool = False) -> None:
    """Run the `recsys` command on the arguments that it was called with, and exit with its code. `interrupted`: it is to end at once."""
    interrupt_on_sigterm()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.encoding.lower() not in ("utf-8", "utf8"):
            stream.reconfigure(errors="replace")  # a table is drawn with characters that Latin-1 lacks
    sys.stdout, sys.stderr = _output(sys.stdout), _output(sys.stderr)
    if interrupted:
        _choose_form(sys.argv[1:])
        code = _interrupted()
    elif _is_started_by_torchrun():
        from recsys.processes.together import run_together

        code = run_together(lambda: run_command(sys.argv[1:]))
    else:
        code = run_command(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            _flush(stream)
    if code == EXIT_INTERRUPTED:
        # Where the signal came while a library ran Python text from C, Python would end by SIGINT, whatever the code given to sys.exit.
        os._exit(code)
    end_undisturbed()
    sys.exit(code)


def _output(stream: TextIO) -> TextIO:
    """Return the stream as one whose errors are told from errors of files."""
    if not isinstance(stream, TextIOWrapper):
        return stream
    encoding, errors, by_line, at_once = stream.encoding, stream.errors, stream.line_buffering, stream.write_through
    return _Output(stream.detach(), encoding, errors, None, by_line, at_once)


def _is_started_by_torchrun() -> bool:
    """Return whether this is one of several processes that share their work (processes/together.py)."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "TORCHELASTIC_RUN_ID" in os.environ


@cache
def _verbs() -> Any:
    """Return all verbs as one command of click's. A process that runs many command lines makes it once."""
    return typer.main.get_command(app)


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Mistakes are printed to stderr as `error: …`."""
    debug = "--debug" in arguments
    _choose_form(arguments)
    try:
        code = _verbs()(args=list(arguments) or ["--help"], prog_name="recsys", standalone_mode=False)
        if code == EXIT_INTERRUPTED:  # typer turns Ctrl-C into this value
            raise KeyboardInterrupt
        if sys.stdout is not None:  # it is None where the caller has closed it
            sys.stdout.flush()
    except _USAGE_ERROR as error:
        if isinstance(error.__cause__, ValidationError):  # typer lets pydantic read numbers and days
            error.message = of_a_word(error.__cause__)
        _complain(_said(error, arguments))
        return EXIT_CONFIG
    except RecsysError as error:
        if debug:
            traceback.print_exc()
        for line in str(error).splitlines():
            _complain(line)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except OSError as error:  # a full disk, a folder that may not be written
        if debug:
            traceback.print_exc()
        _complain(system_error(error, "the workspace"))
        return EXIT_ARTIFACT
    except OutputError as error:
        _let_go(error.stream)
        if error.is_closed:
            return EXIT_CLOSED
        _complain(f"{error}. Fix: make room where it goes, or send it elsewhere; the same command goes on from what is done")
        return EXIT_ARTIFACT
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, UnicodeEncodeError) and error.encoding in ("utf-8", sys.getfilesystemencoding()):
            _complain(not_text(error.object))
            return EXIT_CONFIG
        _complain(one_line(f"a bug, not a mistake of yours: {type(error).__name__}: {error}. Please report it with the output of --debug"))
        return 1
    return 0


def _said(error: Any, arguments: Sequence[str]) -> str:
    """Return what is wrong with a command line, what was expected, and what to do or where to look."""
    said = str(error.format_message())
    if "Fix: " in said:
        return said
    verbs = _verbs()
    name = arguments[0] if arguments[0] in verbs.commands else ""
    options = {word: option for option in verbs.commands.get(name, verbs).params for word in option.opts if word.startswith("--")}
    keys = "; keys of the TOML are set by --set KEY=VALUE" if "--set" in options else ""
    match type(error).__name__:
        case "NoSuchOption":  # click's own guesses go by the dashes too: --keep was near to --help
            meant = near(error.option_name.lstrip("-"), [option.lstrip("-") for option in options])
            said = error.message + "".join(f'; did you mean "--{option}"?' for option in meant)
            keys = "" if meant else keys
        case "BadOptionUsage":
            option, keys = options[error.option_name], ""
            too_few = "no value" if option.nargs == 1 else "too few values"
            found, expected = ("a value", "none") if option.is_flag else (too_few, option.metavar)
            said = f"{error.option_name}: found {found}, expected {expected}"
        case "BadParameter":
            keys = ""
    return f"{said}{'' if said[-1] in '.?' else '.'} Fix: {' '.join(['recsys', name]).strip()} --help says what there is{keys}"


def _choose_form(arguments: Sequence[str]) -> None:
    """Choose the form of the log until the arguments are read, so that an error in them has the form that is asked for, too."""
    log_as("json" if "--log=json" in arguments or ("--log", "json") in pairwise(arguments) else "text")


def _interrupted() -> int:
    _complain("interrupted. The same command goes on from what is done")
    return EXIT_INTERRUPTED


def _complain(text: str) -> None:
    try:
        print(line_of("error", text) if logs_as_json() else f"error: {text}", file=sys.stderr)
    except (OSError, OutputError):  # nobody can be told; the exit code still says it
        _let_go(sys.stderr)


def _flush(stream: TextIO) -> None:
    try:
        stream.flush()
    except (OSError, OutputError):  # what is left goes nowhere; the exit code says how the command ended
        _let_go(stream)


def _let_go(stream: TextIO) -> None:
    """Let what a stream still holds go nowhere: Python would write it once more as it ends, fail again, and say so."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
