"""Columns that stand in the names of folders: Hive and Spark write the values of `date` and `device` as date=2024-01-31/device=tv/."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from recsys.errors import data_error
from recsys.sources.batch import NULL_TEXTS, SOURCE_ROW, numbered
from recsys.sources.named_paths import place_of_day, root_of

_FOLDER = re.compile(r"([^=]+)=(.*)", re.DOTALL)
_NULL = "__HIVE_DEFAULT_PARTITION__"
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")  # fits into int64, and is written again as it was
_ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def of_folders(path: Path, pattern: Path) -> dict[str, str | None]:
    """Return column → value, by the folders between a file and the folder that its pattern names.

    The pattern is a file, a glob or a folder. Folders above the first wildcard, and the one with {day}, give no column: they are the same
    for all files, or say of which day a file is. Raises DataError where two folders give the same column, or one is no text.
    """
    above, of_day = len(root_of(pattern).parts), place_of_day(pattern)
    found: dict[str, str | None] = {}
    for place, folder in enumerate(path.parent.parts):
        if place < above or place == of_day or (named := _FOLDER.fullmatch(folder)) is None:
            continue
        name, value = _text(path, named[1]), _text(path, named[2])
        if name in found:
            raise data_error(
                str(path), found=f"two folders that tell {name}", expected="one value of a column", fix="rename one of the folders"
            )
        found[name] = None if value == _NULL else value
    return found


def _text(path: Path, quoted: str) -> str:
    """Return what stands in the name of a folder. Two names must not become one, and a text holds no zero byte."""
    try:
        text = unquote(quoted, errors="strict")
        text.encode()
    except UnicodeError:
        text = "\0"
    if "\0" in text:
        named = f"the name {quoted!a} in that of a folder"
        raise data_error(str(path.parent), found=named, expected="UTF-8 text without zero bytes", fix="rename the folder")
    return text


def kind(value: str | None) -> pa.DataType:
    """Return the type of a value: whole numbers and days have types of their own, as in the columns of a parquet file."""
    if value is None:
        return pa.null()
    if _WHOLE.fullmatch(value):
        return pa.int64()
    return pa.date32() if _is_day(value) else pa.string()


def _is_day(value: str) -> bool:
    try:
        return _ISO_DAY.fullmatch(value) is not None and bool(date.fromisoformat(value))
    except ValueError:
        return False


def with_columns(
    batch: pa.RecordBatch,
    names: Sequence[str],
    types: Sequence[pa.DataType],
    values: Mapping[str, str | None],
    nulls: Sequence[str],
) -> pa.RecordBatch:
    """Return a batch (`batch.numbered`) with the columns `names`, those in `values` among them. It has the others in their order.

    `nulls` are further texts that stand for null.
    """
    inside = iter(batch.columns)
    columns = []
    for name, type_ in zip(names, types, strict=True):
        if name in values:
            value = None if values[name] in (*NULL_TEXTS, *nulls) else values[name]
            columns.append(pa.repeat(pa.scalar(value, pa.string()).cast(type_), len(batch)))
        else:
            columns.append(next(inside))
    return numbered(columns, batch.column(SOURCE_ROW))
