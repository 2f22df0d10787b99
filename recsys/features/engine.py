"""The engine that runs Ibis expressions: DuckDB in this process, within a memory limit, spilling to a folder beyond it.

The other modules of this folder use only Ibis expressions, and Arrow tables for results.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from threading import local
from types import TracebackType

import duckdb
import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyarrow as pa

from recsys import artifacts
from recsys.errors import ConfigError, disk_full
from recsys.threads import most_threads

_ANSWER = "answer"
_NO_BAR = "SET enable_progress_bar = false"


class Engine:
    """Named tables, and expressions over them. A context manager; leaving it drops everything."""

    def __init__(self, *, memory_limit: str, spill: Path) -> None:
        self._backend = ibis.duckdb.connect(":memory:", memory_limit=memory_limit, temp_directory=str(spill))
        self._spill = spill
        self._connection: duckdb.DuckDBPyConnection = self._backend.con
        self._connection.execute(_NO_BAR)
        if (threads := most_threads()) is not None:
            self._connection.execute(f"SET threads = {threads}")
        self._open: list[duckdb.DuckDBPyConnection] = []
        self._cursor = local()
        self._cursors = ThreadPoolExecutor(threads or os.cpu_count() or 1, initializer=self._open_cursor)

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._cursors.shutdown()
        for cursor in self._open:
            cursor.close()
        self._backend.disconnect()

    def files(self, name: str, paths: Sequence[Path]) -> None:
        """Name parquet files of one schema. They are compared with their manifests now, and read when an expression needs them."""
        relation = self._connection.read_parquet([str(artifacts.checked(path)) for path in paths], hive_partitioning=False)
        relation.create_view(name, replace=True)

    def empty(self, name: str, schema: pa.Schema) -> None:
        """Name a table of no rows."""
        self.rows(name, schema.empty_table())

    def rows(self, name: str, table: pa.Table) -> None:
        """Name an Arrow table."""
        self._connection.from_arrow(table).create_view(name, replace=True)

    def view(self, name: str, expression: ir.Table) -> None:
        """Name an expression. It runs when another expression needs it."""
        _execute(self._connection, f'CREATE OR REPLACE VIEW "{name}" AS {_sql(expression)}', self._spill)

    def keep(self, name: str, expression: ir.Table) -> None:
        """Run an expression and keep its rows under a name."""
        _execute(self._connection, f'CREATE OR REPLACE TABLE "{name}" AS {_sql(expression)}', self._spill)

    def arrow(self, expression: ir.Table) -> pa.Table:
        """Run an expression and return its rows in the expression's own types."""
        return _answered(self._connection, _ANSWER, _sql(expression), arrow_schema(expression), self._spill)

    def arrows(self, expressions: Sequence[ir.Table]) -> list[pa.Table]:
        """Run several expressions at once, and return the rows of each, in order.

        Planning takes one core, however many there are, and so does a table of 100,000 rows. Several queries use them all.
        """
        asked = [(f"{_ANSWER}_{place}", _sql(expression), arrow_schema(expression)) for place, expression in enumerate(expressions)]
        running = [self._cursors.submit(self._answered_by_a_cursor, *each) for each in asked]
        try:
            return [each.result() for each in running]
        except BaseException:  # Ctrl-C too, which reaches this thread alone
            for each in running:
                each.cancel()
            for cursor in self._open:
                cursor.interrupt()
            raise

    def _answered_by_a_cursor(self, name: str, sql: str, columns: pa.Schema) -> pa.Table:
        return _answered(self._cursor.connection, name, sql, columns, self._spill)

    def _open_cursor(self) -> None:
        """Open the connection of a thread: a connection runs one query at a time."""
        self._cursor.connection = self._connection.cursor()
        self._cursor.connection.execute(_NO_BAR)
        self._open.append(self._cursor.connection)


def _answered(connection: duckdb.DuckDBPyConnection, name: str, sql: str, columns: pa.Schema, spill: Path) -> pa.Table:
    """Return the rows of a query in the types of `columns`.

    DuckDB itself sums int64 to 128 bits, which parquet would not keep. The rows are first kept as a table and then read,
    because DuckDB plans a relation twice: once for its columns and once to run it (400 expressions: 120 ms against 65 ms).
    """
    _execute(connection, f'CREATE OR REPLACE TABLE "{name}" AS {sql}', spill)
    rows = connection.table(name).to_arrow_table().cast(columns)
    connection.execute(f'DROP TABLE "{name}"')
    return rows


def _execute(connection: duckdb.DuckDBPyConnection, statement: str, spill: Path) -> None:
    try:
        connection.execute(statement)
    except (RuntimeError, duckdb.InterruptException) as error:
        if "interrupted" in str(error).lower():  # how the engine reports a Ctrl-C
            raise KeyboardInterrupt from error
        raise
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        if (full := disk_full(error, spill)) is not None:
            raise full from error
        if isinstance(error, duckdb.IOException):
            raise
        what = str(error).splitlines()[0]
        raise ConfigError(f"features.memory_limit: found too little for this log ({what}), expected more. Fix: raise it") from error


def _sql(expression: ir.Table) -> str:
    return _compiled(expression.op())


@lru_cache(maxsize=1024)
def _compiled(relation: ops.Relation) -> str:
    """Compile an expression once if it is the same on every day.

    The cache is keyed by the relation, because tables compare by identity and relations by content.
    """
    sql: str = ibis.duckdb.compile(relation.to_expr())
    return sql


def arrow_schema(expression: ir.Table) -> pa.Schema:
    """Return the Arrow schema of an expression. Every column and list element is nullable."""
    return pa.schema(
        [(name, _nullable(kind)) for name, kind in zip(expression.columns, expression.schema().to_pyarrow().types, strict=True)]
    )


def _nullable(kind: pa.DataType) -> pa.DataType:
    return pa.list_(_nullable(kind.value_type)) if pa.types.is_list(kind) else kind
