"""The lines of a text file at which its rows begin, as an editor numbers them: from 1, the header and blank lines included."""

import contextlib
import csv
import io
import sys
from collections.abc import Iterator, Sequence

from recsys.sources.input_files import InputFile

_BLOCK = 8 << 20  # bytes read at once


def lines_of(file: InputFile, rows: Sequence[int], *, of: int | None = None) -> list[int]:
    """Return the line at which each of these rows begins. In a parquet file that is the row itself.

    A row counts from 1 behind the header, if there is one, without blank lines. `of` is the number of rows of the file, where it is
    known: most files have as many lines, and need not be parsed once more.
    """
    if file.format == "parquet":
        return list(rows)
    above = int(file.written.header)
    if of is not None and _lines_in(file) == of + above:
        return [row + above for row in rows]
    begins = dict.fromkeys(rows, 0)
    last = max(rows, default=0)
    for row, (line, _) in zip(range(1 - above, last + 1), numbered_rows(file), strict=False):
        if row in begins:
            begins[row] = line
    return [begins[row] for row in rows]


class UnclosedQuoteError(Exception):
    """A quote that is not closed before a separator or the end of a line (RFC 4180), in the row that begins at `line`."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


def numbered_rows(file: InputFile, *, strict: bool = False, errors: str = "replace") -> Iterator[tuple[int, list[str]]]:
    """Yield each row of a text file with the line at which it begins, a header first; blank lines are no rows.

    `errors` says what becomes of bytes that are not UTF-8, as in `bytes.decode`. With `strict`, raise UnclosedQuoteError.
    """
    with _cells_of_any_size(), file.open() as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", errors=errors, newline="") as text:
        rows = csv.reader(text, strict=strict, **file.csv_options)
        while True:
            line = rows.line_num + 1
            try:
                fields = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                raise UnclosedQuoteError(line, str(error)) from error
            if fields:
                yield line, fields


def _lines_in(file: InputFile) -> int:
    """Return the number of lines, each ended by \\n, \\r or both, the last perhaps by nothing."""
    ends, last = 0, b"\n"
    with file.open() as stream:
        while block := stream.read(_BLOCK):
            ends += block.count(b"\n") + block.count(b"\r") - (last + block).count(b"\r\n")
            last = block[-1:]
    return ends + (last not in (b"\n", b"\r"))


@contextlib.contextmanager
def _cells_of_any_size() -> Iterator[None]:
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
