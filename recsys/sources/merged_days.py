"""Days of events/ that get new rows, and new values in old ones: the old rows in the engine, and the query that puts both together."""

from collections.abc import Mapping, Sequence
from datetime import date

import pyarrow as pa

from recsys import schema
from recsys.sources.events import events_rows, events_schema, in_time
from recsys.sources.feedback import Joined
from recsys.sources.refusals import Typed

OLD = "old_rows"  # table of the engine: what events/ holds of the days, in the form of `with_day`


def with_day(table: pa.Table, day: str) -> pa.Table:
    """Return rows of events/ in the form of `events_rows`."""
    day_column = pa.array([date.fromisoformat(day)] * len(table), pa.date32())
    values = table.drop_columns([schema.EVENT_ID])
    named = values.rename_columns([f"v{place}" for place in range(values.num_columns)])
    return named.add_column(0, schema.DAY, day_column).add_column(0, schema.EVENT_ID, table[schema.EVENT_ID])


def merged(columns: pa.Schema, impressions: Typed | None, feedback: Mapping[str, Joined], zone: str) -> str:
    """Return SQL for the rows of the days, sorted as in events/: those of `OLD` with new values, and the new ones that it does not hold.

    `columns` are those of events/. `feedback`: name → the values that new actions give to old and new impressions.
    """
    names = [name for name in columns.names if name != schema.EVENT_ID]
    rows = _old_rows(names, feedback)
    if impressions is not None:
        rows += f" UNION ALL {_new_rows(columns, names, impressions, feedback, zone)}"
    return f"SELECT * FROM ({rows}) ORDER BY {in_time(columns)}"


def _old_rows(names: Sequence[str], feedback: Mapping[str, Joined]) -> str:
    values, joins = [], []
    for place, name in enumerate(names):
        joined = feedback.get(schema.strip(name, schema.FEEDBACK)) if name.startswith(schema.FEEDBACK) else None
        values.append(f"{OLD}.v{place}" if joined is None else f"coalesce({joined.table}.value, {OLD}.v{place})")
        joins += [] if joined is None else [f"LEFT JOIN {joined.table} ON {joined.table}.{schema.EVENT_ID} = {OLD}.{schema.EVENT_ID}"]
    return f"SELECT {OLD}.{schema.EVENT_ID}, {OLD}.{schema.DAY}, {_listed(values)} FROM {OLD} {' '.join(joins)}"


def _new_rows(columns: pa.Schema, names: Sequence[str], impressions: Typed, feedback: Mapping[str, Joined], zone: str) -> str:
    """A column of the new files has the type of events/, or whole numbers in the place of fractions, or no value at all."""
    own = [name for name in names if not name.startswith(schema.FEEDBACK)]
    types = {field.name: field.type for field in events_schema(impressions, ())}
    values = []
    for place, name in enumerate(names):
        if name.startswith(schema.FEEDBACK):
            of = schema.strip(name, schema.FEEDBACK)
            values.append(f"v{len(own) + list(feedback).index(of)}" if of in feedback else "NULL")
        else:
            values.append(f"v{place}" if types[name] in (columns.field(name).type, pa.int64()) else "NULL")
    rows = events_rows(impressions, [joined.table for joined in feedback.values()], zone)
    fresh = f"{schema.EVENT_ID} NOT IN (SELECT {schema.EVENT_ID} FROM {OLD})"
    return f"SELECT {schema.EVENT_ID}, {schema.DAY}, {_listed(values)} FROM ({rows}) WHERE {fresh}"


def _listed(values: Sequence[str]) -> str:
    return ", ".join(f"{value} AS v{place}" for place, value in enumerate(values))
