"""One way to look at a file and to read it, whatever its format."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from recsys.errors import Place, data_error, many, short
from recsys.sources.input_files import InputFile, sniff, zero_byte
from recsys.sources.lines import lines_of
from recsys.sources.naming import headless
from recsys.sources.parquet import column_names, parquet_batches, typed_columns
from recsys.sources.partitions import kind, with_columns
from recsys.sources.separators import comments, first_rows
from recsys.sources.text import Unbalanced, first_row, text_batches

_COMMA_NUMBER = r"^(\s*[+-]?\d*),(\d+\s*)$"


@dataclass(frozen=True)
class Header:
    """The columns of one file by their own names, with types where the file has types.

    `fields` are the names of all columns of the file. `names` lack those that the TOML leaves out, have those of its `folders` besides, and
    have the `types`. `written` is the header that stands in a text file, which the TOML may replace; empty where there is none.
    """

    file: InputFile
    fields: tuple[str, ...]
    names: tuple[str, ...]
    types: tuple[pa.DataType | None, ...]
    written: tuple[str, ...]

    @property
    def folders(self) -> dict[str, str | None]:
        """Column → value, of the columns that stand in the names of the file's folders, and not in the file."""
        return {name: value for name, value in self.file.folders if name not in self.fields}


def header(file: InputFile, only: Collection[str] | None = None) -> Header:
    """Return the columns of one file whose separator is known (`separators.with_separators`). `only`: of a parquet file, no others.

    Raises DataError where the file is not what its name says, has a column twice, a type that cannot be read, or another separator or
    number of columns than the TOML says.
    """
    sniff(file)
    if file.format == "parquet":
        if file.written.is_of_text:
            key = file.key or "source.format"
            expected = f"a text file, whose form {key} says"
            raise data_error(str(file.path), found="a parquet file", expected=expected, fix=f"leave out of {key} what is about text")
        columns = typed_columns(file.path, only, file.written.leave_out)
        written: tuple[str, ...] = ()
        fields = tuple(column_names(file.path))
        names, types = tuple(name for name, _ in columns), tuple(kind for _, kind in columns)
    else:
        written = tuple(first_row(file)) if file.written.header else ()
        fields = _text_columns(file, written)
        names = tuple(name for name in fields if name not in file.written.leave_out)
        types = (None,) * len(names)
    if zero := next((name for name in fields if "\0" in name), None):
        raise zero_byte(Place(file.path, column=zero))
    told = names if file.format == "parquet" else fields
    twice = sorted({name for name in told if told.count(name) > 1})
    if twice:
        raise data_error(
            Place(file.path, column=twice[0]),
            found="that name more than once in the header",
            expected="a name of its own for each column",
            fix=headless(names) or "rename one of them",
        )
    head = Header(file, fields, names, types, written)
    more = [name for name in head.folders if name not in file.written.leave_out and (only is None or name in only)]
    kinds = (kind(head.folders[name]) if file.format == "parquet" else None for name in more)
    return replace(head, names=(*names, *more), types=(*types, *kinds))


def _text_columns(file: InputFile, written: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns: those in the TOML, else those in the header, where an empty one becomes unnamed_PLACE."""
    if file.written.names:
        _refuse_other_widths(file)
        return file.written.names
    if len(written) == 1 and any(other in written[0] for other in ";\t|,") and not comments(first_rows(file)):
        raise data_error(
            str(file.path),
            found=f"a header of one field ({short(written[0])!r})",
            expected=f"fields separated by {file.separator!r}",
            fix=f"set {file.key or 'source.format'}.separator to the one that the file has",
        )
    _refuse_comments(file)
    return tuple(name or f"unnamed_{place}" for place, name in enumerate(written))


def _refuse_other_widths(file: InputFile) -> None:
    """Raise DataError where none of the first rows has as many fields as the TOML has names. A single row may be torn."""
    widths = Counter(len(row) for row in first_rows(file)[int(file.written.header) :])
    if widths and len(file.written.names) not in widths:
        raise data_error(
            str(file.path),
            found=f"{widths.most_common(1)[0][0]} fields in most of the first rows",
            expected=f"{len(file.written.names)}, as {file.key or 'source.format'}.names says",
            fix="name each column of the file, in its order, or set the separator",
        )


def _refuse_comments(file: InputFile) -> None:
    """Raise DataError where comments stand above the header."""
    rows = first_rows(file)
    if not (above := comments(rows)):
        return
    line = lines_of(file, [above])[0]
    is_plain = file.path.suffix != ".gz" and file.written.encoding == "utf-8"
    raise data_error(
        Place(file.path, 1),
        found=f"{many(len(rows[0]), 'field')} above the header ({short((file.separator or ',').join(rows[0]))})",
        expected=f"the {len(rows[above])} fields of the header, which seems to be line {line}",
        fix="delete the lines above it" + (f": tail -n +{line} {file.path.name} > NEW" if is_plain else ""),
    )


def read_a_block(head: Header) -> None:
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

    Of a text file whose decimals stand behind a comma, a cell that is one such number gets a point, but for the columns in `separators`.

    `nulls` are further texts that stand for null. A list becomes one text, joined by `separators[name]`. Rows with a
    wrong number of fields are put into `unbalanced` instead. Raises DataError where the file is damaged.
    """
    inside = {name: type_ for name, type_ in zip(names, types, strict=True) if name not in head.folders}
    for batch in _inside(head, inside, nulls, separators, unbalanced):
        yield with_columns(batch, names, types, head.folders, nulls) if len(inside) < len(names) else batch


def _inside(
    head: Header, types: Mapping[str, pa.DataType], nulls: Sequence[str], separators: Mapping[str, str], unbalanced: Unbalanced
) -> Iterator[pa.RecordBatch]:
    """Yield the columns that stand in the file itself."""
    if head.file.format == "parquet":
        yield from parquet_batches(head.file.path, list(types), list(types.values()), nulls, separators)
        return
    names = list(types) or head.fields[:1]  # Arrow takes no names for all
    for batch in text_batches(head.file, head.fields, names, nulls, unbalanced):
        yield _with_points(batch, [name not in separators for name in names]) if head.file.written.decimal == "," else batch


def _with_points(batch: pa.RecordBatch, is_single: Sequence[bool]) -> pa.RecordBatch:
    """Return a batch with points before decimals. Of a column with several values per cell, 1,2 may be two of them."""
    columns = [
        pc.replace_substring_regex(column, _COMMA_NUMBER, r"\1.\2") if single and pa.types.is_string(column.type) else column
        for column, single in zip(batch.columns, [*is_single, False], strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)
