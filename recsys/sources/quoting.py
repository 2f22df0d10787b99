"""Quotes that do not pair. A reader takes all rows up to the next quote, or to the end of the file, as one cell."""

import csv
import io

from recsys.errors import DataError, Place, data_error
from recsys.sources.input_files import InputFile


def unpaired_quote(file: InputFile) -> DataError | None:
    """Return the error for the first row whose quote is not closed before a separator or the end of a line (RFC 4180), or None.

    The file is read again, because the fast reader accepts any cell.
    """
    rows = 0  # whole rows so far, the header included
    with file.open() as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="") as text:
        try:
            for fields in csv.reader(text, delimiter=file.delimiter, strict=True):
                rows += bool(fields)
        except csv.Error as error:
            return data_error(
                Place(file.path, rows or None),
                found=f"a quote that is not closed ({error})",
                expected="quotes in pairs around a cell, doubled within it",
                fix="mend that row; left out, it would take the rows behind it along",
            )
    return None
