"""DuckDB as the engine: in this process, within a memory limit, spilling to a folder beyond it."""

import contextlib
import glob
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from threading import local
from types import TracebackType
from typing import Any, Generic

import duckdb
import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyarrow as pa

from recsys.artifacts import GROUP_ROWS
from recsys.errors import ConfigError, disk_full
from recsys.features.engine import Answers, Engine, Past, Ready, arrow_schema, in_groups
from recsys.features.impressions import ROW
from recsys.signals import is_interruption
from recsys.threads import most_threads

_ANSWER = "answer"
_MEMORY, _PACKED = "memory", "packed"  # databases: in memory, as Ibis opens it; in a file among what is spilled
# Of a connection; Ibis sets the zone of the first one alone. What has no database in its name is made in the first one.
_SETTINGS = f"SET enable_progress_bar = false; SET TimeZone = 'UTC'; SET search_path = '{_MEMORY}.main,{_PACKED}.main'"
_GROUP_ROWS = 122_880  # of a file that is written: the engine's own row group
RESERVE = 400  # MB of `features.memory_limit` that are kept for what the engine takes beyond its own limit, at most


@dataclass(frozen=True)
class _ReadPast(Past[Ready], Generic[Ready]):
    """A past that was read into this process and prepared."""

    prepared: Ready


