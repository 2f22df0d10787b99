"""The log: staged rows become impressions with our columns, the log's own columns as `log.X`, and an id made from their content."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from recsys import schema
from recsys.errors import DataError, data_error
from recsys.sources.batch import SOURCE_ROW
from recsys.sources.column_options import Reading
from recsys.sources.database import literal, one_row
from recsys.sources.description import Description
from recsys.sources.ids import id_columns, refuse_null
from recsys.sources.instants import timestamp_column
from recsys.sources.naming import missing_column
from recsys.sources.output_columns import Column, Refusal, number
from recsys.sources.refusals import DIGEST, Typed
from recsys.sources.staging import SOURCE_FILE, Staged

_EVENT_ID_BITS = 63  # of the 128 bits of an md5: they make a non-negative int64


def require_columns(description: Description, names: Sequence[str], file: Path) -> None:
    """Raise DataError for the first column that the TOML names and the log does not have."""
    for where, theirs in log_columns(description).items():
        if theirs not in names:
            raise missing_column(file, theirs, names, where)


def log_columns(description: Description) -> dict[str, str]:
    """Return the columns that the log must have, as TOML key → column."""
    return {f"source.columns.{ours}": theirs for ours, theirs in description.columns.named().items()} | description.value_columns()


def own_columns(description: Description, names: Sequence[str]) -> list[str]:
    """Return the columns of the log that the TOML names for nothing, in the order of their names."""
    return sorted(set(names) - set(log_columns(description).values()))


def impression_columns(con: duckdb.DuckDBPyConnection, staged: Staged, description: Description, reading: Reading) -> list[Column]:
    """Return our columns, then the log's own as `log.X`. The timestamp is in microseconds until it is written."""
    named = description.columns.named()
    items = {ours: named[ours] for ours in (schema.ITEM_ID, schema.QUERY_ITEM_ID) if ours in named}
    ids = {column.name: column for group in ({schema.USER_ID: named[schema.USER_ID]}, items) for column in id_columns(con, staged, group)}
    for ours in (schema.USER_ID, schema.ITEM_ID):
        ids[ours] = refuse_null(ids[ours], named[ours])
    stamp = named[schema.TIMESTAMP]
    columns = [*ids.values(), timestamp_column(stamp, staged.column(stamp), staged.type(stamp), description.time)]
    if schema.REQUEST_ID in named:
        columns += id_columns(con, staged, {schema.REQUEST_ID: named[schema.REQUEST_ID]})
    if schema.POSITION in named:
        columns.append(_position(staged, named[schema.POSITION]))
    if schema.DEVICE in named:
        columns.append(Column(schema.DEVICE, f"CAST({staged.column(named[schema.DEVICE])} AS VARCHAR)", pa.string()))
    for ours, (least, expected) in _PROPENSITIES.items():
        if ours in named:
            columns.append(_propensity(staged, ours, named[ours], least, expected))
    own = own_columns(description, staged.names)
    types = reading.columns(con, staged, own, description.time.zone)
    return columns + [
        Column(schema.log_column(name), types[name].sql, types[name].type, types[name].refusals, types[name].said) for name in own
    ]


def _position(staged: Staged, theirs: str) -> Column:
    column = staged.column(theirs)
    staged.require_number(theirs, f"source.columns.{schema.POSITION}")
    value = number(column, staged.type(theirs))
    sql = f"CASE WHEN ({value}) >= 1 AND ({value}) < 2147483648 AND ({value}) = trunc({value}) THEN CAST(({value}) AS BIGINT) END"
    fix = "mend the rows; where positions count from 0, add 1 to all"
    refusal = Refusal(theirs, f"{column} IS NOT NULL AND ({sql}) IS NULL", "a whole number from 1 to 2147483647", fix=fix)
    return Column(schema.POSITION, sql, pa.int64(), (refusal,))


# A chosen item had a chance above 0; the target policy may never choose it.
# Null: the candidate was not chosen, or the propensity is not known.
_PROPENSITIES = {
    schema.PROPENSITY: ("> 0", "a probability above 0, at most 1"),
    schema.TARGET_PROPENSITY: (">= 0", "a probability from 0 to 1"),
}


