"""DuckDB in this process, within a memory limit. Its overflow goes to a folder that is removed afterwards."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from recsys.errors import ConfigError, disk_full
from recsys.signals import is_interruption
from recsys.threads import most_threads
from recsys.workspace import EVENTS


@contextlib.contextmanager
def engine(folder: Path, memory_limit: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database in memory that spills into a folder beside the output. The folder is removed on leaving.

    Raises ConfigError where `memory_limit` is too small, KeyboardInterrupt where Ctrl-C stopped a query.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{EVENTS}.", suffix=".draft", dir=folder) as scratch:
        config = {
            "memory_limit": memory_limit,
            "temp_directory": scratch,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        if (threads := most_threads()) is not None:
            config["threads"] = str(threads)
        with duckdb.connect(config=config) as con:
            try:
                con.execute("SET TimeZone = 'UTC'")
                yield con
            except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
                if (full := disk_full(error, Path(scratch))) is not None:
                    raise full from error
                if isinstance(error, duckdb.IOException):
                    raise
                what = str(error).splitlines()[0]
                raise ConfigError(
                    f"features.memory_limit: found {memory_limit}, expected more for this log ({what}). Fix: raise it"
                ) from error
            except (RuntimeError, OSError, duckdb.InterruptException, duckdb.InvalidInputException) as error:
                if is_interruption(error):
                    raise KeyboardInterrupt from error
                raise


def literal(text: str) -> str:
    """Return a text from the configuration as an SQL literal.

    Names and values of the data never enter a statement: staged columns are called c0, c1, …, and texts are matched in Python.
    """
    return "'" + text.replace("'", "''") + "'"


def one_row(con: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """Return the one row of a query. All rows are fetched, as a cursor that is not read to its end would block the connection."""
    (row,) = con.execute(query).fetchall()
    return tuple(row)