class DuckDBEngine(Engine):
    """DuckDB in this process."""

    whole_days = False

    def __init__(self, *, memory_limit: str, spill: Path) -> None:
        super().__init__()
        threads = most_threads()
        with _own_errors(spill):
            self._backend = ibis.duckdb.connect(":memory:", memory_limit=_engine_share(memory_limit), temp_directory=str(spill))
            self._connection: duckdb.DuckDBPyConnection = self._backend.con
            self._attach_packed(spill)
            self._connection.execute(_SETTINGS)
            if threads is not None:
                self._connection.execute(f"SET threads = {threads}")
        self._spill = spill
        self._made: dict[str, str] = {}  # name → VIEW or TABLE and its whole name, of what `view` and `keep` made
        self._open: list[duckdb.DuckDBPyConnection] = []
        self._cursor = local()

    def _attach_packed(self, spill: Path) -> None:
        """Open the database of what is packed. Its file loses its name at once, so that nothing is left of a job that dies.

        Nobody recovers it. Without a log of writes, dropped rows give their room back. A checkpoint, which the engine makes by itself after
        some writes, would open that log all the same, in a folder that is gone.
        """
        self._connection.execute("SET wal_autocheckpoint = '1000TB'")
        with tempfile.TemporaryDirectory(dir=spill) as folder:  # engines may share `spill`, but not a file
            self._connection.execute(f"ATTACH {_literal(Path(folder) / 'packed.duckdb')} AS {_PACKED} (RECOVERY_MODE no_wal_writes)")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()  # nothing runs any more, unless a second Ctrl-C came while the queries were being stopped
        self._threads.shutdown()
        for cursor in self._open:
            cursor.close()
        self._backend.disconnect()

    def _name_files(self, name: str, paths: Sequence[Path]) -> None:
        assert name not in self._made, f"{name} is kept or named already"
        with _own_errors(self._spill):
            names = [glob.escape(str(path)) for path in paths]  # DuckDB takes any path for a pattern
            self._connection.read_parquet(names, hive_partitioning=False).create_view(name, replace=True)

    def rows(self, name: str, table: pa.Table) -> None:
        assert name not in self._made, f"{name} is kept or named already"
        with _own_errors(self._spill):
            self._connection.from_arrow(table).create_view(name, replace=True)

    def view(self, name: str, expression: ir.Table) -> None:
        self._make(_kind_and_name("VIEW", name), name, expression)

    def keep(self, name: str, expression: ir.Table, *, packed: bool = False) -> None:
        """Keep the rows in memory, which may spill; `packed`: in a file, because DuckDB compresses what it writes there.

        So what each chunk of a large day reads fits in memory. Uncompressed, most of it came from the disk for each chunk.
        """
        self._make(_kind_and_name("TABLE", name, _PACKED if packed else _MEMORY), name, expression)

    def drop(self, name: str) -> None:
        _execute(self._connection, f"DROP {self._made[name]}", self._spill)
        del self._made[name]

    def _make(self, kind_and_name: str, name: str, expression: ir.Table) -> None:
        """Make a view or a table. DuckDB replaces one of the same kind in the same database; another one is dropped first."""
        if self._made.get(name, kind_and_name) != kind_and_name:
            self.drop(name)
        _execute(self._connection, f"CREATE OR REPLACE {kind_and_name} AS {_sql(expression)}", self._spill)
        self._made[name] = kind_and_name

    def write(self, expression: ir.Table, target: Path, *, as_text: bool) -> None:
        """Write the rows of an expression, in their order, as parquet, or `as_text` separated by commas under a header."""
        form = "FORMAT csv, HEADER" if as_text else f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_GROUP_ROWS}"
        _execute(self._connection, f"COPY ({_sql(expression)}) TO {_literal(target)} ({form})", self._spill)

    def past(self, rows: ir.Table, keys: Sequence[str], prepare: Callable[[pa.Table], Ready], order: Sequence[str] = ()) -> Past[Ready]:
        read = self.arrow(rows.order_by(list(order)) if order else rows)
        return _ReadPast(rows, tuple(keys), prepare, tuple(order), prepare(read))

    def keep_answers(self, name: str, answers: Answers[Any]) -> None:
        self.rows(name, self._call(answers)())

    def side_by_side(
        self, parts: Sequence[ir.Table | Answers[Any]], columns: pa.Schema, rows: int, size: int
    ) -> list[Callable[[], pa.Table]]:
        """Compute the expressions now. The returned function calls the functions of `Answers`, maybe in another thread."""
        assert rows <= size, "more rows than this process may hold"
        computed = iter([*self.arrows([part for part in parts if not isinstance(part, Answers)])])
        found = [self._call(part) if isinstance(part, Answers) else next(computed) for part in parts]
        return [partial(_side_by_side, found, columns, rows)]

    def _call(self, answers: Answers[Any]) -> Callable[[], pa.Table]:
        """Read the asks. Return a call of the function."""
        assert isinstance(answers.past, _ReadPast)
        return partial(answers.answer, answers.past.prepared, self.arrow(answers.asks.order_by(ROW)))

    def arrow(self, expression: ir.Table) -> pa.Table:
        return _collected(self._connection, _ANSWER, _sql(expression), arrow_schema(expression), self._spill)

    def _query(self, place: int, expression: ir.Table) -> Callable[[], pa.Table]:
        return partial(self._collected_by_a_cursor, f"{_ANSWER}_{place}", _sql(expression), arrow_schema(expression))

    def streams(self, expressions: Sequence[ir.Table]) -> Iterator[Iterator[pa.RecordBatch]]:
        """Keep the rows of each in the engine, which may spill them, and read them some at a time."""
        names = [f"stream-{place}" for place in range(len(expressions))]
        kept = self._several([partial(self._keep_by_a_cursor, name, _sql(each)) for name, each in zip(names, expressions, strict=True)])
        for name, expression, _ in zip(names, expressions, kept, strict=True):
            self._made[name] = _kind_and_name("TABLE", name)
            yield in_groups(self._read(name), arrow_schema(expression))
            self.drop(name)

    def _read(self, name: str) -> Iterator[pa.RecordBatch]:
        with _own_errors(self._spill):
            yield from self._connection.table(name).to_arrow_reader(GROUP_ROWS)

    def _keep_by_a_cursor(self, name: str, sql: str) -> None:
        _execute(self._own_cursor(), f"CREATE OR REPLACE {_kind_and_name('TABLE', name)} AS {sql}", self._spill)

    def _interrupt(self) -> None:
        for cursor in self._open:
            cursor.interrupt()

    def _collected_by_a_cursor(self, name: str, sql: str, columns: pa.Schema) -> pa.Table:
        return _collected(self._own_cursor(), name, sql, columns, self._spill)

    def _own_cursor(self) -> duckdb.DuckDBPyConnection:
        """Return this thread's connection, with the settings of the first one: a connection runs one query at a time."""
        if not hasattr(self._cursor, "connection"):
            cursor = self._connection.cursor()
            self._open.append(cursor)
            cursor.execute(_SETTINGS)
            self._cursor.connection = cursor
        connection: duckdb.DuckDBPyConnection = self._cursor.connection
        return connection


