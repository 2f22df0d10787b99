"""The separator of a text file, found in its first rows."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from itertools import islice

from recsys.sources.decoding import STAND_IN, needs_decoding
from recsys.sources.input_files import InputFile

_CANDIDATES = (",", "\t", ";", "|", "::", "\x01")  # \x01 is Hive's
_HEAD = 65_536  # bytes looked at
_ROWS = 100  # rows looked at
_ENOUGH = 0.9  # share of rows with as many fields as the first: the others count as torn


def with_separator(file: InputFile) -> InputFile:
    """Return the file with the separator that it is written with: the one in the TOML, else the one that its first rows show.

    A separator fits by the share of rows that have as many fields as the first row, two or more. Of several that fit equally well, the one
    that the file's suffix promises is taken, else the one that gives the most fields. A file of one column has none: it keeps its suffix's.
    """
    if file.written.separator is not None:
        return dataclasses.replace(file, separator=file.written.separator)
    promised = file.promised or _CANDIDATES[0]
    candidates = [promised, *(each for each in _CANDIDATES if each != promised)]
    head = _head(file)
    fits = {each: _fit(dataclasses.replace(file, separator=each), head) for each in candidates}
    best = max(candidates, key=lambda each: (fits[each][0], each == file.promised, fits[each][1]))
    return dataclasses.replace(file, separator=best if fits[best][0] > 0 else promised)


def said(files: Sequence[InputFile], role: str) -> str | None:
    """Return a message where the first rows of some file showed another separator than its suffix promises, else None."""
    found = [file for file in files if file.format == "text" and file.separator not in (file.promised, file.written.separator)]
    if not found:
        return None
    others = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
    key = f"; {found[0].key}.separator says otherwise" if found[0].key else ""
    return f"{role}: the fields of {found[0].path.name}{others} are separated by {found[0].separator!r}, as the first rows show{key}"


def first_rows(file: InputFile) -> list[list[str]]:
    """Return the first rows of a file whose separator is known."""
    return _rows(file, _head(file))


def _head(file: InputFile) -> str:
    """Return the first rows as text, fields not yet separated, without the last row where it is cut."""
    with dataclasses.replace(file, separator=None).open() as stream:
        data = stream.read(_HEAD)
    end = max(data.rfind(b"\n"), data.rfind(b"\r"))
    whole = data[: end + 1] if len(data) == _HEAD and end >= 0 else data
    return whole.decode("utf-8-sig", errors="replace")


def _rows(file: InputFile, head: str) -> list[list[str]]:
    assert file.separator is not None
    text = head.replace(file.separator, STAND_IN) if needs_decoding(file.separator) else head
    rows = islice(csv.reader(io.StringIO(text, newline=""), **file.csv_options), _ROWS)
    return [row for row in rows if row]


def _fit(file: InputFile, head: str) -> tuple[float, int]:
    """Return the share of the first rows that have as many fields as the first of them, and that number; (0, 1) where it is 1."""
    try:
        rows = _rows(file, head)
    except csv.Error:
        return 0.0, 1
    fields = len(rows[0]) if rows else 1
    share = sum(len(row) == fields for row in rows) / len(rows) if rows else 0.0
    return (min(share, _ENOUGH), fields) if fields > 1 else (0.0, 1)
