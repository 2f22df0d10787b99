"""Quotes that do not pair: a reader takes every row up to the next quote, or to the end of the file, for one cell."""

import csv
import io

from recsys.errors import DataError, Place, data_error
from recsys.sources.files import InputFile


def unpaired_quote(file: InputFile) -> DataError | None:
    """The first row that opens a quote which is not closed before a separator or the end of a line (RFC 4180).

    Found by reading the file again: the fast reader takes any cell that it can get.
    """
    rows = 0  # that are whole, the header included
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
