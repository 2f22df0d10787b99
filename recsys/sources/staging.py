"""All files of one table as one table of the engine: file, row, and the columns as they were written."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from recsys.config import FileFormat
from recsys.errors import DataError, Place, data_error, many, nearest, short
from recsys.sources.batch import LOCAL_TIME, SOURCE_ROW, UTC_TIME
from recsys.sources.beginning import Beginning
from recsys.sources.input_files import InputFile, resolve
from recsys.sources.lines import lines_of
from recsys.sources.named_paths import said_left_out
from recsys.sources.naming import missing_column
from recsys.sources.readers import Header, batches, header
from recsys.sources.separators import with_separators
from recsys.sources.text import Unbalanced

SOURCE_FILE = "source_file"
EXACT = 2**53  # from here on a double no longer holds every whole number
# From this number on, a float of the type no longer holds every whole number.
EXACT_BELOW = {pa.float16(): 2**11, pa.float32(): 2**24, pa.float64(): EXACT}
_ENGINE_TYPES = {
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    LOCAL_TIME: "TIMESTAMP",
    UTC_TIME: "TIMESTAMPTZ",
    pa.string(): "VARCHAR",
}


@dataclass(frozen=True)
class TableFiles:
    """The files of one table. `role` is log, users, items or "feedback NAME". `nulls` are texts that stand for null.

    `written` says how its text files are written, and stands at `key` in the TOML, if it does. `only`: no other files than these.
    """

    role: str
    patterns: tuple[Path, ...]
    nulls: tuple[str, ...] = ()
    written: FileFormat = field(default_factory=FileFormat)
    key: str | None = None
    only: frozenset[Path] | None = None

    def files(self) -> tuple[InputFile, ...]:
        files = resolve(self.patterns, self.written, self.key)
        return files if self.only is None else tuple(file for file in files if file.path in self.only)

    def said_left_out(self) -> list[str]:
        """Return a message per folder that holds files which are not read."""
        return [said for pattern in self.patterns if (said := said_left_out(pattern)) is not None]

    def headers(self, only: Collection[str] | None = None) -> list[Header]:
        """Return the header of every file. `only`: of parquet files, no other columns.

        Raises DataError where a file is missing or unreadable, lacks a column that another file has, or where parquet and text are mixed.
        """
        heads = [header(file, only) for file in with_separators(self.files())]
        if len({head.file.format for head in heads}) > 1:
            raise data_error(
                str(next(head.file.path for head in heads if head.file.format == "parquet")),
                found="a parquet file among text files",
                expected="files of one kind",
                fix="convert one of the kinds, or narrow the path",
            )
        _require_one_header(heads)
        self._require_left_out(heads)
        names = dict.fromkeys(name for head in heads for name in head.names)
        for head in heads:
            for name in names:
                if name not in head.names:
                    other = next(other.file.path.name for other in heads if name in other.names)
                    meant = nearest(name, set(head.names) - set(heads[0].names), most=2)
                    fix = f"add it, name it in leave_out, or leave the file out{meant}"
                    raise data_error(
                        Place(head.file.path, column=name), found="no such column", expected=f"the columns of {other}", fix=fix
                    )
        return heads

    def _require_left_out(self, heads: Sequence[Header]) -> None:
        """Raise DataError where a column that is left out is in none of the files. Its name may be wrong, and the column be read."""
        fields = {name for head in heads for name in (*head.fields, *head.folders)}
        for name in self.written.leave_out:
            if name not in fields:
                raise missing_column(heads[0].file.path, name, sorted(fields), f"{self.key}.leave_out")


def _require_one_header(heads: Sequence[Header]) -> None:
    """Raise DataError where the names of the TOML take the place of headers that differ: they fit one order of columns only."""
    first = heads[0]
    for head in heads:
        if head.file.written.names and head.written != first.written:
            like = f"that of {first.file.path.name}, {short(', '.join(first.written))}"
            raise data_error(
                str(head.file.path),
                found=f"the header {short(', '.join(head.written))}",
                expected=f"{like}, because source.format names the columns of both",
                fix="leave names out, or read the files one by one",
            )


@dataclass(frozen=True)
class Staged:
    """A table of the engine with source_file (a place in `files`), source_row, and one column c0, c1, … for each name."""

    role: str
    table: str
    files: tuple[InputFile, ...]
    names: tuple[str, ...]
    types: tuple[pa.DataType | None, ...]  # None: text whose type is still to be found; floats as they were written
    widths: tuple[int, ...]  # fields of a row of each file, of which `names` may be some
    counts: tuple[int, ...]  # rows read of each file, unbalanced ones included
    unbalanced: tuple[Unbalanced, ...]  # one per file
    most: int | None = None  # rows that were read of a file at most
    beginning: Beginning | None = None  # of what was read of each file, where that is not its first row
    before: tuple[InputFile, ...] = ()  # other files of the table, which were read earlier
    form: Mapping[str, Any] = field(default_factory=dict)  # how the files are written, JSON-able: format, separators, names, types

    @property
    def is_whole(self) -> bool:
        """Return whether every row of every file was read. A file of exactly `most` rows counts as cut."""
        return self.beginning is None and (self.most is None or all(count < self.most for count in self.counts))

    @property
    def rows(self) -> int:
        return sum(self.counts)

    def column(self, name: str) -> str:
        return f"c{self.names.index(name)}"

    def type(self, name: str) -> pa.DataType | None:
        return _in_engine(self.types[self.names.index(name)])

    def exact_below(self, name: str) -> tuple[pa.DataType, int]:
        """Return the type of floats that a column was written with, and the number from which on it loses whole numbers."""
        written = self.types[self.names.index(name)] or pa.float64()
        return written, EXACT_BELOW[written]

    def require(self, name: str, where: str) -> None:
        """Raise DataError where there is no column `name`. The key `where` of the TOML asks for it."""
        if name not in self.names:
            raise missing_column(self.files[0].path, name, self.names, where)

    def require_number(self, name: str, where: str) -> None:
        """Raise DataError where the column `name`, which the key `where` names, has a type that is no number. A text may hold numbers."""
        self.require(name, where)
        kind = self.type(name)
        if kind not in (None, pa.string(), pa.int64(), pa.float64(), pa.bool_()):
            raise data_error(
                Place(self.files[0].path, column=name),
                found=f"values of type {kind}",
                expected=f"numbers, for {where}",
                fix="name another column",
            )

    def place(self, file: int, row: int, column: str | None = None) -> Place:
        return Place(self.files[file].path, self.lines(file, [row])[0], column)

    def lines(self, file: int, rows: Sequence[int]) -> list[int]:
        """Return the line of each row of a file, as an editor numbers them; of a parquet file the row."""
        return lines_of(self.files[file], rows, of=self.counts[file])


def stage(
    con: duckdb.DuckDBPyConnection,
    table: TableFiles,
    name: str,
    *,
    separators: Mapping[str, str],
    max_bad: float | None,
    only: Collection[str] | None = None,
    may_be_empty: bool = False,
    most: int | None = None,
    beginning: Beginning | None = None,
    require: Callable[[Sequence[str], Path], object] = lambda names, path: None,
    read: Callable[[], None] = lambda: None,
) -> Staged:
    """Read every file of a table into the engine's table `name`; of each file at most `most` rows, the first, or those from `beginning` on.

    `only`: no other columns. `require(names, file)` is called before anything is read, and `read()` after each file. Raises DataError where
    a file is damaged, or where there is no row at all, unless the table `may_be_empty`.
    """
    heads = table.headers(only)
    names = tuple(sorted(name for name in heads[0].names if only is None or name in only))
    require(names, heads[0].file.path)
    types, staged_types = common_types(heads, names)
    columns = ", ".join(f"c{place} {_ENGINE_TYPES[kind]}" for place, kind in enumerate(staged_types))
    con.execute(f"CREATE TABLE {name} ({SOURCE_FILE} INTEGER, {columns}, {SOURCE_ROW} BIGINT)")
    counts, unbalanced = [], []
    for place, head in enumerate(heads):
        bad = Unbalanced()
        unbalanced.append(bad)
        counts.append(0)
        rows = batches(head, names, staged_types, nulls=table.nulls, separators=separators, unbalanced=bad)
        if beginning is not None:
            rows = beginning.rows_from(rows, names.index(beginning.name), bad)
        # Each batch is a transaction of its own: what one transaction adds is in memory beside the engine's limit, until its end.
        for batch in _stopping(head, rows, bad, max_bad):
            batch = batch if most is None else batch.slice(0, most - counts[place])
            con.register("incoming", pa.Table.from_batches([batch]))
            con.execute(f"INSERT INTO {name} SELECT {place}, * FROM incoming")
            con.unregister("incoming")
            counts[place] += len(batch)
            if most is not None and counts[place] >= most:
                bad.cut(batch.column(SOURCE_ROW)[-1].as_py())
                break
        counts[place] += len(bad.rows)
        read()
    if not any(counts) and not may_be_empty:
        raise data_error(str(heads[0].file.path), found="a header without rows", expected="rows", fix="export it again, or leave it out")
    return Staged(
        table.role,
        name,
        tuple(head.file for head in heads),
        names,
        types,
        tuple(len(head.fields) for head in heads),
        tuple(counts),
        tuple(unbalanced),
        most,
        beginning,
        form=_form(heads, names, types),
    )


def _form(heads: Sequence[Header], names: Sequence[str], types: Sequence[pa.DataType | None]) -> dict[str, Any]:
    first = heads[0]
    return {
        "format": first.file.format,
        "separators": sorted({f"{head.file.promised}: {head.file.separator}" for head in heads}),
        "header": list(first.written) if first.file.written.names else [],  # that the names of the TOML take the place of
        "names": list(names),
        "types": [str(kind) for kind in types],
    }


def _stopping(head: Header, rows: Iterator[pa.RecordBatch], bad: Unbalanced, max_bad: float | None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file.

    Raises DataError early where too many of its lines are refused, because refused lines are held in memory.
    """
    good = 0
    for batch in rows:
        good += len(batch)
        if len(bad.rows) > 100_000 and len(bad.rows) > (max_bad or 0.0) * (good + len(bad.rows)):
            may_be_left_out = max_bad is not None
            raise unbalanced_error(head.file, len(head.fields), bad, len(bad.rows), good + len(bad.rows), may_be_left_out=may_be_left_out)
        yield batch


