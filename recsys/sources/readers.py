"""One way to look at a file and to read it, whatever its format."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from recsys.errors import Place, data_error
from recsys.sources.input_files import InputFile, sniff, zero_byte
from recsys.sources.parquet import parquet_batches, typed_columns
from recsys.sources.text import Unbalanced, first_row, text_batches


@dataclass(frozen=True)
class Header:
    """The columns of one file by their own names, with types where the file has types."""

    file: InputFile
    names: tuple[str, ...]
    types: tuple[pa.DataType | None, ...]


def header(file: InputFile) -> Header:
    """Return the columns of one file.

    Raises DataError where the file is not what its name says, has a column twice, a type that cannot be read, or another separator.
    """
    sniff(file)
    columns: list[tuple[str, pa.DataType | None]]
    if file.format == "parquet":
        columns = [*typed_columns(file.path)]
    else:
        columns = [(name or f"unnamed_{place}", None) for place, name in enumerate(first_row(file))]
    names = tuple(name for name, _ in columns)
    if file.format == "text" and len(names) == 1 and any(other in names[0] for other in ";\t|,"):
        raise data_error(
            str(file.path),
            found=f"a header of one column ({names[0][:80]!r})",
            expected=f"columns separated by {file.delimiter!r}",
            fix="write the fields with the separator that the file's name says (.csv: a comma, .tsv: a tab)",
        )
    if zero := next((name for name in names if "\0" in name), None):
        raise zero_byte(Place(file.path, column=zero))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise data_error(
            Place(file.path, column=twice[0]),
            found="that name more than once in the header",
            expected="a name of its own for each column",
            fix="rename one of them",
        )
    return Header(file, names, tuple(kind for _, kind in columns))


def first_rows(head: Header) -> None:
    """Read one block of a file. Raises DataError where the block cannot be read."""
    for _ in batches(head, head.names, [pa.string()] * len(head.names), nulls=(), separators={}, unbalanced=Unbalanced()):
        return


def batches(
    head: Header,
    names: Sequence[str],
    types: Sequence[pa.DataType],
    *,
    nulls: Sequence[str],
    separators: Mapping[str, str],
    unbalanced: Unbalanced,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of one file: the columns `names` as c0, c1, … of `types`, then `source_row` (1 = the first data row).

    `nulls` are further texts that stand for null. A list becomes one text, joined by `separators[name]`. Rows with a
    wrong number of fields are put into `unbalanced` instead. Raises DataError where the file is damaged.
    """
    if head.file.format == "parquet":
        yield from parquet_batches(head.file.path, names, types, nulls, separators)
    else:
        yield from text_batches(head.file, head.names, names, nulls, unbalanced)
