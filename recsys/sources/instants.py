"""Timestamps as written become microseconds since 1970 UTC. A row whose time lies before 1971 or after 2099 is refused.

A time in 1970 is as a rule none: a zero, or a number of another unit. The seconds of our days, read as milliseconds, lie in January 1970.
"""

import re
from datetime import datetime
from typing import Literal

import duckdb
import pyarrow as pa

from recsys import schema
from recsys.config import TimeOptions
from recsys.days import clock
from recsys.sources.batch import LOCAL_TIME, UTC_TIME
from recsys.sources.database import literal
from recsys.sources.output_columns import Column, Refusal, is_canonical_integer, matches, number

Unit = Literal["s", "ms", "us", "ns"]
_PER_SECOND: dict[Unit, int] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MICROS = _PER_SECOND["us"]
_FIRST, _LAST = 31_536_000_000_000, 4_102_444_800_000_000  # 1971-01-01 and 2100-01-01, in microseconds
_CLOCK = r"\d{4}[-/]\d{1,2}[-/]\d{1,2}( +|T)\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
_ZONED = _CLOCK + r"\s*(Z|UTC|[+-]\d{2}(:?\d{2})?)"
_ZONELESS = rf"\d{{4}}[-/]\d{{1,2}}[-/]\d{{1,2}}\s*|{_CLOCK}\s*"
_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def local_micros(column: str, zone: str) -> str:
    """Return SQL for the microseconds of a TIMESTAMP that shows the clock of `zone`."""
    return f"epoch_us(timezone({literal(zone)}, {column}))"


def iso_micros(column: str, zone: str) -> str:
    """Return SQL for the microseconds of an ISO text, with an offset (Z, UTC, +hh:mm) or else in `zone`. Null where it is not ISO text.

    The engine's own casts would ignore text after the time: the name of another zone, AM or PM.
    """
    text = f"replace(upper(trim({column})), ',', '.')"
    zoned = f"regexp_replace(replace({text}, 'UTC', 'Z'), ' +([+-]|Z)', '\\1')"  # those casts take no blank before an offset
    return (
        f"CASE WHEN {matches(text, _ZONED)} THEN epoch_us(TRY_CAST({zoned} AS TIMESTAMPTZ))"
        f" WHEN {matches(text, _ZONELESS)} THEN {local_micros(f'TRY_CAST({text} AS TIMESTAMP)', zone)} END"
    )


def is_iso_time(text: str) -> bool:
    """Return whether a text has the form that `iso_micros` reads."""
    return re.fullmatch(f"{_ZONED}|{_ZONELESS}", text.strip(" ").upper().replace(",", ".")) is not None


def timestamp_column(name: str, column: str, kind: pa.DataType | None, time: TimeOptions) -> Column:
    """Return the timestamp as a column of int64 microseconds. A parquet time needs no unit; `time` says how to read others."""
    if kind == LOCAL_TIME:
        micros = local_micros(column, time.zone)
    elif kind == UTC_TIME:
        micros = f"epoch_us({column})"
    elif kind == pa.date32():
        micros = local_micros(f"CAST({column} AS TIMESTAMP)", time.zone)
    elif time.format is not None:
        micros = _formatted_micros(f"trim(CAST({column} AS VARCHAR))", time.format, time.zone)
    elif time.unit == "iso":
        micros = iso_micros(f"CAST({column} AS VARCHAR)", time.zone)
    else:
        micros = _numeric_micros(column, kind, time)
    is_typed = kind in (LOCAL_TIME, UTC_TIME, pa.date32())
    first = _FIRST if is_typed else _first(time)
    plausible = f"CASE WHEN ({micros}) BETWEEN {first} AND {_LAST - 1} THEN ({micros}) END"
    expected = f"{'a time' if is_typed else _expected(time)} between 1971 and 2100"
    hint = time.unit if time.format is None and time.since is None and not is_typed else None
    fix = None if time.format is None or is_typed else _other_order(time.format)
    return Column(schema.TIMESTAMP, plausible, pa.int64(), (Refusal(name, f"({plausible}) IS NULL", expected, hint_unit=hint, fix=fix),))


def moments_or_null(values: pa.Array, time: TimeOptions) -> pa.Array:
    """Return the moments of timestamps as ingestion reads them, in ms UTC; null where one cannot be read."""
    kind = None if pa.types.is_string(values.type) else values.type
    column = timestamp_column("time", "c0", kind, time)
    with duckdb.connect(":memory:") as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("incoming", pa.table({"c0": values}))
        return con.sql(f"SELECT ({column.sql}) // 1000 AS ms FROM incoming").to_arrow_table()["ms"].combine_chunks()