def unbalanced_error(file: InputFile, fields: int, bad: Unbalanced, count: int, rows: int, *, may_be_left_out: bool = True) -> DataError:
    fix = "quote fields that hold the separator" + (", or raise source.max_bad" if may_be_left_out else "")
    if count == rows > 1 and len(set(bad.fields)) == 1 and not file.written.names:  # it is the header that does not fit
        names = f", or in {file.key}.names" if file.key else ""
        fix = f"name all {many(bad.fields[0], 'column')} in the header{names}; if other lines stand above the header, delete them"
    elif 2 * count > rows:
        fix = "mend the header; where lines such as the first stand between the rows, write what they say into a column of each row"
    return data_error(
        Place(file.path, lines_of(file, bad.rows[:1])[0]), found=many(bad.fields[0], "field"), expected=expected_fields(file, fields),
        bad_rows=count, rows=rows, fix=fix,
    )  # fmt: skip


def expected_fields(file: InputFile, fields: int) -> str:
    return f"{fields}, as {'its names say' if file.written.names else 'in the header'}"


def common_types(heads: Sequence[Header], names: Sequence[str]) -> tuple[tuple[pa.DataType | None, ...], list[pa.DataType]]:
    """Return the type that each column has in all files together (None: text whose type is still to be found), and that of the engine."""
    types = tuple(_common_type([head.types[head.names.index(name)] for head in heads]) for name in names)
    return types, [pa.string() if kind is None else _in_engine(kind) for kind in types]


def _common_type(kinds: Sequence[pa.DataType | None]) -> pa.DataType | None:
    """Return one type for a column of several parquet files.

    Of numbers it is the least exact float, of true/false beside numbers that of the numbers, of other types that differ text.
    """
    known = set(kinds) - {pa.null()}
    if len(known) == 1:
        return known.pop()
    known.discard(pa.bool_())
    if known == {pa.int64()}:
        return pa.int64()
    if known <= {pa.int64(), *EXACT_BELOW}:
        return next((kind for kind in EXACT_BELOW if kind in known), pa.string())
    return pa.string()


def _in_engine(kind: pa.DataType | None) -> pa.DataType | None:
    """Return the type that a column has in the engine: all floats are doubles there."""
    return pa.float64() if kind in EXACT_BELOW else kind
