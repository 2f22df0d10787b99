"""A file of which nothing is known: its form is guessed, and its first rows are read (`recsys init`)."""

import dataclasses
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.config import DAY, FileFormat
from recsys.errors import data_error
from recsys.sources.batch import SOURCE_ROW
from recsys.sources.decoding import damaged_gzip
from recsys.sources.input_files import InputFile, resolve, sniff
from recsys.sources.instants import is_iso_time
from recsys.sources.parquet import unreadable_columns
from recsys.sources.readers import Header, batches
from recsys.sources.separators import first_rows, with_separators
from recsys.sources.staging import EXACT, EXACT_BELOW, TableFiles, common_types, unbalanced_error
from recsys.sources.text import Unbalanced

_LOOKED_AT = 8 << 20  # bytes whose encoding is tried
_MOSTLY = 0.9  # share of a column's cells that decide
_ALL = 1 << 62  # rows
_SOME = 3  # cells with a decimal comma
_COMMA_NUMBER = re.compile(r"[+-]?\d+(,\d+)?")
_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")


@dataclass(frozen=True)
class UnknownFile:
    """One table, of a file, a pattern or a folder: its guessed form, and its first rows by column.

    They are texts of text files, of parquet files their types. `path` is as it was given.
    """

    path: Path
    heads: tuple[Header, ...]
    rows: pa.Table
    torn: tuple[Unbalanced, ...]  # the rows of each file that have a wrong number of fields, which `rows` lacks

    @property
    def head(self) -> Header:
        return self.heads[0]

    @property
    def written(self) -> FileFormat:
        return self.head.file.written

    @property
    def is_typed(self) -> bool:
        """Return whether the files are parquet, whose columns have types."""
        return self.head.file.format == "parquet"

    @property
    def found_separator(self) -> str | None:
        """The separator, where the first rows show one that the suffix does not promise."""
        file = self.head.file
        return file.separator if file.separator != file.promised and len(self.head.names) > 1 else None

    def exact_below(self, name: str) -> int:
        """Return the number from which on a column has lost whole numbers, if it holds floats: by the least exact type of its files."""
        kinds = [head.types[head.names.index(name)] for head in self.heads]
        return min(EXACT_BELOW.get(kind, EXACT) for kind in kinds)

    def column(self, name: str) -> Iterator[pa.Array]:
        """Yield one column of all rows of the file, batch by batch."""
        kind = self.rows.schema.field(name).type
        for head in self.heads:
            for batch in batches(head, [name], [kind], nulls=(), separators={}, unbalanced=Unbalanced()):
                yield batch.column(0)


def read_unknown(path: Path, *, most: int) -> UnknownFile:
    """Guess encoding, separator and header of the files that a path names by the first of them, and read at most `most` rows.

    Of snapshots ({day}), the newest is read. Columns without a header are called column_1, column_2, ….

    Raises DataError where a file cannot be read or lacks a column of another, and where there is no row.
    """
    return _read(path, _newest(path), most)


def _read(path: Path, only: frozenset[Path] | None, most: int) -> UnknownFile:
    heads = TableFiles("table", (path,), written=_readable(path, form_of(path)), only=only).headers()
    names = heads[0].names
    _, kinds = common_types(heads, names)
    parts, rows, whole, torn = [], 0, 0, [Unbalanced() for _ in heads]
    read = (
        batch
        for head, bad in zip(heads, torn, strict=True)
        for batch in batches(head, names, kinds, nulls=(), separators={}, unbalanced=bad)
    )
    for batch in read:
        parts.append(batch.slice(0, most - rows))
        rows, whole = rows + len(parts[-1]), whole + len(batch)
        if rows >= most:
            break
    for head, bad in zip(heads, torn, strict=True):
        if len(bad.rows) > whole:  # a run would refuse them, and what fits the header is no log
            raise unbalanced_error(head.file, len(head.fields), bad, len(bad.rows), len(bad.rows) + whole, may_be_left_out=False)
    if rows == 0:
        raise data_error(str(path), found="no rows", expected="some", fix="export it again")
    table = pa.Table.from_batches(parts).drop_columns([SOURCE_ROW]).rename_columns(list(names))
    return UnknownFile(path, tuple(heads), table, tuple(torn))


