"""Parquet files: columns keep their types, reduced to int64, the three floats, bool, date, timestamp and string."""

import binascii
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.errors import DataError, Place, data_error
from recsys.sources.batch import LOCAL_TIME, NULL_TEXTS, UTC_TIME, numbered
from recsys.sources.input_files import zero_byte

_BATCH = 131_072  # rows read at once
_ZERO = re.compile(b"\0")
_PAST_INT64, _DIGITS = 1 << 63, 18  # int64 holds all numbers of so many digits
_UUID_HYPHENS, _UUID_LENGTH = (8, 13, 18, 23), 36


def typed_columns(path: Path, only: Collection[str] | None = None, without: Collection[str] = ()) -> list[tuple[str, pa.DataType]]:
    """Return the name and type of every column, or of those that `only` names, but for those in `without`.

    Raises DataError where the file is damaged, or has one of a type that cannot be read.
    """
    file = _opened(path)
    columns = (column for column in file.schema_arrow if (only is None or column.name in only) and column.name not in without)
    return [(column.name, _staged_type(path, file, column)) for column in columns]


def unreadable_columns(path: Path) -> list[str]:
    """Return the columns of types that cannot be read. Raises DataError where the file is damaged."""
    found, file = [], _opened(path)
    for column in file.schema_arrow:
        try:
            _staged_type(path, file, column)
        except DataError:
            found.append(column.name)
    return found


def list_columns(path: Path) -> list[str]:
    """Return the columns whose cells are lists. Raises DataError where the file is damaged."""
    return [column.name for column in _opened(path).schema_arrow if _is_list(column.type)]


def column_names(path: Path) -> list[str]:
    """Return the name of every column, whatever its type. Raises DataError where the file is damaged."""
    return list(_opened(path).schema_arrow.names)


def _staged_type(path: Path, file: pq.ParquetFile, column: pa.Field) -> pa.DataType:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    match kind:
        case _ if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
            return pa.int64() if _fits(path, file, column.name, kind) else pa.string()
        case _ if kind == pa.uuid():
            return pa.string()
        case _ if pa.types.is_floating(kind):
            return kind
        case _ if pa.types.is_decimal(kind):
            return pa.float64()
        case _ if pa.types.is_boolean(kind) or pa.types.is_date32(kind):
            return kind
        case _ if pa.types.is_date64(kind):
            return pa.date32()
        case _ if pa.types.is_timestamp(kind):
            return UTC_TIME if kind.tz else LOCAL_TIME
        case _ if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            return pa.string()
        case _ if pa.types.is_null(kind):
            return pa.null()
        case _ if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return pa.string()  # some writers do not mark texts as texts; bytes that are not UTF-8 are found on reading
        case _ if _is_list(kind) and not pa.types.is_nested(kind.value_type):
            return pa.string()
    raise data_error(
        Place(path, column=column.name),
        found=f"values of type {column.type}",
        expected="numbers, texts, times or lists of them",
        fix=("take it apart into columns" if pa.types.is_nested(kind) else "write it as text or as a number")
        + ", or name it in leave_out (docs/bring-your-own-log.md)",
    )


