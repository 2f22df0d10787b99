"""The form in which rows leave a file: numbered columns c0, c1, …, and the number of each row in its file."""

from collections.abc import Sequence

import pyarrow as pa

SOURCE_ROW = "source_row"  # 1 = the first row of its file behind the header, without blank lines; `lines.lines_of` finds its line
NULL_TEXTS = ("", "NaN", "nan", "NULL", "null", "\\N")  # texts that stand for null, whatever the format of the file
LOCAL_TIME, UTC_TIME = pa.timestamp("us"), pa.timestamp("us", "UTC")  # LOCAL_TIME shows the clock of the source's zone


def numbered(columns: Sequence[pa.Array], rows: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([*columns, rows], names=[*(f"c{place}" for place in range(len(columns))), SOURCE_ROW])
