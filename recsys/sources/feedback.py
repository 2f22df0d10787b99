"""Actions in a file of their own, joined to impressions: one value per impression.

An action goes to the last impression with the same keys at or before it, if that impression is at most `within` older. Of
several actions on one impression the last counts; of several at one moment, the one with the largest value. An impression
without an action has the value null.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa

from recsys import schema
from recsys.config import FeedbackOptions, duration_ms
from recsys.sources.database import one_row
from recsys.sources.description import Description, feedback_columns
from recsys.sources.events import event_id
from recsys.sources.ids import id_columns, refuse_null
from recsys.sources.instants import timestamp_column
from recsys.sources.output_columns import Column, Refusal, number
from recsys.sources.refusals import Typed
from recsys.sources.staging import Staged

_VALUE = "value"
KEYS = (schema.USER_ID, schema.ITEM_ID, schema.REQUEST_ID)  # columns that actions and impressions may have in common


@dataclass(frozen=True)
class Joined:
    table: str  # name of a table of the engine: (event_id, value)
    actions: int  # number of different actions with a value
    unmatched: int
    last: int | None = None  # moment of the last action, in microseconds since 1970 UTC; None without any


def action_columns(
    con: duckdb.DuckDBPyConnection,
    staged: Staged,
    options: FeedbackOptions,
    description: Description,
    types: Mapping[str, pa.DataType],
) -> list[Column]:
    """Return the keys in the log's `types`, the time in microseconds, and the value (1 where the file has no column for it)."""
    for where, theirs in feedback_columns(options, description.columns).items():
        staged.require(theirs, where)
        if theirs == options.value:
            staged.require_number(theirs, where)
    named = description.columns.named()
    keys = [refuse_null(id_columns(con, staged, {ours: named[ours]}, types[ours])[0], named[ours]) for ours in options.on]
    stamp = options.timestamp or description.columns.timestamp
    moment = timestamp_column(stamp, staged.column(stamp), staged.type(stamp), description.time)
    as_in_log = replace(moment.refusals[0], fix="write these times as those of the log: source.time holds for both")
    return [*keys, replace(moment, refusals=(as_in_log,)), _value(staged, options.value)]


def _value(staged: Staged, theirs: str | None) -> Column:
    if theirs is None:
        return Column(_VALUE, "CAST(1 AS DOUBLE)", pa.float64())
    column = staged.column(theirs)
    sql = number(column, staged.type(theirs))
    return Column(_VALUE, sql, pa.float64(), (Refusal(theirs, f"{column} IS NOT NULL AND ({sql}) IS NULL", "a number"),))


def key_types(impressions: Typed) -> dict[str, pa.DataType]:
    """Return the types of the ids that actions may be joined by."""
    return {name: impressions.type(name) for name in KEYS if name in impressions}


def join(con: duckdb.DuckDBPyConnection, actions: Typed, shown: str, options: FeedbackOptions) -> Joined:
    """Make the table (event_id, value) of the impressions that have an action. `shown`: see `shown_by`."""
    table = actions.table.replace("typed", "joined", 1)
    keys = ", ".join(f"{actions.column(ours)} AS k{place}" for place, ours in enumerate(options.on))
    at, value = actions.column(schema.TIMESTAMP), actions.column(_VALUE)
    acted = f"SELECT DISTINCT {keys}, {at} AS acted_at, {value} AS value, {micros(options.within)} AS within FROM {actions.table}"
    con.execute(f"CREATE TABLE {table}_all AS {matched(f'{acted} WHERE {value} IS NOT NULL', shown, options.on)}")
    con.execute(f"CREATE TABLE {table} AS {last_values(f'{table}_all')}")
    actions_count, matched_count, last = one_row(con, f"SELECT count(*), count({schema.EVENT_ID}), max(acted_at) FROM {table}_all")
    return Joined(table, actions=actions_count, unmatched=actions_count - matched_count, last=last)


def micros(duration: str) -> int:
    return duration_ms(duration) * 1_000


def shown_by(impressions: Typed, on: Sequence[str]) -> str:
    """Return SQL for impressions: the keys of `on` as k0, k1, …; shown_at, in microseconds; event_id."""
    keys = ", ".join(f"{impressions.column(ours)} AS k{place}" for place, ours in enumerate(on))
    return f"SELECT {keys}, {impressions.column(schema.TIMESTAMP)} AS shown_at, {event_id()} AS {schema.EVENT_ID} FROM {impressions.table}"


def matched(acted: str, shown: str, on: Sequence[str]) -> str:
    """Return SQL for actions, each with the event_id of the last impression of its keys at or before it; null where there is none.

    `acted` is SQL for actions: the keys of `on` as k0, k1, …; acted_at and within, in microseconds; other columns stay as they are.
    `shown` is SQL for impressions, as `shown_by` gives it.
    """
    # An ASOF join needs one impression per moment and keys: of several, take the one with the largest id.
    keys = ", ".join(f"k{place}" for place in range(len(on)))
    shown = f"SELECT {keys}, shown_at, max({schema.EVENT_ID}) AS {schema.EVENT_ID} FROM ({shown}) GROUP BY ALL"
    same_keys = " AND ".join(f"action.k{place} = shown.k{place}" for place in range(len(on)))
    return f"""
        SELECT action.*, CASE WHEN shown.shown_at >= action.acted_at - action.within THEN shown.{schema.EVENT_ID} END AS {schema.EVENT_ID}
        FROM ({acted}) AS action ASOF LEFT JOIN ({shown}) AS shown ON {same_keys} AND action.acted_at >= shown.shown_at
    """


def last_values(table: str, which: str = "TRUE") -> str:
    """Return SQL for (event_id, value): the last value of each impression, from the matched actions in which `which` holds."""
    known = f"{schema.EVENT_ID} IS NOT NULL AND value IS NOT NULL AND {which}"
    return f"SELECT {schema.EVENT_ID}, max_by(value, (acted_at, value)) AS value FROM {table} WHERE {known} GROUP BY {schema.EVENT_ID}"
