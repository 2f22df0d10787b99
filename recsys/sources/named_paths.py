"""The files that a path names: one file, those of a pattern, or those of a folder."""

import glob
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from recsys.config import DAY
from recsys.errors import DataError, data_error, many, nearest_file, not_text, one_line, short

Format = Literal["text", "parquet"]
KNOWN: dict[str, tuple[Format, str | None, bool]] = {  # suffix → format, separator, whether it is compressed
    ".csv": ("text", ",", False),
    ".tsv": ("text", "\t", False),
    ".csv.gz": ("text", ",", True),
    ".tsv.gz": ("text", "\t", True),
    ".parquet": ("parquet", None, False),
}
KNOWN_SUFFIXES = ", ".join(KNOWN)
_JSON = {".json", ".jsonl", ".ndjson"}
_SHOWN = 5  # names of files in a message
_DAY_GLOB = "-".join("[0-9]" * digits for digits in (4, 2, 2))


def paths_of(pattern: Path) -> list[Path]:
    """Return the files that a file, a glob or a folder names, in no order. Raises DataError where it names none, or a broken link."""
    if pattern.is_file():
        return [pattern]
    if pattern.is_dir():
        paths = [path for path in map(_unbroken, _walk(pattern)) if path.is_file() and suffix_of(path) is not None]
        if not paths:
            raise _nothing_in(pattern)
        return paths
    root = root_of(pattern)
    wanted = str(pattern.relative_to(root)).replace(DAY, _DAY_GLOB)
    found = [root / name for name in glob.glob(wanted, root_dir=root, recursive=True) if not _is_hidden(Path(name), wanted)]
    paths = [path for path in map(_unbroken, found) if path.is_file()]
    if not paths and found:
        raise _no_file_among(pattern, sorted(found))
    if not paths:
        beside = sorted(path.name for path in pattern.parent.iterdir()) if pattern.parent.is_dir() else []
        of_days = f"files with a day such as 2024-01-31 in the place of {DAY}"
        raise data_error(
            str(pattern),
            found="no such file",
            expected=of_days if DAY in str(pattern) else "a file, a glob or a folder",
            fix=f"mend the path{nearest_file(pattern.name, beside, most=2)}",
        )
    return paths


def _nothing_in(folder: Path) -> DataError:
    fix = "put the files there, or mend the path"
    suffix = next(
        ("".join(path.suffixes[-2 if path.suffix == ".gz" else -1 :]) for path in _walk(folder) if _JSON & set(path.suffixes)), None
    )
    if suffix is not None:
        fix = f"convert the JSON: {of_json(folder / '**' / f'*{suffix}', folder.with_suffix('.parquet'))} and name that file"
    return data_error(str(folder), found="a folder without such files", expected=f"files named {KNOWN_SUFFIXES}", fix=fix)


def of_json(source: Path, target: Path) -> str:
    """Return the command that makes a parquet file of JSON files, named as DuckDB names them."""
    code = f"import duckdb; duckdb.read_json({str(source)!r}).write_parquet({str(target)!r})"
    return f'python -c "{code}"'


def said_left_out(pattern: Path) -> str | None:
    """Return which files of a folder no name tells how to read, as text for a message; None where there are none, or it is no folder."""
    others = [path for path in map(_unbroken, _walk(pattern)) if path.is_file() and suffix_of(path) is None] if pattern.is_dir() else []
    if not others:
        return None
    names = sorted(one_line(short(path.relative_to(pattern).as_posix())) for path in others)
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    ends = "name does" if len(names) == 1 else "names do"
    which = f"{many(len(names), 'file')} in {pattern} whose {ends} not end in {KNOWN_SUFFIXES}: {', '.join(names[:_SHOWN])}{more}"
    return f"{which}. Such files are read where a pattern names them, and not a folder"


def would_name(pattern: Path, path: Path) -> bool:
    """Return whether a file, a glob or a folder would name a path with a file there, whether or not there is one now."""
    if pattern.is_dir():
        return suffix_of(path) is not None and any(_shows(folder.resolve(), path.resolve()) for folder in (pattern, *_linked(pattern)))
    root = root_of(pattern)
    if pattern.is_file() or not path.resolve().is_relative_to(root.resolve()):
        return pattern.resolve() == path.resolve()
    parts, wanted = path.resolve().relative_to(root.resolve()).parts, str(pattern.relative_to(root)).replace(DAY, _DAY_GLOB)
    return _fits(parts, Path(wanted).parts) and not _is_hidden(Path(*parts), wanted)


