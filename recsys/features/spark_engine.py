"""Spark as the engine (`features.engine = "spark"`): the same expressions, for logs that one machine does not hold.

What an expression keeps is written as parquet into a folder of the workspace, and read from there. So driver and executors must see the
workspace under the same path, and no plan grows from day to day. What a user has done up to the very moment is found by the executors, some
users at a time (`spark_past.py`), and a day's examples are made as one. The driver writes them, some at a time.
"""

import contextlib
import os
import re
import shutil
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyarrow as pa

from recsys.config import Spark
from recsys.errors import ConfigError, disk_full, short
from recsys.features import spark_functions, spark_past
from recsys.features.engine import Answers, Engine, arrow_schema
from recsys.threads import cores, most_threads

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_SEVERAL = re.compile(r"[\[\]{}*?\\]")
_OTHER_ENVIRONMENT = re.compile(rf"(?<=ValueError: ){spark_past.OTHER_VERSIONS}.*|No module named '[^']*'|Can't get attribute '[^']*'")
_SUBMITTED = "PYSPARK_GATEWAY_PORT"  # set where spark-submit has started this process


class SparkEngine(Engine):
    """A session of Spark of its own. Its context ends with the engine, unless it stood before."""

    whole_days = True

    def __init__(self, options: Spark, *, memory_limit: str, spill: Path) -> None:
        """Open a session. `memory_limit` bounds the heap of a Spark on this machine.

        Raises ConfigError where there is no PySpark, no Java, or no such session.
        """
        super().__init__()
        self._spill, self._kept = spill, dict[str, Path]()
        self._number = 0
        self._tag = f"recsys-{uuid.uuid4().hex}"  # of its jobs
        self._session, self._is_own = _session(options, memory_limit)
        self._session.sparkContext.addJobTag(self._tag)
        spark_functions.register(self._session)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is not None:
                self._interrupt()
            self._stop()
            self._threads.shutdown()
        finally:
            if self._is_own:
                with _java_may_have_ended() if kind is not None else contextlib.nullcontext():
                    self._session.stop()

    def _name_files(self, name: str, paths: Sequence[Path]) -> None:
        with _own_errors(self._spill):
            self._name(name, self._session.read.parquet(*map(_pattern, paths)))

    def rows(self, name: str, table: pa.Table) -> None:
        with _own_errors(self._spill):
            self._name(name, self._session.createDataFrame(table))

    def view(self, name: str, expression: ir.Table) -> None:
        with _own_errors(self._spill):
            self._name(name, self._select(expression))

    def keep(self, name: str, expression: ir.Table, *, packed: bool = False) -> None:
        """Keep the rows as parquet files, which are packed in any case."""
        with _own_errors(self._spill):
            self._keep(name, self._select(expression))

    def _keep(self, name: str, rows: "DataFrame") -> None:
        place, before = self._new_place(), self._kept.pop(name, None)
        rows.write.parquet(_address(place))
        self._name(name, self._session.read.parquet(_pattern(place)))
        self._kept[name] = place
        if before is not None:
            shutil.rmtree(before)

    def _new_place(self) -> Path:
        self._number += 1
        return self._spill / f"kept-{self._number}"

    def keep_answers(self, name: str, answers: Answers[Any]) -> None:
        with _own_errors(self._spill):
            self._keep(name, self._answered(answers))

    def side_by_side(
        self, parts: Sequence[ir.Table | Answers[Any]], columns: pa.Schema, rows: int, size: int
    ) -> list[Callable[[], pa.Table]]:
        """Have executors write the rows into the workspace. The returned functions read them."""
        place = self._new_place()
        with _own_errors(self._spill):
            frames = [self._answered(part) if isinstance(part, Answers) else self._select(part) for part in parts]
            spark_past.write_pieces(frames, size, _address(place))
        starts = range(0, rows, size)
        return [partial(spark_past.read_piece, place, piece, columns, start, min(size, rows - start)) for piece, start in enumerate(starts)]

    def _answered(self, answers: Answers[Any]) -> "DataFrame":
        return spark_past.answered(answers, self._select, self._session.sparkContext.defaultParallelism)

    def _select(self, expression: ir.Table) -> "DataFrame":
        return self._session.sql(_sql(expression))

    def drop(self, name: str) -> None:
        self._session.catalog.dropTempView(name)
        if (place := self._kept.pop(name, None)) is not None:
            shutil.rmtree(place)

    def arrow(self, expression: ir.Table) -> pa.Table:
        return self._collected(_sql(expression), arrow_schema(expression))

    def streams(self, expressions: Sequence[ir.Table]) -> Iterator[Iterator[pa.RecordBatch]]:
        """Have the rows written in their order, and read them back some at a time: a day's state may be more than the driver holds."""
        places = [self._new_place() for _ in expressions]
        written = self._several([partial(self._write, place, _sql(each)) for place, each in zip(places, expressions, strict=True)])
        for place, expression, _ in zip(places, expressions, written, strict=True):
            yield spark_past.read_in_order(place, arrow_schema(expression))
            shutil.rmtree(place)

    def _write(self, place: Path, sql: str) -> None:
        with _own_errors(self._spill):
            self._session.sparkContext.addJobTag(self._tag)  # a tag is the thread's
            self._session.sql(sql).write.parquet(_address(place))

    def _query(self, place: int, expression: ir.Table) -> Callable[[], pa.Table]:
        return partial(self._collected, _sql(expression), arrow_schema(expression))

    def _collected(self, sql: str, columns: pa.Schema) -> pa.Table:
        with _own_errors(self._spill):
            self._session.sparkContext.addJobTag(self._tag)  # a tag is the thread's
            return self._session.sql(sql).toArrow().cast(columns)

    def _interrupt(self) -> None:
        with _java_may_have_ended():
            self._session.sparkContext.cancelJobsWithTag(self._tag)

    def _name(self, name: str, rows: "DataFrame") -> None:
        rows.createOrReplaceTempView(f"`{name}`")


