"""Text files: every cell stays text; a cell that is empty, NaN or null is null."""

import csv
import functools
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from recsys.errors import DataError, Place, data_error
from recsys.sources.batch import numbered
from recsys.sources.input_files import InputFile, damaged_gzip
from recsys.sources.quoting import unpaired_quote

NULL_TEXTS = ("", "NaN", "nan", "NULL", "null", "\\N")
_BLOCK = 8 << 20  # bytes parsed at once; a row has to fit


@dataclass
class Unbalanced:
    """Rows with a wrong number of fields: their places and their raw lines."""

    rows: list[int] = field(default_factory=list)
    fields: list[int] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def first_row(file: InputFile) -> list[str]:
    try:
        with file.open() as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
            return next(row for row in csv.reader(text, delimiter=file.delimiter) if row)
    except (UnicodeDecodeError, csv.Error) as error:
        # a text wrapper decodes beyond the header, so the row of the bad byte has to be searched for
        raise _not_utf8(file) or data_error(
            str(file.path), found=f"a header that cannot be read ({error})", expected="UTF-8 text", fix="export it again"
        ) from error
    except StopIteration as error:
        raise data_error(str(file.path), found="no header", expected="a header and rows", fix="export it again") from error


def text_batches(
    file: InputFile, header: Sequence[str], names: Sequence[str], nulls: Sequence[str], unbalanced: Unbalanced
) -> Iterator[pa.RecordBatch]:
    quotes = functools.cache(lambda: unpaired_quote(file))  # called only where a row spans lines

    def refuse(row: pa.csv.InvalidRow) -> str:
        if "\n" in row.text and quotes():
            return "error"
        unbalanced.rows.append(row.number - 1)  # Arrow's row 1 is the header
        unbalanced.fields.append(row.actual_columns)
        unbalanced.lines.append(row.text)
        return "skip"

    ours = [f"f{place}" for place in range(len(header))]
    wanted = [ours[header.index(name)] for name in names]
    try:
        with pa.input_stream(str(file.path), compression="gzip" if file.compressed else None) as stream:
            reader = pa.csv.open_csv(
                stream,
                read_options=pa.csv.ReadOptions(use_threads=False, column_names=ours, block_size=_BLOCK),  # threads lose row numbers
                parse_options=pa.csv.ParseOptions(delimiter=file.delimiter, newlines_in_values=True, invalid_row_handler=refuse),
                convert_options=pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(ours, pa.string()),
                    include_columns=wanted,
                    strings_can_be_null=True,
                    null_values=[*NULL_TEXTS, *nulls],
                ),
            )
            start = -1  # the header is the first "row" of the first batch
            for batch in reader:
                if any(_spans_lines(column) for column in batch.columns) and (error := quotes()):
                    raise error
                rows = _row_numbers(start, len(batch), unbalanced.rows)
                start += len(batch)
                skip = 1 if rows[0] == 0 else 0
                yield numbered([column[skip:] for column in batch.columns], pa.array(rows[skip:]))
    except pa.ArrowInvalid as error:
        raise (
            _not_utf8(file)
            or quotes()
            or data_error(
                str(file.path),
                found=f"text that cannot be parsed ({str(error).splitlines()[0]})",
                expected=f"fields separated by {file.delimiter!r}",
                fix="export it again",
            )
        ) from error
    except OSError as error:
        raise damaged_gzip(file, error) from error


def _spans_lines(texts: pa.StringArray) -> bool:
    """Return whether a cell holds a line end. All bytes are searched at once, because hardly any log has one."""
    data = texts.buffers()[2]
    return data is not None and any(end in data.to_pybytes() for end in (b"\n", b"\r"))


def _row_numbers(start: int, count: int, refused: Sequence[int]) -> NDArray[np.int64]:
    """Return the data rows in the file of the parsed rows start, start + 1, ….

    The numbers in the file count the refused rows, too.
    """
    good = np.arange(start, start + count, dtype=np.int64)
    good_before = np.asarray(refused, dtype=np.int64) - 1 - np.arange(len(refused))
    return np.where(good < 0, 0, good + 1 + np.searchsorted(good_before, good, side="right"))


def _not_utf8(file: InputFile) -> DataError | None:
    """Return the error for the first line that is not UTF-8, or None. The file is read again."""
    with file.open() as stream:
        header_line = b""
        for row, line in enumerate(stream):
            header_line = line if row == 0 else header_line
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                names = header_line.decode("utf-8", "replace").strip().split(file.delimiter)
                place = line[: error.start].count(file.delimiter.encode())
                column = names[place] if place < len(names) and row > 0 else None
                found = f"bytes that are not UTF-8 ({line[error.start : error.start + 4]!r}){'' if row else ' in the header'}"
                return data_error(Place(file.path, row or None, column), found=found, expected="UTF-8 text", fix="export it as UTF-8")
    return None
