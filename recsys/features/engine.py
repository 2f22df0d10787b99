"""An engine runs Ibis expressions over named tables. There are two: DuckDB in this process (the default), and Spark.

The other modules of this folder use only Ibis expressions, and functions of Arrow tables where an expression would take too long
(`Answers`). Which process calls such a function is the engine's matter.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from recsys import artifacts
from recsys.artifacts import GROUP_ROWS
from recsys.signals import deferred_interrupt
from recsys.threads import cores, most_threads

MOST_AT_ONCE = 4  # queries: they share the memory limit, and what they answer is memory beside it
_PAUSE = 0.1  # seconds between two interrupts
Ready = TypeVar("Ready")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Past(Generic[Ready]):
    """Rows of the past, for asks with the same values of `keys`. `prepare` makes them ready; it gets them ordered by `order`."""

    rows: ir.Table
    keys: tuple[str, ...]
    prepare: Callable[[pa.Table], Ready]
    order: tuple[str, ...]


@dataclass(frozen=True)
class Answers(Generic[Ready]):
    """Rows that a function makes of asks and of their past: `answer(prepared past, asks)`.

    The function may run in another process, so pickle must take it. A call gets all rows of some keys; what it answers for a key must not
    depend on the other keys. Null is no key: such an ask may meet any past. Asks have a `ROW` and come in its order.
    """

    past: Past[Ready]
    asks: ir.Table
    answer: Callable[[Ready, pa.Table], pa.Table]
    columns: pa.Schema


class Engine(ABC):
    """Named tables, and expressions over them. A context manager; leaving it drops everything.

    Integers, keys and their order are the same with any engine, and so are floats (`tests/features/test_engines.py`).
    """

    whole_days: ClassVar[bool]  # whether `side_by_side` takes a whole day; else at most `size` rows

    def __init__(self) -> None:
        self._at_once = min(most_threads() or cores(), MOST_AT_ONCE)
        self._threads = ThreadPoolExecutor(self._at_once)
        self._running: deque[Future[Any]] = deque()

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
    def keep(self, name: str, expression: ir.Table, *, packed: bool = False) -> None:
        """Run an expression and keep its rows under a name. `packed`: in less room, for many rows that are read often."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Forget the rows that were kept under a name, or the expression that was named."""

    def past(self, rows: ir.Table, keys: Sequence[str], prepare: Callable[[pa.Table], Ready], order: Sequence[str] = ()) -> Past[Ready]:
        """Return a past. An engine that calls functions in this process reads and prepares it now."""
        return Past(rows, tuple(keys), prepare, tuple(order))

    @abstractmethod
    def keep_answers(self, name: str, answers: Answers[Any]) -> None:
        """Call the function and keep its rows under a name."""

    @abstractmethod
    def side_by_side(
        self, parts: Sequence[ir.Table | Answers[Any]], columns: pa.Schema, rows: int, size: int
    ) -> list[Callable[[], pa.Table]]:
        """Set the columns of several parts side by side, row by row. Return functions that give `size` rows each, in order.

        Each part has one row per `ROW`, `rows` of them, and an expression is ordered by it. The functions need the engine no more.
        """

    @abstractmethod
    def arrow(self, expression: ir.Table) -> pa.Table:
        """Run an expression and return its rows in the expression's own types."""

    def arrows(self, expressions: Sequence[ir.Table]) -> Iterator[pa.Table]:
        """Run several expressions at once, and yield the rows of each, in order. At most `MOST_AT_ONCE` answers are held.

        An engine plans a query on one core. Several queries at once use the others.
        """
        return self._several([self._query(place, expression) for place, expression in enumerate(expressions)])

    @abstractmethod
    def streams(self, expressions: Sequence[ir.Table]) -> Iterator[Iterator[pa.RecordBatch]]:
        """Run several expressions at once. Yield for each, in order, its rows as `in_groups` does, few at a time."""

    def _several(self, queries: Sequence[Callable[[], Answer]]) -> Iterator[Answer]:
        running: deque[Future[Answer]] = deque()
        self._running = running
        try:
            for query in queries:
                if len(running) == self._at_once:
                    yield running[0].result()
                    running.popleft()
                with deferred_interrupt():
                    running.append(self._threads.submit(query))
            while running:
                yield running[0].result()
                running.popleft()
        except BaseException:  # Ctrl-C too, which reaches this thread alone
            self._stop()
            raise

    @abstractmethod
    def _query(self, place: int, expression: ir.Table) -> Callable[[], pa.Table]:
        """Return what runs an expression in a thread of its own, the `place`-th of several."""

    def _stop(self) -> None:
        """Cancel what has not begun, and interrupt the rest until it has ended: an interrupt before a query has begun has no effect."""
        begun = [each for each in self._running if not each.cancel()]
        while wait(begun, timeout=_PAUSE).not_done:
            self._interrupt()

    @abstractmethod
    def _interrupt(self) -> None:
        """Interrupt the queries that run in threads."""


def in_groups(parted: Iterable[pa.RecordBatch], columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield rows in batches that do not depend on how an engine has parted them: `GROUP_ROWS` each, but for the last one."""
    held = columns.empty_table()
    for batch in parted:
        held = pa.concat_tables([held, pa.Table.from_batches([batch]).cast(columns)])
        while len(held) >= GROUP_ROWS:
            yield from held.slice(0, GROUP_ROWS).combine_chunks().to_batches()
            held = held.slice(GROUP_ROWS)
    if len(held):
        yield from held.combine_chunks().to_batches()


def arrow_schema(expression: ir.Table) -> pa.Schema:
    """Return the Arrow schema of an expression. Every column and list element is nullable."""
    return pa.schema(
        [(name, _nullable(kind)) for name, kind in zip(expression.columns, expression.schema().to_pyarrow().types, strict=True)]
    )


def _nullable(kind: pa.DataType) -> pa.DataType:
    return pa.list_(_nullable(kind.value_type)) if pa.types.is_list(kind) else kind