def _session(options: Spark, memory_limit: str) -> tuple["SparkSession", bool]:
    """Return a session of its own, and whether its context was made here."""
    try:
        from py4j.protocol import Py4JError
        from pyspark import SparkContext
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise ConfigError(
            f'features.engine: found "spark", which cannot be imported ({error}).'
            ' Fix: pip install -e ".[spark]" in the checkout, or "duckdb"'
        ) from error
    if "JAVA_HOME" not in os.environ and shutil.which("java") is None:
        raise ConfigError('features.engine: found "spark" without Java, expected Java 17 or 21. Fix: install it, or "duckdb"')
    stood = SparkContext._active_spark_context is not None
    local = {} if stood else _local(options, memory_limit)
    if local:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else "python3", which may be another one
    builder = SparkSession.builder
    for name, value in (local | options.conf | ({} if options.master is None else {"spark.master": options.master})).items():
        builder = builder.config(name, value)
    try:
        with _own_interrupts():
            session = builder.getOrCreate().newSession()
    except (Py4JError, PySparkException, RuntimeError) as error:
        what = next((line for line in str(error).splitlines() if "Exception" in line), str(error))
        raise ConfigError(f"[spark]: found no session ({short(what)}). Fix: spark.master, spark.conf, features.memory_limit") from error
    for name, value in options.FIXED.items():
        session.conf.set(name, value)
    return session, not stood


def _local(options: Spark, memory_limit: str) -> dict[str, str]:
    """Return the options of a Spark on this machine; none where spark-submit, or the TOML, names a cluster."""
    if _SUBMITTED in os.environ or not (options.master or "local").startswith("local"):
        return {}
    threads = most_threads() or cores()
    megabytes = int(memory_limit[:-2]) * (1_000 if memory_limit.endswith("GB") else 1)
    return {
        "spark.master": f"local[{threads}]",
        "spark.driver.memory": f"{megabytes}m",
        "spark.driver.maxResultSize": "0",
        "spark.sql.shuffle.partitions": str(threads),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
    }


@contextlib.contextmanager
def _own_interrupts() -> Iterator[None]:
    """Keep what this process does at Ctrl-C: a new session would set another handler."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGINT, handler)


def _java_may_have_ended() -> contextlib.suppress:
    """Ignore what calls of Java raise once it ends. Ctrl-C reaches Java, too, and then nothing is left to cancel or to stop."""
    from py4j.protocol import Py4JError

    return contextlib.suppress(Py4JError, ConnectionError)


@contextlib.contextmanager
def _own_errors(spill: Path) -> Iterator[None]:
    """Raise Spark's errors as our own: a full disk, too little memory."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JError, PySparkException) as error:
        if (full := disk_full(error, spill)) is not None:
            raise full from error
        if (said := _OTHER_ENVIRONMENT.search(str(error))) is not None:
            raise ConfigError(
                f"[spark]: found executors in another environment ({said[0]}), expected that of the driver. Fix: PYSPARK_PYTHON, or"
                " spark.archives (docs/on-a-cluster.md)"
            ) from error
        if "java.lang.OutOfMemoryError" in str(error):
            raise ConfigError(
                "features.memory_limit: found too little for this log (java.lang.OutOfMemoryError), expected more. Fix: raise it; on a"
                " cluster, spark.driver.memory and spark.executor.memory"
            ) from error
        raise


def _address(path: Path) -> str:
    """Return a path as Hadoop writes it."""
    return f"file://{path.resolve()}"


def _pattern(path: Path) -> str:
    """Return the pattern of this path alone: where Spark reads, some characters stand for several names."""
    return _SEVERAL.sub(r"\\\g<0>", _address(path))


def _sql(expression: ir.Table) -> str:
    return _compiled(expression.op())


@lru_cache(maxsize=1024)
def _compiled(relation: ops.Relation) -> str:
    sql: Any = ibis.pyspark.compile(spark_functions.rewritten(relation).to_expr())
    return str(sql)
