"""The engine that runs Ibis expressions: DuckDB in this process, within a memory limit, spilling to a folder beyond it.

The other modules of this folder use only Ibis expressions, and Arrow tables for results.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
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


class Engine:
    """Named tables, and expressions over them. A context manager; leaving it drops everything."""

    def __init__(self, *, memory_limit: str, spill: Path) -> None:
        self._backend = ibis.duckdb.connect(":memory:", memory_limit=memory_limit, temp_directory=str(spill))
        self._spill = spill
        self._connection: duckdb.DuckDBPyConnection = self._backend.con
        self._connection.execute("SET enable_progress_bar = false")
        if (threads := most_threads()) is not None:
            self._connection.execute(f"SET threads = {threads}")

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
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
        self._execute(f'CREATE OR REPLACE VIEW "{name}" AS {_sql(expression)}')

    def keep(self, name: str, expression: ir.Table) -> None:
        """Run an expression and keep its rows under a name."""
        self._execute(f'CREATE OR REPLACE TABLE "{name}" AS {_sql(expression)}')

    def arrow(self, expression: ir.Table) -> pa.Table:
        """Run an expression and return its rows in the expression's own types.

        DuckDB itself sums int64 to 128 bits, which parquet would not keep. The rows are first kept as a table and then read,
        because DuckDB plans a relation twice: once for its columns and once to run it (400 expressions: 120 ms against 65 ms).
        """
        self.keep(_ANSWER, expression)
        return self._connection.table(_ANSWER).to_arrow_table().cast(arrow_schema(expression))

    def _execute(self, statement: str) -> None:
        try:
            self._connection.execute(statement)
        except (RuntimeError, duckdb.InterruptException) as error:
            if "interrupted" in str(error).lower():  # how the engine reports a Ctrl-C
                raise KeyboardInterrupt from error
            raise
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            if (full := disk_full(error, self._spill)) is not None:
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
