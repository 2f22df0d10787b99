"""Text files: every cell stays text; a cell that is empty, NaN or null is null."""

import csv
import functools
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from recsys.errors import DataError, Place, data_error
from recsys.sources.batch import NULL_TEXTS, numbered
from recsys.sources.decoding import damaged_gzip
from recsys.sources.input_files import InputFile, zero_byte
from recsys.sources.lines import numbered_rows
from recsys.sources.quoting import unpaired_quote
from recsys.sources.read_ahead import Utf8Stream, read_out

_BLOCK = 8 << 20  # bytes parsed at once; a row has to fit into two of them
_LINE_END = re.compile(b"[\r\n]")
_ODD = re.compile("[\0\udc80-\udcff]")  # a zero byte, or a byte that is not UTF-8 as "surrogateescape" reads it


@dataclass
class Unbalanced:
    """Rows with a wrong number of fields: their rows (1 = the first behind the header, without blank lines) and their raw lines."""

    rows: list[int] = field(default_factory=list)
    fields: list[int] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def cut(self, last: int) -> None:
        """Forget the rows behind `last`."""
        kept = sum(row < last for row in self.rows)  # they are in order
        for entries in (self.rows, self.fields, self.lines):
            del entries[kept:]

    def forget_before(self, first: int | None) -> None:
        """Forget the rows before `first`; None: all."""
        gone = sum(first is None or row < first for row in self.rows)
        for entries in (self.rows, self.fields, self.lines):
            del entries[:gone]


def first_row(file: InputFile) -> list[str]:
    """Return the cells of the first row. Raises DataError where there is none, or one that is no text."""
    try:  # bytes behind the row that are no text are found when the rows are read
        with file.open() as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            row = next(row for row in csv.reader(text, **file.csv_options) if row)
    except csv.Error as error:
        raise _odd_byte(file) or data_error(
            str(file.path), found=f"a header that cannot be read ({error})", expected="UTF-8 text", fix="export it again"
        ) from error
    except StopIteration as error:
        raise data_error(str(file.path), found="no header", expected="a header and rows", fix="export it again") from error
    if any(_ODD.search(cell) for cell in row) and (odd := _odd_byte(file)) is not None:
        raise odd
    return row


def text_batches(
    file: InputFile, header: Sequence[str], names: Sequence[str], nulls: Sequence[str], unbalanced: Unbalanced
) -> Iterator[pa.RecordBatch]:
    above = int(file.written.header)  # Arrow's row 1 is the header
    quotes = functools.cache(lambda: unpaired_quote(file))  # called only where a row spans lines

    header_is_torn = False

    def refuse(row: pa.csv.InvalidRow) -> str:
        nonlocal header_is_torn
        if stream.has_ended:  # nobody asks for this row
            return "skip"
        if row.number <= above:  # `names` takes its place, and may be longer
            header_is_torn = True
            return "skip"
        if _LINE_END.search(row.text.encode()) and quotes():
            return "error"
        unbalanced.rows.append(row.number - above)
        unbalanced.fields.append(row.actual_columns)
        unbalanced.lines.append(row.text.replace(file.delimiter, file.separator or file.delimiter))  # it may stand for a longer one
        return "skip"

    ours = [f"f{place}" for place in range(len(header))]
    wanted = [ours[header.index(name)] for name in names]
    opened = functools.partial(
        pa.csv.open_csv,
        read_options=pa.csv.ReadOptions(use_threads=False, column_names=ours, block_size=_BLOCK),  # threads lose row numbers
        parse_options=pa.csv.ParseOptions(
            delimiter=file.delimiter,
            quote_char=file.written.quote if file.is_quoted else False,
            newlines_in_values=file.is_quoted,
            invalid_row_handler=refuse,
        ),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(ours, pa.string()),
            include_columns=wanted,
            strings_can_be_null=True,
            null_values=[*NULL_TEXTS, *nulls],
            check_utf8=False,
        ),
    )
    start = None
    try:
        with file.open() as raw, read_out(opened, stream := Utf8Stream(raw)) as readers:
            for batch in readers[0]:
                if start is None:  # a header is the first "row" of the first batch
                    start = 0 if header_is_torn else -above
                if any(_spans_lines(column) for column in batch.columns) and (error := quotes()):
                    raise error
                rows = _row_numbers(start, len(batch), unbalanced.rows)
                start += len(batch)
                skip = int(len(rows) > 0 and rows[0] == 0)
                yield numbered([column[skip:] for column in batch.columns], pa.array(rows[skip:]))
    except UnicodeError as error:
        raise _odd_byte(file) or _unparsed(file, error) from error
    except pa.ArrowInvalid as error:
        raise quotes() or _unparsed(file, error) from error
    except (OSError, EOFError, zlib.error) as error:
        raise damaged_gzip(file.path, error) from error


def _unparsed(file: InputFile, error: Exception) -> DataError:
    if "straddling" in str(error):  # Arrow's word for a row that no block holds
        most = f"rows of at most {_BLOCK >> 20} MiB"
        return data_error(str(file.path), found="a longer row", expected=most, fix="cut its cells, or write the log as parquet")
    return data_error(
        str(file.path),
        found=f"text that cannot be parsed ({str(error).splitlines()[0]})",
        expected=f"fields separated by {file.separator!r}",
        fix="export it again",
    )


def _spans_lines(texts: pa.StringArray) -> bool:
    """Return whether a cell holds a line end. All bytes are searched at once, because hardly any log has one."""
    data = texts.buffers()[2]
    return data is not None and _LINE_END.search(data) is not None


def _row_numbers(start: int, count: int, refused: Sequence[int]) -> NDArray[np.int64]:
    """Return the data rows in the file of the parsed rows start, start + 1, ….

    The numbers in the file count the refused rows, too.
    """
    good = np.arange(start, start + count, dtype=np.int64)
    good_before = np.asarray(refused, dtype=np.int64) - 1 - np.arange(len(refused))
    return np.where(good < 0, 0, good + 1 + np.searchsorted(good_before, good, side="right"))


def _odd_byte(file: InputFile) -> DataError | None:
    """Return the error for the first cell with a byte that is no text, or with a zero byte; None where there is none.

    The file is read again: decoders run ahead of the rows.
    """
    names = list(file.written.names)
    for line, fields in numbered_rows(file, errors="surrogateescape"):
        for place, cell in enumerate(fields):
            if (odd := _ODD.search(cell)) is None:
                continue
            column = names[place] if place < len(names) else None
            if odd.group() == "\0":
                return zero_byte(Place(file.path, line, column))
            there = cell[odd.start() :].encode(errors="surrogateescape")[:4]
            encoding = file.written.encoding.upper()
            found = f"bytes that are not {encoding} ({there!r}){'' if names else ' in the header'}"
            fix = f'export it as UTF-8, or name its encoding, as in {file.key}.encoding = "latin-1"' if file.key else "export it as UTF-8"
            return data_error(Place(file.path, line, column), found=found, expected=f"{encoding} text", fix=fix)
        names = names or fields
    return None
