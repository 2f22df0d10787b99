"""Errors that are part of the interface: one message per mistake, one exit code per kind (design: "What bad input gets")."""

import contextlib
import difflib
import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

EXIT_CONFIG = 2
EXIT_DATA = 3
EXIT_ARTIFACT = 4
EXIT_IN_USE = 5
EXIT_REFUSED = 6
EXIT_NOT_CLOSED = 7
EXIT_INTERRUPTED = 130
EXIT_CLOSED = 141  # as a shell says of a tool that SIGPIPE has ended


class RecsysError(Exception):
    """A mistake that the user can mend. `str(error)` is the whole message; `exit_code` is what the process returns."""

    exit_code = 1


class ConfigError(RecsysError):
    """Wrong usage or configuration (exit code 2). Holds every problem that was found, not only the first."""

    exit_code = EXIT_CONFIG

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class DataError(RecsysError):
    """Wrong or missing input data (exit code 3)."""

    exit_code = EXIT_DATA


class ArtifactError(RecsysError):
    """A damaged or foreign artifact of an earlier stage (exit code 4)."""

    exit_code = EXIT_ARTIFACT


class InUseError(RecsysError):
    """A place of the workspace that another job holds (exit code 5)."""

    exit_code = EXIT_IN_USE


class NotPromotedError(RecsysError):
    """A run that may not take the place of the current model (exit code 6). Holds every reason."""

    exit_code = EXIT_REFUSED

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("\n".join(self.reasons))


class NotClosedError(RecsysError):
    """A day of the log that has not come as a whole yet (exit code 7)."""

    exit_code = EXIT_NOT_CLOSED


_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # a full disk, a quota, a limit, a disk that is read-only

_FULL_SPILL = "failed to offload"  # DuckDB, of a spill that has taken what was free on its disk when it began; it calls that out of memory


@contextlib.contextmanager
def naming(file: Path) -> Iterator[None]:
    """Give an OSError of a write the name of the file, where it has none: libraries and open files do not say what they wrote."""
    try:
        yield
    except OSError as error:
        number = next((known for known in _WRITING if error.errno == known or f"errno {known}]" in str(error)), None)
        if number is None or error.filename is not None:
            raise
        raise OSError(number, os.strerror(number), str(file)) from error


def disk_full(error: Exception, folder: Path) -> OSError | None:
    """Return the engine's report of a full disk as an OSError that names the folder; None of any other error."""
    known = next((known for known in _WRITING if os.strerror(known) in str(error)), None)
    if known is None and _FULL_SPILL in str(error):
        known = errno.ENOSPC
    return None if known is None else OSError(known, os.strerror(known), str(folder))


_OTHER_PLACE = "let this user write there, or name another place (--workspace, --out)"
_FIXES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room on its disk (recsys prune shows what no run needs), then the same command"),
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f), then the same command",
    errno.EROFS: _OTHER_PLACE,
    **dict.fromkeys((errno.EACCES, errno.EPERM), f"look at the rights of this path: {_OTHER_PLACE}"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "a file on this path stands where a folder is to be: move it, or name another place"),
    errno.EISDIR: "a folder stands where a file is to be: move it, or name another file",
    errno.ENOENT: "look at the path; if another job has removed it meanwhile, the same command again",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "raise the limit on open files (ulimit -n), then the same command"),
}


def not_text(path: str) -> str:
    """Return what is wrong with a path whose bytes are not UTF-8: engines, tables and manifests hold it as text."""
    fix = "rename what it names, or set LC_ALL=C.UTF-8 where the locale does not know its letters"
    return f"{one_line(path)}: found a path whose bytes are not UTF-8, expected one of UTF-8. Fix: {fix}"


def system_error(error: OSError, place: str) -> str:
    """Return the message for an error of the system: its file, or else `place`, what the system says, and what to do."""
    fix = _FIXES.get(error.errno or 0, "see what the system says of it; --debug shows what was done there")
    file = error.filename2 or error.filename or place  # of a file that cannot be put into its place: that place
    return one_line(f"{file}: {error.strerror or error}. Fix: {fix}")