def _fits(path: Path, file: pq.ParquetFile, name: str, kind: pa.DataType) -> bool:
    """Return whether int64 holds all whole numbers of a column. Larger ones are names, such as unsigned hashes, and stay exact as texts.

    The statistics of the file tell it; where it has none, the column is read.
    """
    if not (kind == pa.uint64() or (pa.types.is_decimal(kind) and kind.precision > _DIGITS)):
        return True
    groups = file.metadata
    place = [groups.schema.column(place).path for place in range(groups.num_columns)].index(name)
    found = [groups.row_group(number).column(place).statistics for number in range(groups.num_row_groups)]
    try:
        if all(of_group is not None and of_group.has_min_max for of_group in found):
            bounds = [(of_group.min, of_group.max) for of_group in found]
        else:
            extremes = (pc.min_max(batch.column(0)).as_py() for batch in file.iter_batches(batch_size=_BATCH, columns=[name]))
            bounds = [(both["min"], both["max"]) for both in extremes if both["min"] is not None]
    except (OSError, pa.ArrowInvalid) as error:
        raise _damaged_parquet(path, error) from error
    return all(low >= -_PAST_INT64 and high < _PAST_INT64 for low, high in bounds)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _opened(path: Path) -> pq.ParquetFile:
    """Open a file to be read some rows at a time. Without `pre_buffer` a row group is let go of once it is read."""
    try:
        return pq.ParquetFile(path, pre_buffer=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise _damaged_parquet(path, error) from error


def _damaged_parquet(path: Path, error: Exception) -> DataError:
    return data_error(
        str(path), found=f"a damaged parquet file ({str(error).splitlines()[0]})", expected="a whole one", fix="copy or export it again"
    )


def parquet_batches(
    path: Path, names: Sequence[str], types: Sequence[pa.DataType], nulls: Sequence[str], separators: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    start = 1
    with _opened(path) as file:
        try:
            for batch in file.iter_batches(batch_size=_BATCH, columns=list(names)):
                columns = [
                    _cast(path, name, batch.column(name), type_, nulls, separators.get(name))
                    for name, type_ in zip(names, types, strict=True)
                ]
                _refuse_zero_bytes(path, names, columns, start)
                yield numbered(columns, pa.array(np.arange(start, start + len(batch), dtype=np.int64)))
                start += len(batch)
        except (OSError, pa.ArrowInvalid) as error:
            raise _damaged_parquet(path, error) from error


def _cast(path: Path, name: str, values: pa.Array, kind: pa.DataType, nulls: Sequence[str], separator: str | None) -> pa.Array:
    """Return a column in one of the staged types. NaN and the texts that stand for null become null, and times are cut to microseconds."""
    try:
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if values.type == pa.uuid():
            values = _uuid_texts(values)
        if _is_list(values.type):
            values = _joined(path, name, values.cast(pa.list_(pa.string())), separator)
        if values.type == pa.float32() and kind == pa.float64():
            values = _as_written(values)
        values = values.cast(kind, safe=not pa.types.is_timestamp(values.type))
        values.validate(full=pa.types.is_string(kind))  # a damaged file may call any bytes a text
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise data_error(
            Place(path, column=name),
            found=f"values of type {values.type} that do not fit ({str(error).splitlines()[0]})",
            expected=f"{kind}",
            fix="write them as text, or as another type",
        ) from error
    if kind == pa.float64():
        return pc.if_else(pc.fill_null(pc.is_nan(values), False), pa.scalar(None, kind), values)
    if kind == pa.string():
        return pc.if_else(pc.is_in(values, pa.array([*NULL_TEXTS, *nulls])), pa.scalar(None, kind), values)
    return values


def _as_written(values: pa.Array) -> pa.Array:
    """Return floats of 32 bits as the doubles that are written alike: 0.7, where the exact value is 0.699999988079071. Whole ones stay."""
    exact = values.cast(pa.float64())
    return pc.if_else(pc.equal(exact, pc.floor(exact)), exact, values.cast(pa.string()).cast(pa.float64()))


def _uuid_texts(values: pa.Array) -> pa.Array:
    """Return UUIDs as texts of the usual form, 8-4-4-4-12 hexadecimal digits in lower case (RFC 9562)."""
    first, data = values.storage.offset, memoryview(values.storage.buffers()[1])
    digits = np.frombuffer(binascii.hexlify(data[16 * first : 16 * (first + len(values))]), np.uint8).reshape(len(values), 32)
    texts = np.full((len(values), _UUID_LENGTH), ord("-"), np.uint8)
    texts[:, [place for place in range(_UUID_LENGTH) if place not in _UUID_HYPHENS]] = digits
    return pa.array(texts.view(f"S{_UUID_LENGTH}").ravel(), mask=values.is_null().to_numpy(zero_copy_only=False)).cast(pa.string())


def _refuse_zero_bytes(path: Path, names: Sequence[str], columns: Sequence[pa.Array], start: int) -> None:
    """Raise DataError where a text holds a zero byte, as in a text file. `start` is the number of the first row."""
    for name, texts in zip(names, columns, strict=True):
        data = texts.buffers()[2] if pa.types.is_string(texts.type) else None
        if data is None or _ZERO.search(data) is None:
            continue
        found = pc.index(pc.match_substring(texts, "\0"), True).as_py()
        if found >= 0:
            raise zero_byte(Place(path, start + found, name))


def _joined(path: Path, name: str, lists: pa.ListArray, separator: str | None) -> pa.Array:
    """Return each list of texts as one text. A null element is left out, because it would make the whole list null.

    Raises DataError where a value of a multi-valued column holds its separator. The separator would make two values of it.
    """
    values = lists.flatten()
    if separator and pc.any(pc.match_substring(values, separator)).as_py():
        raise data_error(
            Place(path, column=name),
            found=f'the separator "{separator}" within a value',
            expected="a separator that no value holds",
            fix=f"give {name} another one in features.multi",
        )
    if values.null_count:
        known = values.is_valid()
        lengths = np.bincount(pc.list_parent_indices(lists).filter(known).to_numpy(), minlength=len(lists))
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        lists = pa.ListArray.from_arrays(offsets, values.filter(known), mask=lists.is_null())
    return pc.binary_join(lists, separator or ",")
