"""The rows of an event log, parted into impressions and the actions that follow them.

A user's rows fall into sessions: those of one request where the log names it, else those without a pause of `session_gap`. The first view
of an item within a session is an impression. An action joins the last impression of its user and item at or before it, at most `within`
earlier, whatever the session. An action without one is an orphan.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import pyarrow as pa

from recsys import schema
from recsys.artifacts import RowAccount
from recsys.config import ActionOptions, EventsSource
from recsys.errors import Place, data_error, short
from recsys.sources.batch import SOURCE_ROW
from recsys.sources.database import literal, one_row
from recsys.sources.events import event_id
from recsys.sources.feedback import Joined, last_values, matched, micros
from recsys.sources.output_columns import Column, Refusal, number
from recsys.sources.refusals import DIGEST, Typed, quarantined
from recsys.sources.staging import SOURCE_FILE, Staged

_ACTION = "action"
_VIEW, _IGNORED = -1, -2  # kinds of row; those from 0 on are places in source.feedback


@dataclass(frozen=True)
class Parted:
    """What became of the rows of an event log. `orphans` are the actions, of all `actions`, that follow no impression."""

    impressions: Typed
    feedback: Mapping[str, Joined]
    account: RowAccount
    quarantine: pa.Table
    actions: int
    orphans: int


# --- The columns of an action -------------------------------------------------------------------------------------
def event_columns(staged: Staged, options: EventsSource) -> list[Column]:
    """Return the column of the action, then the value of each feedback that has a column for it."""
    theirs = options.columns.action
    column = staged.column(theirs)
    text = f"CAST({column} AS VARCHAR)"
    if staged.type(theirs) == pa.float64():  # a column of whole numbers becomes one of doubles where a value is missing
        text = f"CASE WHEN {column} = trunc({column}) THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) ELSE {text} END"
    words = [*options.views, *options.ignore, *(word for feedback in options.feedback for word in feedback.words)]
    unknown = Refusal(
        theirs,
        f"({text}) IS NULL OR NOT {_is_one_of(text, words)}",
        f"one of {', '.join(words)}",
        fix="name each action in source.views, in source.ignore or in a source.feedback",
    )
    values = [_value(staged, feedback, text) for feedback in options.feedback if feedback.value is not None]
    return [Column(_ACTION, text, pa.string(), (unknown,)), *values]


def _value(staged: Staged, feedback: ActionOptions, action: str) -> Column:
    assert feedback.value is not None
    staged.require(feedback.value, f"source.feedback.{feedback.name}.value")
    column, is_such = staged.column(feedback.value), _is_one_of(action, feedback.words)
    sql = number(column, staged.type(feedback.value))
    bad = Refusal(feedback.value, f"{is_such} AND {column} IS NOT NULL AND ({sql}) IS NULL", "a number")
    return Column(_value_of(feedback), f"CASE WHEN {is_such} THEN {sql} END", pa.float64(), (bad,))


def _value_of(feedback: ActionOptions) -> str:
    return f"value of {feedback.name}"


def _is_one_of(text: str, words: Sequence[str]) -> str:
    return f"({text}) IN ({', '.join(map(literal, words))})"


# --- Impressions and their actions --------------------------------------------------------------------------------
def part(con: duckdb.DuckDBPyConnection, rows: Typed, options: EventsSource) -> Parted:
    """Part the usable rows of an event log. Raises DataError where no row is a view."""
    _place_in_sessions(con, rows, options)
    impressions = _impressions(con, rows, options, f"kind = {_VIEW}")
    _match(con, rows, impressions, options)
    actions, orphans = one_row(con, f"SELECT count(*), count(*) FILTER ({schema.EVENT_ID} IS NULL) FROM acted")
    if orphans and options.orphan == "keep":
        con.execute(f"CREATE TABLE kept AS SELECT {DIGEST} FROM acted WHERE {schema.EVENT_ID} IS NULL")
        impressions = _impressions(con, rows, options, f"kind = {_VIEW} OR {DIGEST} IN (SELECT {DIGEST} FROM kept)")
        _match(con, rows, impressions, options)
    if not one_row(con, f"SELECT count(*) FROM {impressions.table}")[0]:
        raise _nothing_shown(con, rows, options)
    feedback = {entry.name: _feedback(con, place) for place, entry in enumerate(options.feedback)}
    return Parted(impressions, feedback, _account(con, rows, impressions), _orphans(con, rows, options), actions, orphans)


def _place_in_sessions(con: duckdb.DuckDBPyConnection, rows: Typed, options: EventsSource) -> None:
    """Make the table `placed`: each different row with its kind and the id of its session; rows to ignore have none."""
    action, user, at = rows.column(_ACTION), rows.column(schema.USER_ID), rows.column(schema.TIMESTAMP)
    request = rows.column(schema.REQUEST_ID) if schema.REQUEST_ID in rows else "NULL"
    kinds = [(_VIEW, options.views), (_IGNORED, options.ignore), *enumerate(feedback.words for feedback in options.feedback)]
    kind = " ".join(f"WHEN {_is_one_of(action, words)} THEN {code}" for code, words in kinds if words)
    con.execute(f"""
        CREATE TABLE different AS
        SELECT DISTINCT ON ({DIGEST}) *, CASE {kind} END AS kind, {request} AS request
        FROM {rows.table} ORDER BY {DIGEST}, {SOURCE_FILE}, {SOURCE_ROW}
    """)
    earlier = f"PARTITION BY {user}, request ORDER BY {at}, {DIGEST}"
    begins = f"CASE WHEN request IS NULL AND {at} - lag({at}) OVER ({earlier}) >= {micros(options.session_gap)} THEN 1 ELSE 0 END"
    con.execute(f"""
        CREATE TABLE placed AS
        SELECT *, min({event_id()}) OVER (PARTITION BY {user}, request, place) AS session
        FROM (
            SELECT *, sum(begins) OVER ({earlier} ROWS UNBOUNDED PRECEDING) AS place
            FROM (SELECT *, {begins} AS begins FROM different WHERE kind <> {_IGNORED})
        )
    """)


def _impressions(con: duckdb.DuckDBPyConnection, rows: Typed, options: EventsSource, shown: str) -> Typed:
    """Make the table of impressions: the first row of each item and session of those in which `shown` holds.

    It has the columns of the log but not those of the action. Where the log names no request, the session takes its place.
    """
    kept = [column for column in rows.columns if column.name not in (_ACTION, *map(_value_of, options.feedback))]
    values = [f"{rows.column(column.name)} AS a{place}" for place, column in enumerate(kept)]
    if schema.REQUEST_ID not in rows:
        values.append(f"session AS a{len(kept)}")
        kept.append(Column(schema.REQUEST_ID, "", pa.int64()))
    table = rows.table.replace("typed", "shown", 1)
    first = f"PARTITION BY session, {rows.column(schema.ITEM_ID)} ORDER BY {rows.column(schema.TIMESTAMP)}, {DIGEST}"
    con.execute(f"""
        CREATE OR REPLACE TABLE {table} AS
        SELECT {SOURCE_FILE}, {SOURCE_ROW}, {", ".join(values)}, {DIGEST}, kind
        FROM placed WHERE {shown} QUALIFY row_number() OVER ({first}) = 1
    """)
    return replace(rows, table=table, columns=tuple(kept))


def _match(con: duckdb.DuckDBPyConnection, rows: Typed, impressions: Typed, options: EventsSource) -> None:
    """Make the table `acted`: each action with its value, its moment, and the event_id of its impression."""
    on = (schema.USER_ID, schema.ITEM_ID)
    keys = ", ".join(f"{rows.column(ours)} AS k{place}" for place, ours in enumerate(on))
    within = " ".join(f"WHEN {place} THEN {micros(feedback.within)}" for place, feedback in enumerate(options.feedback))
    valued = [(place, rows.column(_value_of(entry))) for place, entry in enumerate(options.feedback) if entry.value is not None]
    value = f"CASE kind {' '.join(f'WHEN {place} THEN {column}' for place, column in valued)} ELSE 1 END" if valued else "1"
    acted = f"""
        SELECT {DIGEST}, {SOURCE_FILE}, {SOURCE_ROW}, kind, {keys}, {rows.column(schema.TIMESTAMP)} AS acted_at,
               CAST({value} AS DOUBLE) AS value, {f"CASE kind {within} END" if within else "0"} AS within
        FROM placed WHERE kind >= 0
    """
    con.execute(f"CREATE OR REPLACE TABLE acted AS {matched(acted, impressions, on)}")


def _feedback(con: duckdb.DuckDBPyConnection, place: int) -> Joined:
    table = f"joined_feedback_{place}"
    con.execute(f"CREATE TABLE {table} AS {last_values('acted', f'kind = {place}')}")
    actions, found = one_row(con, f"SELECT count(*), count({schema.EVENT_ID}) FROM acted WHERE kind = {place}")
    return Joined(table, actions=actions, unmatched=actions - found)


# --- What became of the rows --------------------------------------------------------------------------------------
def _account(con: duckdb.DuckDBPyConnection, rows: Typed, impressions: Typed) -> RowAccount:
    different, ignored, views = one_row(
        con, f"SELECT count(*), count(*) FILTER (kind = {_IGNORED}), count(*) FILTER (kind = {_VIEW}) FROM different"
    )
    shown, shown_views = one_row(con, f"SELECT count(*), count(*) FILTER (kind = {_VIEW}) FROM {impressions.table}")
    orphans = one_row(con, f"SELECT count(*) FROM acted WHERE {schema.EVENT_ID} IS NULL")[0]
    return RowAccount(
        read=rows.staged.rows,
        kept=shown,
        duplicate=rows.staged.rows - rows.quarantined - different,
        quarantined=rows.quarantined + orphans,
        joined=different - ignored - views - orphans - (shown - shown_views),
        repeated=views - shown_views,
        ignored=ignored,
    )


def _orphans(con: duckdb.DuckDBPyConnection, rows: Typed, options: EventsSource) -> pa.Table:
    """Return the quarantine of the actions without an impression, each with its values as they were read."""
    names = [column.name for column in rows.columns]
    values = ", ".join(f"{rows.column(name)}" for name in names)
    found = con.execute(f"""
        SELECT {SOURCE_FILE}, {SOURCE_ROW}, kind, {values} FROM different
        WHERE {DIGEST} IN (SELECT {DIGEST} FROM acted WHERE {schema.EVENT_ID} IS NULL) ORDER BY {SOURCE_FILE}, {SOURCE_ROW}
    """).fetchall()
    entries: list[dict[str, Any]] = []
    for file, row, kind, *cells in found:
        action = short(json.dumps(cells[names.index(_ACTION)], ensure_ascii=False))
        expected = f"a view of the item by the user at most {options.feedback[kind].within} earlier"
        reason = f"column {short(options.columns.action)}: found {action}, expected {expected}"
        raw = json.dumps(dict(zip(names, cells, strict=True)), ensure_ascii=False, default=str)
        entries.append({SOURCE_FILE: file, SOURCE_ROW: row, "reason": reason, "raw": raw})
    return quarantined(rows.staged, entries)


def _nothing_shown(con: duckdb.DuckDBPyConnection, rows: Typed, options: EventsSource) -> Exception:
    found = con.execute(f"SELECT {rows.column(_ACTION)}, count(*) FROM different GROUP BY ALL ORDER BY 2 DESC LIMIT 5").fetchall()
    shown = ", ".join(f"{action} ({count:,} rows)" for action, count in found)
    return data_error(
        Place(rows.staged.files[0].path, column=options.columns.action),
        found=f"no view among {shown}",
        expected=f"rows of {' or '.join(options.views)}",
        fix="name in source.views the action that shows an item",
    )
