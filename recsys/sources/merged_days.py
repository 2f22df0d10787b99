"""Days of events/ that get new rows, and new values in old ones: whether the new rows fit, and the query that puts both together."""

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from recsys import artifacts, schema
from recsys.sources.database import literal, one_row
from recsys.sources.events import events_rows, events_schema, in_time
from recsys.sources.feedback import Joined
from recsys.sources.refusals import WHOLE_BELOW, Typed
from recsys.workspace import PART, day_folder


def stored(events: Path, days: Sequence[str], columns: pa.Schema, sample: str) -> str:
    """Return SQL for what events/ holds of some days, in the form of `events_rows`. `sample` is any day, for its types.

    Their files are compared with the manifest first. Raises ArtifactError where one differs.
    """
    names = ", ".join(["event_id", *(f"v{place}" for place in range(len(columns) - 1))])

    def of(day: str, which: str) -> str:
        path = artifacts.checked(day_folder(events, day) / PART)
        file = f"read_parquet({literal(glob.escape(str(path)))}, hive_partitioning = false)"
        return f"SELECT event_id, DATE '{day}' AS {schema.DAY}, * EXCLUDE (event_id) FROM {file} AS rows({names}) {which}"

    return " UNION ALL ".join([of(day, "") for day in days] or [of(sample, "WHERE FALSE")])


def misfit_of(con: duckdb.DuckDBPyConnection, impressions: Typed, columns: pa.Schema, feedback: Sequence[str]) -> str | None:
    """Say why new impressions do not fit the columns of events/: other columns, or types that all files together might not have."""
    new = events_schema(impressions, feedback)
    if new.names != columns.names:
        return "new files of the log have other columns than those that were read"
    for ours, theirs in zip(new, columns, strict=True):
        if ours.type != theirs.type and (impressions.quarantined or not _fits(con, impressions, ours, theirs)):
            return f"column {ours.name} of the new files is {ours.type}, expected {theirs.type} as in those that were read"
    return None


def _fits(con: duckdb.DuckDBPyConnection, impressions: Typed, ours: pa.Field, theirs: pa.Field) -> bool:
    """Return whether a column of another type would have that of events/ among all files: it has no value, or whole numbers."""
    column = impressions.column(ours.name)
    largest = f"max(abs({column}))" if ours.type == pa.int64() else "NULL"
    values, most = one_row(con, f"SELECT count({column}), {largest} FROM {impressions.table}")
    return not values or ((ours.type, theirs.type) == (pa.int64(), pa.float64()) and most < WHOLE_BELOW)


def merged(old: str, columns: pa.Schema, impressions: Typed | None, feedback: Mapping[str, Joined], zone: str) -> str:
    """Return SQL for the rows of the days, sorted as in events/: those of the table `old` with new values, and the new ones that it lacks.

    `columns` are those of events/. `feedback`: name → the values that new actions give to old and new impressions.
    """
    names = [name for name in columns.names if name != schema.EVENT_ID]
    rows = _old_rows(old, names, feedback)
    if impressions is not None:
        rows += f" UNION ALL {_new_rows(old, columns, names, impressions, feedback, zone)}"
    return f"SELECT * FROM ({rows}) ORDER BY {in_time(columns)}"


def _old_rows(old: str, names: Sequence[str], feedback: Mapping[str, Joined]) -> str:
    values, joins = [], []
    for place, name in enumerate(names):
        joined = feedback.get(schema.strip(name, schema.FEEDBACK)) if name.startswith(schema.FEEDBACK) else None
        values.append(f"{old}.v{place}" if joined is None else f"coalesce({joined.table}.value, {old}.v{place})")
        joins += [] if joined is None else [f"LEFT JOIN {joined.table} ON {joined.table}.{schema.EVENT_ID} = {old}.{schema.EVENT_ID}"]
    return f"SELECT {old}.{schema.EVENT_ID}, {old}.{schema.DAY}, {_listed(values)} FROM {old} {' '.join(joins)}"


def _new_rows(old: str, columns: pa.Schema, names: Sequence[str], impressions: Typed, feedback: Mapping[str, Joined], zone: str) -> str:
    """Return SQL for the new rows. A column has the type of events/, or whole numbers in the place of fractions, or no value at all."""
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
    fresh = f"{schema.EVENT_ID} NOT IN (SELECT {schema.EVENT_ID} FROM {old})"
    return f"SELECT {schema.EVENT_ID}, {schema.DAY}, {_listed(values)} FROM ({rows}) WHERE {fresh}"


def _listed(values: Sequence[str]) -> str:
    return ", ".join(f"{value} AS v{place}" for place, value in enumerate(values))
