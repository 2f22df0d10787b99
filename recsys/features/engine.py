"""An engine runs Ibis expressions over named tables. There are two: DuckDB in this process (the default), and Spark.

The other modules of this folder use only Ibis expressions, and Arrow tables for results.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from recsys import artifacts


class Engine(ABC):
    """Named tables, and expressions over them. A context manager; leaving it drops everything.

    Integers, keys and their order are the same with any engine, and so are floats (`tests/features/test_engines.py`).
    """

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def files(self, name: str, paths: Sequence[Path]) -> None:
        """Name parquet files of one schema. They are compared with their manifests now, and read when an expression needs them."""
        self._name_files(name, [artifacts.checked(path) for path in paths])

    def own_files(self, name: str, paths: Sequence[Path]) -> ir.Table:
        """Name parquet files of one schema that this process has just written: they have no manifests. Return the table of that name."""
        self._name_files(name, paths)
        return ibis.table(ibis.schema(pq.read_schema(paths[0])), name=name)

    @abstractmethod
    def _name_files(self, name: str, paths: Sequence[Path]) -> None: ...

    def empty(self, name: str, schema: pa.Schema) -> None:
        """Name a table of no rows."""
        self.rows(name, schema.empty_table())

    @abstractmethod
    def rows(self, name: str, table: pa.Table) -> None:
        """Name an Arrow table."""

    @abstractmethod
    def view(self, name: str, expression: ir.Table) -> None:
        """Name an expression. It runs when another expression needs it."""

    @abstractmethod
    def keep(self, name: str, expression: ir.Table) -> None:
        """Run an expression and keep its rows under a name."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Forget the rows that were kept under a name, or the expression that was named."""

    @abstractmethod
    def arrow(self, expression: ir.Table) -> pa.Table:
        """Run an expression and return its rows in the expression's own types."""

    @abstractmethod
    def arrows(self, expressions: Sequence[ir.Table]) -> Iterator[pa.Table]:
        """Run several expressions at once, and yield the rows of each, in order. Few answers are held at a time."""


def arrow_schema(expression: ir.Table) -> pa.Schema:
    """Return the Arrow schema of an expression. Every column and list element is nullable."""
    return pa.schema(
        [(name, _nullable(kind)) for name, kind in zip(expression.columns, expression.schema().to_pyarrow().types, strict=True)]
    )


def _nullable(kind: pa.DataType) -> pa.DataType:
    return pa.list_(_nullable(kind.value_type)) if pa.types.is_list(kind) else kind