def _propensity(staged: Staged, ours: str, theirs: str, least: str, expected: str) -> Column:
    column = staged.column(theirs)
    staged.require_number(theirs, f"source.columns.{ours}")
    value = number(column, staged.type(theirs))
    sql = f"CASE WHEN ({value}) {least} AND ({value}) <= 1 THEN ({value}) END"
    return Column(ours, sql, pa.float64(), (Refusal(theirs, f"{column} IS NOT NULL AND ({sql}) IS NULL", expected),))


def event_id() -> str:
    """Return SQL for the id of a row of the typed impressions: the upper bits of the digest of its content."""
    return f"CAST({DIGEST} >> {128 - _EVENT_ID_BITS} AS BIGINT)"


def count_events(con: duckdb.DuckDBPyConnection, impressions: Typed) -> int:
    """Return the number of different impressions. Raises DataError where two contents share an id."""
    by_id = f"SELECT {event_id()} AS id, min({DIGEST}) <> max({DIGEST}) AS collides FROM {impressions.table} GROUP BY id"
    row = one_row(con, f"SELECT count(*), min(id) FILTER (collides) FROM ({by_id})")
    if row[1] is not None:
        raise _collision(con, impressions, row[1])
    return int(row[0])


def _collision(con: duckdb.DuckDBPyConnection, impressions: Typed, shared: int) -> DataError:
    rows = f"SELECT {SOURCE_FILE}, {SOURCE_ROW} FROM {impressions.table} WHERE {event_id()} = ? ORDER BY {SOURCE_FILE}, {SOURCE_ROW}"
    places = con.execute(rows, [shared]).fetchall()
    first, last = (impressions.staged.place(*place) for place in (places[0], places[-1]))
    return data_error(
        first, found=f"the event_id {shared}, which {last} has with another content", expected="an id of its own for each content",
        bad_rows=len(places), rows=impressions.staged.rows, fix="add a column that tells them apart, such as a request id",
    )  # fmt: skip


def events_schema(impressions: Typed, feedback: Sequence[str]) -> pa.Schema:
    """Return the columns of events/ in their order."""
    known = [name for name in schema.KNOWN_COLUMNS if name in impressions]
    own = [column.name for column in impressions.columns if column.name.startswith(schema.LOG)]
    fields = [(schema.EVENT_ID, pa.int64()), *((name, impressions.type(name)) for name in (*known, *own))]
    return pa.schema([*fields, *((schema.feedback_column(name), pa.float64()) for name in feedback)])


def day_of_micros(micros: str, zone: str) -> str:
    """Return SQL for the day of a moment, given in microseconds since 1970 UTC, on the clock of `zone`."""
    return f"CAST(timezone({literal(zone)}, make_timestamptz({micros})) AS DATE)"


def events_query(impressions: Typed, feedback: Sequence[str], zone: str) -> str:
    """Return SQL for every impression (`events_rows`), sorted by day, timestamp and id."""
    return f"SELECT * FROM ({events_rows(impressions, feedback, zone)}) ORDER BY {in_time(events_schema(impressions, ()))}"


def in_time(columns: pa.Schema) -> str:
    """Return SQL for the order of events/, of rows as `events_rows` gives them for these columns."""
    return f"{schema.DAY}, v{columns.names.index(schema.TIMESTAMP) - 1}, {schema.EVENT_ID}"  # the first of the columns is event_id


def events_rows(impressions: Typed, feedback: Sequence[str], zone: str) -> str:
    """Return SQL for every impression, in any order.

    Its columns are event_id, day, and then the other columns of `events_schema` in order, called v0, v1, …. `feedback` are tables of
    (event_id, value).
    """
    micros = impressions.column(schema.TIMESTAMP)
    names = [name for name in events_schema(impressions, ()).names if name != schema.EVENT_ID]
    values = [f"{micros} // 1000" if name == schema.TIMESTAMP else impressions.column(name) for name in names]
    values += [f"{table}.value" for table in feedback]
    listed = ", ".join(f"{value} AS v{place}" for place, value in enumerate(values))
    joins = " ".join(f"LEFT JOIN {table} ON {table}.{schema.EVENT_ID} = {event_id()}" for table in feedback)
    return f"""
        SELECT {event_id()} AS {schema.EVENT_ID}, {day_of_micros(micros, zone)} AS {schema.DAY}, {listed}
        FROM {impressions.table} {joins}
    """
