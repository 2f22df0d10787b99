"""The files that a path in a pipeline names, checked to be what their names say."""

import ast
import codecs
import csv
import gzip
import io
import json
import os
import re
import shlex
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO, cast

from recsys.config import DAY, FileFormat
from recsys.days import iso_day
from recsys.errors import DataError, Place, data_error
from recsys.sources.decoding import STAND_IN, Utf8Bytes, damaged_gzip, needs_decoding
from recsys.sources.named_paths import KNOWN, KNOWN_SUFFIXES, Format, of_json, paths_of, place_of_day, require_text, suffix_of, unreadable
from recsys.sources.partitions import of_folders

_PARQUET, _GZIP = b"PAR1", b"\x1f\x8b"
_PACKED = {  # in another way than by gzip
    b"PK\x03\x04": "a zip file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"BZh91AY&SY": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
}
_MAGIC = {
    _PARQUET: "a parquet file",
    _GZIP: "a gzip file",
    **_PACKED,
    b"\xff\xfe\x00\x00": "UTF-32 text",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_WIDE = {"UTF-16 text": "utf-16", "UTF-32 text": "utf-32"}  # texts of another form → the encoding that reads them
_BINARY = "binary bytes"
_USUAL = FileFormat()
_HEAD = 65_536


@dataclass(frozen=True)
class InputFile:
    """One file. `readers.header` finds its separator, which is None until then and in parquet files."""

    path: Path
    format: Format
    compressed: bool
    promised: str | None  # the separator that the suffix promises
    written: FileFormat = field(default_factory=FileFormat)
    key: str | None = None  # of `written` in the TOML; None where the kind of source fixes it
    separator: str | None = None
    day: str | None = None  # the ISO day in the place of {day}, where the pattern has one
    folders: tuple[tuple[str, str | None], ...] = ()  # column and value, in the names of its folders (sources/partitions.py)

    @property
    def delimiter(self) -> str:
        """The separator as one byte: itself, or the byte that stands for a longer one in what `open` reads."""
        assert self.separator is not None, f"the separator of {self.path} is not found yet"
        return STAND_IN if needs_decoding(self.separator) else self.separator

    @property
    def is_quoted(self) -> bool:
        return bool(self.written.quote) and not (self.separator is not None and needs_decoding(self.separator))

    @property
    def csv_options(self) -> dict[str, Any]:
        """The options of `csv.reader` for what `open` reads."""
        quoting = {"quotechar": self.written.quote} if self.is_quoted else {"quoting": csv.QUOTE_NONE}
        return {"delimiter": self.delimiter, **quoting}

    def open(self) -> BinaryIO:
        """Open a text file for reading: decompressed, in UTF-8, fields separated by `delimiter`."""
        raw = self.open_raw()
        separator = self.separator if self.separator is not None and needs_decoding(self.separator) else None
        if separator is None and codecs.lookup(self.written.encoding).name in ("utf-8", "utf-8-sig"):
            return raw
        return cast(BinaryIO, io.BufferedReader(Utf8Bytes(raw, self.path, self.written.encoding, separator), _HEAD))

    def open_raw(self) -> BinaryIO:
        """Open a file for reading its bytes, decompressed."""
        return cast(BinaryIO, gzip.open(self.path, "rb")) if self.compressed else self.path.open("rb")


def resolve(patterns: Sequence[Path], written: FileFormat = _USUAL, key: str | None = None) -> tuple[InputFile, ...]:
    """Return the files of one table, in the order of their paths. `written` says how its text files are written, and stands at `key`.

    A pattern is one file, a glob, or a folder. A folder stands for every file of a known suffix in it and in the folders below it.
    Folders called NAME=VALUE give more columns, which are null in files outside of them.
    `{day}` in a pattern stands for an ISO day. Of another suffix, the first bytes say what the file is. Raises DataError where a pattern
    names nothing, where a day is none, and where the bytes of a path are not UTF-8.
    """
    found: dict[Path, InputFile] = {}
    folders: dict[Path, dict[str, str | None]] = {}
    for pattern in patterns:
        try:
            for path in paths_of(pattern):
                found[path] = replace(_input_file(path, written, key), day=_day_in(path, pattern))
                folders.setdefault(path, {}).update(of_folders(path, pattern))  # several patterns may find it, and give other columns
                require_text(path)
        except OSError as error:
            raise unreadable(pattern, error) from error
    columns: dict[str, str | None] = dict.fromkeys(name for of_file in folders.values() for name in of_file)
    return tuple(replace(found[path], folders=tuple((columns | folders[path]).items())) for path in sorted(found))


def _day_in(path: Path, pattern: Path) -> str | None:
    """Return the ISO day of a path that a pattern names; None where the pattern has no place for one."""
    place = place_of_day(pattern)
    if place is None:
        return None
    start = pattern.parts[place].index(DAY)
    text = path.parts[place][start : start + len(iso_day(0))]
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise data_error(
            str(path), found=f"the day {text}", expected="a day of the calendar, such as 2024-01-31", fix="rename the file"
        ) from error


def short_names(files: Sequence[InputFile]) -> list[str]:
    """Return the files' paths relative to the folder that holds all of them. A name alone may occur in several folders."""
    root = os.path.commonpath([file.path.parent for file in files])
    return [file.path.relative_to(root).as_posix() for file in files]


def states(files: Sequence[InputFile]) -> list[list[Any]]:
    """Return of each file its short name, its size, its time of change in nanoseconds, and the day and the columns that its path tells.

    The columns stand there because a name is short: it lacks the folders that hold all files, and those of another path may be the same.
    """
    found = [file.path.stat() for file in files]
    told = [[*([file.day] if file.day else []), *([list(map(list, file.folders))] if file.folders else [])] for file in files]
    return [
        [name, state.st_size, state.st_mtime_ns, *of_path] for name, state, of_path in zip(short_names(files), found, told, strict=True)
    ]


def _input_file(path: Path, written: FileFormat, key: str | None) -> InputFile:
    suffix = suffix_of(path)
    if suffix is not None:
        kind, separator, compressed = KNOWN[suffix]
    else:
        with path.open("rb") as raw:
            head = raw.read(len(_PARQUET))
        kind, separator, compressed = ("parquet" if head == _PARQUET else "text"), None, head.startswith(_GZIP)
    return InputFile(path, kind, compressed, separator, written, key)


def sniff(file: InputFile) -> None:
    """Raise DataError where the first bytes (of a parquet file also the last) show that a file is not what its name says."""
    try:
        size = file.path.stat().st_size
        with file.path.open("rb") as raw:
            head = raw.read(_HEAD)
            raw.seek(max(size - 4, 0))
            tail = raw.read(4)
    except OSError as error:
        raise unreadable(file.path, error) from error
    if size == 0:
        raise data_error(str(file.path), found="an empty file", expected="a header and rows", fix="export it again, or leave it out")
    if file.format == "parquet":
        _sniff_parquet(file, head, tail)
    else:
        _sniff_text(file, _decompressed(file, head) if file.compressed else head)


def _sniff_parquet(file: InputFile, head: bytes, tail: bytes) -> None:
    if not head.startswith(b"PAR1"):
        raise data_error(
            str(file.path), found=_what(head), expected="a parquet file, as its name says", fix="name the file for what it holds"
        )
    if tail != b"PAR1" or file.path.stat().st_size < 12:
        raise data_error(
            str(file.path), found="a parquet file without its end", expected="a whole one (it was cut short)", fix="copy or export it again"
        )


def _sniff_text(file: InputFile, head: bytes) -> None:
    if not head.strip():
        raise data_error(str(file.path), found="an empty file", expected="a header and rows", fix="export it again, or leave it out")
    if _is_json(head):
        raise _no_separators(file.path)
    if _is_python(head):
        raise _lines_of_python(file)
    what = _what(head)
    is_wide = codecs.lookup(file.written.encoding).name.startswith(("utf-16", "utf-32"))
    if what == "text" or (is_wide and what in (*_WIDE, _BINARY)):
        return
    line = head[: head.find(b"\0")].count(b"\n") + 1
    where = f" (a zero byte in line {line})" if what == _BINARY else ""
    fix = "name the file for what it holds, or export it as UTF-8 text"
    if what in _PACKED.values():
        fix = "unpack it, or pack it by gzip; export a spreadsheet as UTF-8 text"
    if what in _WIDE and file.key is not None:
        fix = f'set {file.key}.encoding = "{_WIDE[what]}"'
    as_named = "text" if suffix_of(file.path) is None else "UTF-8 text, as its name says"
    raise data_error(str(file.path), found=f"{what}{where}", expected=as_named, fix=fix)


def _is_json(head: bytes) -> bool:
    """Return whether the first bytes are those of JSON: an object per line, or a list of objects, in one line or in several."""
    first, *more = head.lstrip().split(b"\n", 1)
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        if more or len(head) < _HEAD:
            return re.fullmatch(rb"[{\[]\s*", first) is not None
        return re.fullmatch(rb"""(\[\s*)?\{\s*".*""", first, re.DOTALL) is not None  # one line, longer than what was read
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _is_python(head: bytes) -> bool:
    """Return whether the first line is a dict as Python prints it, in single quotes or with True and None in it."""
    first = head.lstrip().split(b"\n", 1)[0]
    if not first.startswith(b"{"):
        return False
    try:
        return isinstance(ast.literal_eval(first.decode().strip()), dict)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False


def _lines_of_python(file: InputFile) -> DataError:
    target = file.path.with_suffix(".parquet")
    opened = f"gzip.open({str(file.path)!r}, 'rt', encoding='utf-8')" if file.compressed else f"open({str(file.path)!r}, encoding='utf-8')"
    code = f"import ast, gzip, pandas; pandas.DataFrame(map(ast.literal_eval, {opened})).to_parquet({str(target)!r})"
    return data_error(
        str(file.path),
        found="dicts as Python prints them, one in a line",
        expected=f"text with a separator, or parquet ({KNOWN_SUFFIXES})",
        fix=f"convert it: python -c {shlex.quote(code)} and name that file",
    )


def _no_separators(path: Path) -> DataError:
    target = path.with_suffix(".parquet")
    return data_error(
        str(path),
        found="what looks like JSON lines, or JSON",
        expected=f"text with a separator, or parquet ({KNOWN_SUFFIXES})",
        fix=f"convert it: {of_json(path, target)} and name that file",
    )


def _decompressed(file: InputFile, head: bytes) -> bytes:
    if not head.startswith(b"\x1f\x8b"):
        raise data_error(str(file.path), found=_what(head), expected="a gzip file, as its name says", fix="name the file for what it holds")
    try:
        with file.open_raw() as stream:
            return stream.read(_HEAD)
    except (OSError, EOFError, zlib.error) as error:
        raise damaged_gzip(file.path, error) from error


def zero_byte(place: Place) -> DataError:
    return data_error(place, found="a zero byte", expected="text", fix="copy or export the file again")


def _what(head: bytes) -> str:
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            return what
    return _BINARY if b"\0" in head else "text"