def as_written(moment: int, time: TimeOptions, kind: pa.DataType) -> str:
    """Return a moment (ms UTC) for a message: a number as the log has it, or an ISO time where the log's, or values of a type, are none."""
    if time.format is not None or time.unit == "iso" or kind in (LOCAL_TIME, UTC_TIME, pa.date32()):
        return datetime.fromtimestamp(moment / 1000, clock(time.zone)).isoformat(timespec="milliseconds" if moment % 1000 else "seconds")
    parts = (moment * 1_000 - time.since_micros) * _PER_SECOND[time.unit]
    return str(parts / _MICROS if parts % _MICROS else parts // _MICROS)


def expected_time(kind: pa.DataType, time: TimeOptions) -> str:
    """Return in words what a timestamp must be that `moments_or_null` reads from values of this type."""
    (refusal,) = timestamp_column("time", "c0", None if pa.types.is_string(kind) else kind, time).refusals
    return refusal.expected


def _other_order(form: str) -> str | None:
    """Return what to do about texts that a form does not read, where it has a day and a month: the two are often taken for each other."""
    if not ("%d" in form and "%m" in form):
        return None
    other = form.replace("%d", "%\0").replace("%m", "%d").replace("%\0", "%m")
    return f'look whether source.time.format = "{other}" is meant, or mend the rows'


def _expected(time: TimeOptions) -> str:
    if time.format is not None:
        return f'a time of the form "{time.format}"'
    since = "1970-01-01 UTC" if time.since is None else time.since.isoformat(" ")
    return "an ISO date and time" if time.unit == "iso" else f"{_NAMES[time.unit]} since {since},"


def _first(time: TimeOptions) -> int:
    """Return the first moment that is taken for one. A number of 0 is one where the pipeline says from when numbers count."""
    return max(_FIRST, time.since_micros)


def _formatted_micros(text: str, form: str, zone: str) -> str:
    """Return SQL for the microseconds of a text in the form of strptime, which has an offset (%z) or is in `zone`. Null of other texts."""
    parsed = f"TRY_STRPTIME({text}, {literal(form)})"
    return f"epoch_us({parsed})" if "%z" in form.replace("%%", "") else local_micros(parsed, zone)


def _numeric_micros(column: str, kind: pa.DataType | None, time: TimeOptions) -> str:
    assert time.unit != "iso"
    per_second, since = _PER_SECOND[time.unit], time.since_micros
    lowest, highest = ((moment - since) * per_second // _MICROS for moment in (_first(time), _LAST))  # beyond, a BIGINT may not hold them
    whole = column if kind == pa.int64() else f"CASE WHEN {is_canonical_integer(column)} THEN TRY_CAST({column} AS BIGINT) END"
    in_range = f"CASE WHEN ({whole}) BETWEEN {lowest} AND {highest} THEN {_in_micros(f'({whole})', per_second)} + {since} END"
    if kind == pa.int64():
        return in_range
    value = number(column, kind)
    micros = f"CAST(round(({value}) * {_MICROS / per_second}) AS BIGINT)"
    fraction = f"CASE WHEN ({value}) BETWEEN {lowest} AND {highest} THEN {micros} + {since} END"
    return fraction if kind == pa.float64() else f"coalesce({in_range}, {fraction})"


def _in_micros(whole: str, per_second: int) -> str:
    """Return SQL for a whole number of a unit in microseconds. What is finer is cut, as in the times of parquet files."""
    return f"{whole} * {_MICROS // per_second}" if per_second <= _MICROS else f"{whole} // {per_second // _MICROS}"


def counts_from_elsewhere(found: object) -> bool:
    """Return whether a timestamp lies in 1970 in every unit: its log counts from a moment of its own, as a rule its start."""
    return found is not None and not is_text(found) and 0 <= float(str(found)) * _MICROS < _FIRST


def is_text(found: object) -> bool:
    """Return whether a timestamp, as it is written, is there and no number."""
    try:
        float(str(found))
    except ValueError:
        return found is not None
    return False


def likely_unit(found: object, read_as: str) -> str | None:
    """Return the unit in which an implausible timestamp would lie between 1971 and 2100, as text for a message, else None."""
    if is_text(found):
        return "iso" if read_as != "iso" and str(found)[4:5] == "-" else None
    value = float(str(found))
    return next((unit for unit, per_second in _PER_SECOND.items() if _FIRST <= value * _MICROS / per_second < _LAST), None)