def _shows(folder: Path, path: Path) -> bool:
    """Return whether a path lies in a folder, or below it, and is not hidden there."""
    return path.is_relative_to(folder) and not any(name[0] in "._" for name in path.relative_to(folder).parts)


def _fits(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """Return whether the names of a path are those of a glob, as `glob.glob` finds them."""
    if not wanted:
        return not parts
    if wanted[0] == "**" and _fits(parts, wanted[1:]):
        return True
    if not parts or (parts[0][0] == "." and wanted[0][0] != ".") or not fnmatchcase(parts[0], wanted[0]):
        return False
    return _fits(parts[1:], wanted if wanted[0] == "**" else wanted[1:])


def root_of(pattern: Path) -> Path:
    """Return the folder in which a pattern begins: the last one that is there. Brackets in its name are no glob."""
    return next(folder for folder in (pattern, *pattern.parents) if folder.is_dir())


def place_of_day(pattern: Path) -> int | None:
    """Return the place of the part of a pattern that has {day}; None where there is none."""
    return next((place for place, part in enumerate(pattern.parts) if DAY in part), None)


def _is_hidden(found: Path, wanted: str) -> bool:
    """Return whether a path that a glob found is what other readers skip: one in a folder _x, or a mark such as _SUCCESS.

    The glob itself skips .x. What the pattern spells out is meant.
    """
    names = [name for name in found.parts if name[0] == "_" and name not in Path(wanted).parts]
    return bool(names) and (names != [found.name] or suffix_of(found) is None)


def _no_file_among(pattern: Path, found: Sequence[Path]) -> DataError:
    folders = [path for path in found if path.is_dir()]
    if not folders:  # such as /dev/stdin behind a pipe: files are read more than once
        return data_error(str(found[0]), found="a pipe or a device", expected="a file", fix="write what comes through it into a file")
    suffixes = (suffix_of(path) for folder in folders for path in _walk(folder))
    suffix = next((suffix for suffix in suffixes if suffix is not None), ".parquet")
    return data_error(
        str(pattern),
        found=f"folders alone ({folders[0].name}{', …' if len(folders) > 1 else ''})",
        expected="files, of a pattern with wildcards",
        fix=f"write {pattern.name}/**/*{suffix}",
    )


def _walk(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder except hidden ones (.x and _x, which other readers of such folders skip, too)."""
    for place, names in _folders(folder):
        yield from (place / name for name in names if name[0] not in "._")


def _linked(folder: Path) -> Iterator[Path]:
    """Yield the folders below a folder that are links."""
    return (place for place, _ in _folders(folder) if place != folder and place.is_symlink())


def _folders(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder, and each one below it that is not hidden, with the names in it that are no folders. Links count as what they name."""

    def fail(error: OSError) -> None:  # an unreadable folder must not pass for an empty one
        raise error

    for where, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        place = Path(where)
        folders[:] = [name for name in folders if name[0] not in "._" and not _leads_back(place / name)]
        yield place, names


def _leads_back(path: Path) -> bool:
    """Return whether a link leads to a folder on the way to it: a walk would have no end."""
    return path.is_symlink() and path.resolve() in [parent.resolve() for parent in path.parents]


def _unbroken(path: Path) -> Path:
    """Return a path. Raises DataError where it is a link to nothing: what it named would be lost without a word."""
    if path.is_symlink() and not path.exists():
        raise data_error(
            str(path),
            found=f"a link to {path.readlink()}, which is not there",
            expected="a file or a folder",
            fix="mend or remove the link",
        )
    return path


def require_text(path: Path) -> None:
    """Raise DataError where the bytes of a path are not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise DataError(not_text(str(path))) from error


def suffix_of(path: Path) -> str | None:
    """Return the known suffix of a file's name; None where it has another one."""
    name = path.name.lower()
    return next((suffix for suffix in sorted(KNOWN, key=len, reverse=True) if name.endswith(suffix)), None)


def unreadable(path: Path, error: OSError) -> DataError:
    """Return the error that the system does not let a path be read."""
    return data_error(
        error.filename or str(path),
        found=error.strerror or str(error),
        expected="what can be read",
        fix="check the path and its permissions",
    )
