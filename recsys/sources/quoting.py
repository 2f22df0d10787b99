"""Quotes that do not pair. A reader takes all rows up to the next quote, or to the end of the file, as one cell."""

import collections

from recsys.errors import DataError, Place, data_error
from recsys.sources.input_files import InputFile
from recsys.sources.lines import UnclosedQuoteError, numbered_rows


def unpaired_quote(file: InputFile) -> DataError | None:
    """Return the error for the first row whose quote is not closed before a separator or the end of a line (RFC 4180), or None.

    The file is read again, because the fast reader accepts any cell.
    """
    try:
        collections.deque(numbered_rows(file, strict=True), maxlen=0)
    except UnclosedQuoteError as error:
        return data_error(
            Place(file.path, error.line),
            found=f"a quote that is not closed ({error})",
            expected="quotes in pairs around a cell, doubled within it",
            fix="mend that row; left out, it would take the rows behind it along",
        )
    return None
