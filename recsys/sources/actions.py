"""The rows of an event log, parted into impressions and the actions that follow them.

A user's rows fall into sessions: those of one request where the log names it, else those without a pause of `session_gap`. The first view
of an item within a session is an impression. An action joins the last impression of its user and item at or before it, at most `within`
earlier, whatever the session. An action without one is an orphan. Orphans that are kept stand for views that nobody logged: the first of an
item within a session is an impression, and so is each later one that it does not serve. The impressions of views stay as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa

from recsys import schema
from recsys.artifacts import RowAccount
from recsys.config import ActionOptions, EventsSource
from recsys.errors import DataError, Place, data_error, many, short
from recsys.sources.batch import SOURCE_ROW
from recsys.sources.database import literal, one_row
from recsys.sources.events import event_id
from recsys.sources.feedback import Joined, last_values, matched, micros, shown_by
from recsys.sources.output_columns import Column, Refusal, number
from recsys.sources.refusals import DIGEST, Typed, entry_of, quarantined, shown
from recsys.sources.staging import SOURCE_FILE, Staged

_ACTION = "action"
_VIEW = -1  # a kind of row; those from 0 on are places in source.feedback
_IS_ORPHAN = f"{schema.EVENT_ID} IS NULL"
_BATCH = 65_536  # rows of quarantine made at once


@dataclass(frozen=True)
class Parted:
    """The parts of an event log. `orphans` are the actions, of all `actions`, that follow no view."""

    impressions: Typed
    feedback: Mapping[str, Joined]
    account: RowAccount
    quarantine: pa.Table
    actions: int
    orphans: int


# --- The columns of an action -------------------------------------------------------------------------------------
def drop_ignored(con: duckdb.DuckDBPyConnection, staged: Staged, options: EventsSource) -> None:
    """Take the rows to ignore out of the staged log, before their cells say anything about types. They may lack an item."""
    if options.ignore:
        con.execute(f"DELETE FROM {staged.table} WHERE {_is_one_of(_word(staged, options), options.ignore)}")


def event_columns(staged: Staged, options: EventsSource) -> list[Column]:
    """Return the column of the action, then the value of each feedback that has a column for it."""
    text = _word(staged, options)
    words = [*options.views, *(word for feedback in options.feedback for word in feedback.words)]
    unknown = Refusal(
        options.columns.action,
        f"({text}) IS NULL OR NOT {_is_one_of(text, words)}",
        f"one of {', '.join(words)}",
        fix="name each action in source.views, in source.ignore or in a source.feedback",
    )
    values = [_value(staged, feedback, text) for feedback in options.feedback if feedback.value is not None]
    return [Column(_ACTION, text, pa.string(), (unknown,)), *values]


def _word(staged: Staged, options: EventsSource) -> str:
    """Return SQL for the action as text. A column of whole numbers arrives as doubles where a value is missing."""
    column = staged.column(options.columns.action)
    text = f"CAST({column} AS VARCHAR)"
    if staged.type(options.columns.action) != pa.float64():
        return text
    return f"CASE WHEN {column} = trunc({column}) AND abs({column}) < 1e15 THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) ELSE {text} END"


def _value(staged: Staged, feedback: ActionOptions, action: str) -> Column:
    assert feedback.value is not None
    staged.require_number(feedback.value, f"source.feedback.{feedback.name}.value")
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
    """Part the usable rows of an event log, whose staged rows are still there. Raises DataError where no row is an impression."""
    _place_in_sessions(con, rows, options)
    impressions = _impressions(con, rows, options)
    _add_first(con, rows, impressions, f"kind = {_VIEW}")
    con.execute(f"CREATE TABLE acted AS {_matched(rows, impressions, options, 'kind >= 0')}")
    actions, orphans = one_row(con, f"SELECT count(*), count(*) FILTER ({_IS_ORPHAN}) FROM acted")
    if options.orphan == "keep":
        _keep_orphans(con, rows, impressions, options)
    if not one_row(con, f"SELECT count(*) FROM {impressions.table}")[0]:
        raise _nothing_shown(con, rows, options)
    feedback = {entry.name: _feedback(con, place) for place, entry in enumerate(options.feedback)}
    quarantine = _orphans(con, rows, options)
    con.execute(f"DROP TABLE {rows.staged.table}")
    return Parted(impressions, feedback, _account(con, rows, impressions), quarantine, actions, orphans)


def _place_in_sessions(con: duckdb.DuckDBPyConnection, rows: Typed, options: EventsSource) -> None:
    """Make the table `placed`: each different row with its kind and the id of its session."""
    action, user, at = rows.column(_ACTION), rows.column(schema.USER_ID), rows.column(schema.TIMESTAMP)
    request = rows.column(schema.REQUEST_ID) if schema.REQUEST_ID in rows else "NULL"
    kinds = [(_VIEW, options.views), *enumerate(feedback.words for feedback in options.feedback)]
    kind = " ".join(f"WHEN {_is_one_of(action, words)} THEN {code}" for code, words in kinds)
    different = f"""
        SELECT DISTINCT ON ({DIGEST}) *, CASE {kind} END AS kind, {request} AS request
        FROM {rows.table} ORDER BY {DIGEST}, {SOURCE_FILE}, {SOURCE_ROW}
    """
    earlier = f"PARTITION BY {user}, request ORDER BY {at}, {DIGEST}"
    begins = f"CASE WHEN request IS NULL AND {at} - lag({at}) OVER ({earlier}) >= {micros(options.session_gap)} THEN 1 ELSE 0 END"
    con.execute(f"""
        CREATE TABLE placed AS
        SELECT *, min({event_id()}) OVER (PARTITION BY {user}, request, place) AS session
        FROM (
            SELECT *, sum(begins) OVER ({earlier} ROWS UNBOUNDED PRECEDING) AS place
            FROM (SELECT *, {begins} AS begins FROM ({different}))
        )
    """)


def _impressions(con: duckdb.DuckDBPyConnection, rows: Typed, options: EventsSource) -> Typed:
    """Make the table of impressions, without rows. Where the log names no request, the session takes its place.

    It has the columns of the log but not those of the action, which would tell the labels of an orphan.
    """
    kept = [column for column in rows.columns if column.name not in (_ACTION, *map(_value_of, options.feedback))]
    if schema.REQUEST_ID not in rows:
        kept.append(Column(schema.REQUEST_ID, "session", pa.int64()))
    impressions = replace(rows, table=rows.table.replace("typed", "shown", 1), columns=tuple(kept))
    con.execute(f"CREATE TABLE {impressions.table} AS {_shown(rows, impressions, 'FALSE')}")
    return impressions


def _shown(rows: Typed, impressions: Typed, which: str) -> str:
    """Return SQL for the first row of each item and session, of the rows in which `which` holds, as an impression."""
    own = [rows.column(column.name) if column.name in rows else column.sql for column in impressions.columns]
    values = ", ".join(f"{value} AS a{place}" for place, value in enumerate(own))
    first = f"PARTITION BY session, {rows.column(schema.ITEM_ID)} ORDER BY {rows.column(schema.TIMESTAMP)}, {DIGEST}"
    return f"""
        SELECT {SOURCE_FILE}, {SOURCE_ROW}, {values}, {DIGEST}, kind
        FROM placed WHERE {which} QUALIFY row_number() OVER ({first}) = 1
    """


def _add_first(con: duckdb.DuckDBPyConnection, rows: Typed, impressions: Typed, which: str) -> None:
    con.execute(f"INSERT INTO {impressions.table} {_shown(rows, impressions, which)}")


def _matched(rows: Typed, impressions: Typed, options: EventsSource, which: str) -> str:
    """Return SQL for the actions in which `which` holds: each with its value, its moment, and the event_id of its impression."""
    on = (schema.USER_ID, schema.ITEM_ID)
    keys = ", ".join(f"{rows.column(ours)} AS k{place}" for place, ours in enumerate(on))
    within = " ".join(f"WHEN {place} THEN {micros(feedback.within)}" for place, feedback in enumerate(options.feedback))
    valued = [(place, rows.column(_value_of(entry))) for place, entry in enumerate(options.feedback) if entry.value is not None]
    value = f"CASE kind {' '.join(f'WHEN {place} THEN {column}' for place, column in valued)} ELSE 1 END" if valued else "1"
    acted = f"""
        SELECT {DIGEST}, {SOURCE_FILE}, {SOURCE_ROW}, kind, {keys}, {rows.column(schema.TIMESTAMP)} AS acted_at,
               CAST({value} AS DOUBLE) AS value, {f"CASE kind {within} END" if within else "0"} AS within
        FROM placed WHERE {which}
    """
    return matched(acted, shown_by(impressions, on), on)


def _keep_orphans(con: duckdb.DuckDBPyConnection, rows: Typed, impressions: Typed, options: EventsSource) -> None:
    """Add impressions until no action is without one. Each pass serves at least the first orphan of an item and session."""
    orphans = f"{DIGEST} IN (SELECT {DIGEST} FROM acted WHERE {_IS_ORPHAN})"
    while one_row(con, f"SELECT count(*) FROM acted WHERE {_IS_ORPHAN}")[0]:
        _add_first(con, rows, impressions, orphans)
        con.execute(f"CREATE TABLE served AS {_matched(rows, impressions, options, orphans)}")
        con.execute(f"DELETE FROM acted WHERE {_IS_ORPHAN}")
        con.execute("INSERT INTO acted SELECT * FROM served")
        con.execute("DROP TABLE served")


def _feedback(con: duckdb.DuckDBPyConnection, place: int) -> Joined:
    table = f"joined_feedback_{place}"
    con.execute(f"CREATE TABLE {table} AS {last_values('acted', f'kind = {place}')}")
    actions, found = one_row(con, f"SELECT count(*), count({schema.EVENT_ID}) FROM acted WHERE kind = {place}")
    return Joined(table, actions=actions, unmatched=actions - found)


# --- What became of the rows --------------------------------------------------------------------------------------
def _account(con: duckdb.DuckDBPyConnection, rows: Typed, impressions: Typed) -> RowAccount:
    usable = one_row(con, f"SELECT count(*) FROM {rows.table}")[0]
    different, views = one_row(con, f"SELECT count(*), count(*) FILTER (kind = {_VIEW}) FROM placed")
    shown, shown_views = one_row(con, f"SELECT count(*), count(*) FILTER (kind = {_VIEW}) FROM {impressions.table}")
    orphans = one_row(con, f"SELECT count(*) FROM acted WHERE {_IS_ORPHAN}")[0]
    return RowAccount(
        read=rows.staged.rows,
        kept=shown,
        duplicate=usable - different,
        quarantined=rows.quarantined + orphans,
        joined=different - views - orphans - (shown - shown_views),
        repeated=views - shown_views,
        ignored=rows.staged.rows - rows.quarantined - usable,
    )


def _orphans(con: duckdb.DuckDBPyConnection, rows: Typed, options: EventsSource) -> pa.Table:
    """Return the quarantine of the actions that still have no impression, as they were staged."""
    staged = rows.staged
    reader = con.sql(f"""
        SELECT acted.kind, staged.* FROM {staged.table} AS staged JOIN acted USING ({SOURCE_FILE}, {SOURCE_ROW})
        WHERE {_IS_ORPHAN} ORDER BY {SOURCE_FILE}, {SOURCE_ROW}
    """).to_arrow_reader(_BATCH)
    parts = []
    for batch in reader:  # in batches, because a log may have millions of orphans
        entries = []
        for row in batch.to_pylist():
            expected = f"a view of the item by the user at most {options.feedback[row['kind']].within} earlier"
            found = shown(row[staged.column(options.columns.action)])
            entries.append(entry_of(staged, row, f"column {short(options.columns.action)}: found {found}, expected {expected}"))
        parts.append(quarantined(staged, entries))
    return pa.concat_tables([*parts, schema.QUARANTINE.empty_table()])


def _nothing_shown(con: duckdb.DuckDBPyConnection, rows: Typed, options: EventsSource) -> DataError:
    action = rows.column(_ACTION)
    found = con.execute(f"SELECT {action}, count(*) FROM placed GROUP BY ALL ORDER BY 2 DESC, 1 LIMIT 5").fetchall()
    shown_words = ", ".join(f"{word} ({many(count, 'row')})" for word, count in found) or "the rows that are not ignored"
    return data_error(
        Place(rows.staged.files[0].path, column=options.columns.action),
        found=f"no view among {shown_words}",
        expected=f"rows of {' or '.join(options.views)}",
        fix="name in source.views the action that shows an item",
    )
