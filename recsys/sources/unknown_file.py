"""A file of which nothing is known: its form is guessed, and its first rows are read (`recsys init`)."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from recsys.config import FileFormat, TimeOptions
from recsys.sources.input_files import InputFile, resolve, sniff
from recsys.sources.instants import timestamp_column
from recsys.sources.readers import Header, batches, header
from recsys.sources.separators import first_rows, with_separators
from recsys.sources.text import Unbalanced

_LOOKED_AT = 8 << 20  # bytes whose encoding is tried
_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")


@dataclass(frozen=True)
class UnknownFile:
    """A file, its guessed form, and its first rows by column: texts of a text file, of a parquet file its types. `is_whole`: all rows."""

    head: Header
    rows: pa.Table
    is_whole: bool

    @property
    def path(self) -> Path:
        return self.head.file.path

    @property
    def written(self) -> FileFormat:
        return self.head.file.written

    @property
    def found_separator(self) -> str | None:
        """The separator, where the first rows show one that the suffix does not promise."""
        file = self.head.file
        return file.separator if file.separator != file.promised and len(self.head.names) > 1 else None

    def column(self, name: str) -> Iterator[pa.Array]:
        """Yield one column of all rows of the file, batch by batch."""
        kind = self.head.types[self.head.names.index(name)] or pa.string()
        kind = pa.float64() if pa.types.is_floating(kind) else kind
        for batch in batches(self.head, [name], [kind], nulls=(), separators={}, unbalanced=Unbalanced()):
            yield batch.column(0)


def read_unknown(path: Path, *, most: int) -> UnknownFile:
    """Guess encoding, separator and header of one file, and read at most its first `most` rows.

    Columns without a header are called column_1, column_2, …. Raises DataError where the file cannot be read.
    """
    file = resolve([path])[0]
    written = FileFormat() if file.format == "parquet" else _form(file)
    (file,) = with_separators([dataclasses.replace(file, written=written)])
    head = header(file)
    found: list[pa.RecordBatch] = []
    for batch in batches(head, head.names, [kind or pa.string() for kind in head.types], nulls=(), separators={}, unbalanced=Unbalanced()):
        found.append(batch.slice(0, most - sum(map(len, found))))
        if sum(map(len, found)) >= most:
            break
    rows = pa.Table.from_batches(found).drop_columns(["source_row"]).rename_columns(list(head.names))
    return UnknownFile(head, rows, is_whole=len(rows) < most)


def _form(file: InputFile) -> FileFormat:
    sniff_as = dataclasses.replace(file, written=FileFormat(encoding=_encoding(file)))
    sniff(sniff_as)
    (sniff_as,) = with_separators([sniff_as])
    rows = first_rows(sniff_as)
    if not rows or _has_header(rows):
        return sniff_as.written
    width = Counter(map(len, rows)).most_common(1)[0][0]
    return sniff_as.written.model_copy(update={"header": False, "names": tuple(f"column_{place + 1}" for place in range(width))})


def _encoding(file: InputFile) -> str:
    """Return utf-8 where the first bytes are, else the encoding that their mark tells, else latin-1, which reads any bytes."""
    with file.open_raw() as stream:
        data = stream.read(_LOOKED_AT)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        data[: data.rfind(b"\n") + 1].decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row names the columns: each cell is a text of its own that is no number and does not come again."""
    first, *others = rows
    if any(not cell.strip() or _NUMBER.fullmatch(cell) for cell in first) or len(set(first)) < len(first):
        return False
    columns = [[row[place] for row in others if len(row) == len(first)] for place in range(len(first))]
    return not any(cell in column for cell, column in zip(first, columns, strict=True))


def moments_or_null(values: pa.Array, time: TimeOptions) -> pa.Array:
    """Return the moments of timestamps as ingestion reads them, in ms UTC; null where one cannot be read."""
    kind = None if pa.types.is_string(values.type) else values.type
    column = timestamp_column("time", "c0", kind, time)
    with duckdb.connect(":memory:") as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("incoming", pa.table({"c0": values}))
        return con.sql(f"SELECT ({column.sql}) // 1000 AS ms FROM incoming").to_arrow_table()["ms"].combine_chunks()