def one_line(text: str) -> str:
    """Return text from the data in a form for messages: control characters, line breaks among them, become escapes."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def many(number: int, noun: str) -> str:
    """Return a number with its noun: 1 row, 2,990 rows."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """Return a share in percent with all its digits: 95%, 99.9%. Rounded to whole ones, an interval of 99.9% was one of 100%."""
    return f"{100 * share:.10g}%"


HUGE = 1e9  # from here on a number is written with an exponent


def fixed(value: float, decimals: int) -> str:
    """Return a number with so many decimals; a huge one with an exponent, because its digits would fill a line: 1.234e31."""
    return f"{value:.{decimals}f}" if abs(value) < HUGE else re.sub(r"e\+0*", "e", f"{value:.{decimals}e}")


def short(text: str, most: int = 200) -> str:
    """Return a text for a message: whole, or its first `most` characters and how many it has."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


_FOUND = 1_000  # characters of a message that come from the data
_FIX = 20_000  # characters of what to do: it may hold a command, which is of no use when it is cut


@dataclass(frozen=True)
class Place:
    """The place of a mistake in the input: a file, and if known the row and the column.

    The row is the line that an editor shows (1 = the first, usually the header), in a parquet file the row (1 = the first).
    """

    file: Path | str
    row: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        row = "" if self.row is None else f":{self.row}"
        column = "" if self.column is None else f" column {one_line(short(self.column))}"
        return f"{self.file}{row}{column}"


def data_error(
    place: Place | Path | str, *, found: str, expected: str, fix: str, bad_rows: int | None = None, rows: int | None = None
) -> DataError:
    """Make the error for bad input. All have one form: FILE[:ROW] column C: found X, expected Y; n of N rows. Fix: …"""
    count = "" if bad_rows is None else f"; {bad_rows:,} of {many(rows, 'row')}" if rows is not None else f"; {many(bad_rows, 'row')}"
    return DataError(one_line(f"{place}: found {short(found, _FOUND)}, expected {short(expected, _FOUND)}{count}. Fix: {short(fix, _FIX)}"))


_NEAR, _NEAR_SHORT = 0.7, 0.6  # of difflib's ratio: "event_id" is .67 like "request_id", and so is any slip in three letters
_BEGINNING = 3  # least letters of the beginning of a name: one or two begin too many


def near(word: str, names: Iterable[str], *, most: int = 1) -> list[str]:
    """Return up to `most` of these names for which the word may be a slip: the most alike first, then those that it begins or is a part of.

    Case does not count. A beginning has three letters or more; a part stands between signs that are no letters.
    """
    word, by_lower = word.lower(), {name.lower(): name for name in sorted(names)}
    alike = difflib.get_close_matches(word, by_lower, n=most, cutoff=_NEAR if len(word) > 3 else _NEAR_SHORT)
    begun = [name for name in by_lower if name.startswith(word)] if len(word) >= _BEGINNING else []
    part = [name for name in by_lower if word in re.split(r"[\W_]", name)] if word else []
    return [by_lower[name] for name in dict.fromkeys([*alike, *begun, *part])][:most]


def nearest(word: str, names: Iterable[str], *, most: int = 1) -> str:
    """Return `; did you mean "…"?` with up to `most` names, to stand behind "unknown …". Empty where no name is near."""
    return _asked(near(word, names, most=most))


def nearest_file(name: str, there: Iterable[str], *, most: int = 1) -> str:
    """Return what `nearest` does, of the names of files. Their suffixes do not count: "play.csv" was near to "empty.csv"."""
    by_stem = {Path(file).stem: file for file in sorted(there)}
    return _asked([by_stem[stem] for stem in near(Path(name).stem, by_stem, most=most)])


def _asked(names: Sequence[str]) -> str:
    meant = " or ".join(f'"{short(one_line(name))}"' for name in names)
    return f"; did you mean {meant}?" if meant else ""


def no_columns(missing: Sequence[str], there: Sequence[str], wanted: Iterable[str]) -> str:
    """Return `no column X; did you mean "Y"? among Y, Z`: what a file with the columns `there` lacks. What is `wanted` was not meant."""
    free = set(there) - set(wanted)
    among = f"{', '.join(there[:40])}{', …' if len(there) > 40 else ''}"
    return f"no column {', '.join(name + nearest(name, free) for name in missing)} among {among}"
