"""Columns of a parquet file that hold structs, or lists of them. They cannot be read, and what a log needs may lie in them."""

import shlex
from collections.abc import Iterator, Sequence
from json import dumps

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.errors import data_error
from recsys.sources import UnknownFile


def passed_over(files: Sequence[UnknownFile]) -> list[str]:
    """Return a message per file with such columns: which they are, and how to take them apart."""
    return [said for file in files if (said := _passed_over(file)) is not None]


def _passed_over(file: UnknownFile) -> str | None:
    if file.head.file.format != "parquet" or not file.written.leave_out:
        return None
    first = file.head.file.path
    columns = [field for field in pq.read_schema(first) if field.name in file.written.leave_out and pa.types.is_nested(field.type)]
    if not columns:
        return None
    source = str(file.path / "**" / "*.parquet" if file.path.is_dir() else file.path)
    target = str((file.path if file.path.is_dir() else first).with_suffix("")) + "-flat.parquet"
    parts = [part for field in columns for part in _parts(field.type, quoted(field.name), field.name)]
    taken = ", ".join([f"* EXCLUDE ({', '.join(quoted(field.name) for field in columns)})", *parts])
    code = f"import duckdb; duckdb.read_parquet({dumps(source)}).project({dumps(taken)}).write_parquet({dumps(target)})"
    error = data_error(
        str(file.path),
        found=f"nested columns, which were passed over: {', '.join(f'{field.name} ({field.type})' for field in columns)}",
        expected="one value in a cell",
        fix=f"take them apart into columns: python -c {shlex.quote(code)} and give init that file",
    )
    return str(error)


def _parts(kind: pa.DataType, value: str, name: str) -> Iterator[str]:
    """Yield SQL for each column that a nested value gives: its fields; of a list, a row per element; of a map, none."""
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _parts(field.type, f"{value}.{quoted(field.name)}", f"{name}_{field.name}")
    elif not pa.types.is_nested(kind):
        yield f"{value} AS {quoted(name)}"
    elif not pa.types.is_map(kind):
        yield f"unnest({value}, recursive := true)" if pa.types.is_nested(kind.value_type) else f"{value} AS {quoted(name)}"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'  # always: order, group and end are words of SQL