def _side_by_side(parts: list[pa.Table | Callable[[], pa.Table]], columns: pa.Schema, rows: int) -> pa.Table:
    """Set parts side by side. The list is emptied, so that they are let go of before the rows are written."""
    tables = [part if isinstance(part, pa.Table) else part() for part in parts]
    parts.clear()
    for table in tables:
        assert table.num_rows == rows, f"a part of {table.num_rows} rows beside {rows}: {table.column_names[:3]}"
    arrays = [column for table in tables for name, column in zip(table.column_names, table.columns, strict=True) if name != ROW]
    return pa.Table.from_arrays(arrays, schema=columns).combine_chunks()


def _kind_and_name(kind: str, name: str, database: str = _MEMORY) -> str:
    return f'{kind} {database}.main."{name}"'


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _engine_share(memory_limit: str) -> str:
    """Return the limit that DuckDB gets: a quarter less, and never more than RESERVE less.

    DuckDB goes beyond its own limit while it makes a table: by some 400 MiB with a limit of 954 MiB (docs/benchmarks.md).
    """
    amount, unit = int(memory_limit[:-2]), memory_limit[-2:]
    megabytes = amount * (1_000 if unit == "GB" else 1)
    return f"{megabytes - min(megabytes / 4, RESERVE):.2f}MB"


def _collected(connection: duckdb.DuckDBPyConnection, name: str, sql: str, columns: pa.Schema, spill: Path) -> pa.Table:
    """Return the rows of a query in the types of `columns`.

    DuckDB itself sums int64 to 128 bits, which parquet would not keep. The rows are first kept as a table and then read,
    because DuckDB plans a relation twice: once for its columns and once to run it (400 expressions: 120 ms against 65 ms).
    """
    with _own_errors(spill):
        connection.execute(f'CREATE OR REPLACE TABLE "{name}" AS {sql}')
        rows = connection.table(name).to_arrow_table().cast(columns)
        connection.execute(f'DROP TABLE "{name}"')
    return rows


def _execute(connection: duckdb.DuckDBPyConnection, statement: str, spill: Path) -> None:
    with _own_errors(spill):
        connection.execute(statement)


@contextlib.contextmanager
def _own_errors(spill: Path) -> Iterator[None]:
    """Raise the engine's errors as our own: a Ctrl-C, a full disk, too little memory."""
    try:
        yield
    except (RuntimeError, OSError, duckdb.InterruptException, duckdb.InvalidInputException) as error:  # OSError: where Arrow reads on
        if is_interruption(error):
            raise KeyboardInterrupt from error
        raise
    except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.TransactionException, duckdb.FatalException) as error:
        if (full := disk_full(error, spill)) is not None:
            raise full from error
        if not isinstance(error, duckdb.OutOfMemoryException):
            raise
        what = str(error).splitlines()[0]
        raise ConfigError(
            f"features.memory_limit: found too little for this log ({what}; at most {RESERVE} MB of the limit are kept for what the engine"
            " takes beyond it), expected more. Fix: raise it"
        ) from error


def _sql(expression: ir.Table) -> str:
    return _compiled(expression.op())


@lru_cache(maxsize=1024)
def _compiled(relation: ops.Relation) -> str:
    """Compile an expression once if it is the same on every day.

    The cache is keyed by the relation, because tables compare by identity and relations by content.
    """
    sql: str = ibis.duckdb.compile(relation.to_expr())
    return sql