def read_whole(path: Path) -> UnknownFile:
    """Read all rows of all files as `read_unknown` does. `rows` have the metadata of the first file, where that is parquet.

    Raises DataError also where a row has a wrong number of fields.
    """
    file = _read(path, None, _ALL)
    for head, bad in zip(file.heads, file.torn, strict=True):
        if bad.rows:
            raise unbalanced_error(head.file, len(head.fields), bad, len(bad.rows), len(file.rows) + len(bad.rows), may_be_left_out=False)
    metadata = pq.read_schema(file.head.file.path).metadata if file.is_typed else None
    return dataclasses.replace(file, rows=file.rows.replace_schema_metadata(metadata))


def _newest(path: Path) -> frozenset[Path] | None:
    """Return the files of the newest snapshot, where a path has {day}."""
    if DAY not in str(path):
        return None
    files = resolve([path])
    newest = max(file.day or "" for file in files)
    return frozenset(file.path for file in files if file.day == newest)


def form_of(path: Path, *, has_header: bool = False) -> FileFormat:
    """Guess how the files that a path names are written, by the first of them. Raises DataError where there is none.

    With `has_header`, the first row is the header, whatever it looks like.
    """
    file = resolve([path])[0]
    form = FileFormat() if file.format == "parquet" else _form(file)
    return form.model_copy(update={"header": True, "names": ()}) if has_header else form


def _readable(path: Path, form: FileFormat) -> FileFormat:
    """Return the form that leaves out the columns of parquet files that cannot be read."""
    files = [file.path for file in resolve([path]) if file.format == "parquet"]
    return form.model_copy(update={"leave_out": tuple(dict.fromkeys(name for file in files for name in unreadable_columns(file)))})


def _form(file: InputFile) -> FileFormat:
    sniff_as = dataclasses.replace(file, written=FileFormat(encoding=_encoding(file)))
    sniff(sniff_as)
    (sniff_as,) = with_separators([sniff_as])
    rows = first_rows(sniff_as)
    written = sniff_as.written
    if sniff_as.separator != "," and _has_decimal_commas(rows):
        written = written.model_copy(update={"decimal": ","})
    if not rows or _has_header(rows):
        return written
    width = Counter(map(len, rows)).most_common(1)[0][0]
    return written.model_copy(update={"header": False, "names": tuple(f"column_{place + 1}" for place in range(width))})


def _has_decimal_commas(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a column below the first row holds numbers alone, some of them with a comma before their decimals."""
    width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
    columns = ([row[place].strip() for row in rows[1:] if len(row) == width and row[place].strip()] for place in range(width))
    return any(sum("," in cell for cell in cells) >= _SOME and all(_COMMA_NUMBER.fullmatch(cell) for cell in cells) for cells in columns)


def _encoding(file: InputFile) -> str:
    """Return utf-8 where the first bytes are, else the encoding that their mark tells, else latin-1, which reads any bytes.

    Raises DataError where the file is gzip that is damaged.
    """
    try:
        with file.open_raw() as stream:
            data = stream.read(_LOOKED_AT)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise damaged_gzip(file.path, error) from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        data[: data.rfind(b"\n") + 1].decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row names the columns.

    A column of numbers or times tells by whether its first cell is one, too. Where no column tells, each cell must be a text of its own
    that does not come again.
    """
    first, *others = rows
    columns = [[row[place] for row in others if len(row) == len(first)] for place in range(len(first))]
    votes = [0 if _is_value(cell) else 1 for cell, column in zip(first, columns, strict=True) if cell.strip() and _are_values(column)]
    if votes:
        return 2 * sum(votes) > len(votes)
    is_named = all(cell.strip() and not _is_value(cell) for cell in first) and len(set(first)) == len(first)
    return is_named and not any(cell in column for cell, column in zip(first, columns, strict=True))


def _are_values(column: Sequence[str]) -> bool:
    told = [cell for cell in column if cell.strip()]
    return bool(told) and sum(map(_is_value, told)) >= _MOSTLY * len(told)


def _is_value(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None or is_iso_time(cell)
