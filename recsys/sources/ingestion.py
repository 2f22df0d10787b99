"""The first stage: raw files → events/, users/, items/, quarantine/."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from recsys import artifacts, schema
from recsys.artifacts import RowAccount
from recsys.config import FeedbackOptions, Pipeline
from recsys.progress import Console
from recsys.sources.actions import drop_ignored, event_columns, part
from recsys.sources.column_options import Reading
from recsys.sources.database import engine
from recsys.sources.description import ITEMS, USERS, Description, feedback_files
from recsys.sources.entities import count_entities, coverage, entities_query, entities_schema, entity_columns, key_column, role_key
from recsys.sources.events import count_events, day_of_micros, events_query, events_schema, impression_columns, require_columns
from recsys.sources.feedback import Joined, action_columns, join
from recsys.sources.output import write_days, write_unique
from recsys.sources.output_columns import Column
from recsys.sources.refusals import Typed, typed
from recsys.sources.resolve import raw_source
from recsys.sources.separators import said
from recsys.sources.staging import Staged, TableFiles, stage
from recsys.workspace import EVENTS, PART, QUARANTINE

STAGE = "ingest"


@dataclass
class _Work:
    """One run of the stage: where it reads, and what it has refused so far."""

    con: duckdb.DuckDBPyConnection
    description: Description
    reading: Reading
    console: Console
    refused: list[pa.Table] = field(default_factory=list)

    def stage(self, table: TableFiles, name: str, **options: Any) -> Staged:
        staged = stage(self.con, table, name, separators=self.reading.separators, max_bad=self.reading.max_bad, **options)
        for message in said(staged.files, table.role, fields=len(staged.names)):
            self.console.say(message)
        return staged

    def type(self, staged: Staged, columns: Sequence[Column], *, day: str | None = None, keep: bool = False) -> Typed:
        for column in columns:
            if column.said:
                self.console.say(column.said)
        table, refused = typed(self.con, staged, columns, max_bad=self.reading.max_bad, day=day, keep=keep)
        self.refused.append(refused)
        return table


def ingest(pipeline: Pipeline, folder: Path, *, fingerprint: str, console: Console) -> RowAccount:
    """Read the source into `folder`, as artifacts of stage "ingest": users/, items/, quarantine/, then events/.

    The returned account is that of the log. Raises DataError where files are missing, damaged or hold too many unusable rows.
    In that case nothing is written.
    """
    description = raw_source(pipeline).describe(folder, console)
    with engine(folder, pipeline.features.memory_limit) as con:
        work = _Work(con, description, Reading.of(pipeline), console)
        impressions, feedback, account = _impressions(work)
        users, items = (
            _entities(work, role, table, impressions) for role, table in ((USERS, description.users), (ITEMS, description.items))
        )
        feedback |= {options.name: _feedback(work, place, options, impressions) for place, options in enumerate(description.feedback)}
        for role, entities in ((USERS, users), (ITEMS, items)):
            write_entities(con, folder / role, role, entities, impressions.type(role_key(role)), fingerprint)
        _write_quarantine(work, folder / QUARANTINE, fingerprint)
        days = write_events(con, folder / EVENTS, description, impressions, feedback, account, fingerprint)
    console.say(f"log: {account}; days {days[0]} to {days[-1]}")
    return account


# --- Reading ------------------------------------------------------------------------------------------------------
def _impressions(work: _Work) -> tuple[Typed, dict[str, Joined], RowAccount]:
    """Read the log. Return its impressions, the feedback that stands in the log itself, and what became of the rows."""
    rows = _rows(work)
    kept = count_events(work.con, rows)
    options = work.description.events
    if options is None:
        return rows, {}, account_of(rows, kept)
    parted = part(work.con, rows, options)
    work.refused.append(parted.quarantine)
    for name, joined in parted.feedback.items():
        work.console.say(f"feedback {name}: {joined.actions:,} different actions")
    if parted.orphans:
        became = "kept as impressions" if options.orphan == "keep" else 'in quarantine; source.orphan = "keep" makes impressions of them'
        work.console.say(f"log: of {parted.actions:,} different actions {parted.orphans:,} follow no view; they are {became}")
    return parted.impressions, dict(parted.feedback), parted.account


def _rows(work: _Work) -> Typed:
    description = work.description
    with work.console.bar("log", total=len(description.log.files())) as advance:
        staged = work.stage(
            description.log, "staged_log", require=lambda names, file: require_columns(description, names, file), read=advance
        )
    columns = log_table_columns(work.con, staged, description, work.reading)
    return work.type(staged, columns, day=day_of_micros(moment_of(columns), description.time.zone), keep=description.events is not None)


def log_table_columns(con: duckdb.DuckDBPyConnection, staged: Staged, description: Description, reading: Reading) -> list[Column]:
    """Return the columns of the log; of an event log, whose rows to ignore are dropped first, those of its actions too."""
    if description.events is None:
        return impression_columns(con, staged, description, reading)
    drop_ignored(con, staged, description.events)
    return [*impression_columns(con, staged, description, reading), *event_columns(staged, description.events)]


def moment_of(columns: Sequence[Column]) -> str:
    """Return the SQL of the timestamp, in microseconds."""
    (moment,) = (column.sql for column in columns if column.name == schema.TIMESTAMP)
    return moment


def _entities(work: _Work, role: str, table: TableFiles | None, impressions: Typed) -> Typed | None:
    if table is None:
        return None
    staged = work.stage(table, f"staged_{role}", require=lambda names, file: key_column(work.description, role, names, file))
    entities = work.type(staged, entity_columns(work.con, staged, work.description, work.reading, impressions.type(role_key(role))))
    account = account_of(entities, count_entities(work.con, entities))
    work.console.say(f"{role}: {account}; {coverage(work.con, entities, impressions)}")
    return entities


def _feedback(work: _Work, place: int, options: FeedbackOptions, impressions: Typed) -> Joined:
    table = feedback_files(options)
    staged = work.stage(table, f"staged_feedback_{place}", may_be_empty=True)
    actions = work.type(staged, action_columns(work.con, staged, options, work.description, impressions))
    joined = join(work.con, actions, impressions, options)
    refused = f", {actions.quarantined:,} in quarantine" if actions.quarantined else ""
    unmatched = f"of {joined.actions:,} different actions {joined.unmatched:,} match no impression within {options.within}"
    work.console.say(f"{table.role}: read {staged.rows:,}{refused}; {unmatched}")
    return joined


def account_of(table: Typed, kept: int) -> RowAccount:
    rows = table.staged.rows
    return RowAccount(read=rows, kept=kept, duplicate=rows - kept - table.quarantined, quarantined=table.quarantined)


# --- Writing ------------------------------------------------------------------------------------------------------
def write_entities(
    con: duckdb.DuckDBPyConnection, target: Path, role: str, entities: Typed | None, key_type: pa.DataType, fingerprint: str
) -> None:
    """Write users/ or items/; only the key's column, without rows, where the source has no such table."""
    columns = entities_schema(entities, role_key(role), key_type)
    with artifacts.writing(target, stage=STAGE, fingerprint=fingerprint) as output:
        if entities is None:
            output.write_table(PART, columns.empty_table())
        else:
            write_unique(output, con, entities_query(entities), "a0", columns)


def _write_quarantine(work: _Work, target: Path, fingerprint: str) -> None:
    refused = pa.concat_tables(work.refused).sort_by([(name, "ascending") for name in ("source_file", "source_row", "reason")])
    with artifacts.writing(target, stage=STAGE, fingerprint=fingerprint) as output:
        output.write_table(PART, refused.combine_chunks())


def write_events(
    con: duckdb.DuckDBPyConnection,
    target: Path,
    description: Description,
    impressions: Typed,
    feedback: Mapping[str, Joined],
    account: RowAccount | None,
    fingerprint: str,
) -> list[str]:
    """Write events/, and return its days."""
    query = events_query(impressions, [joined.table for joined in feedback.values()], description.time.zone)
    with artifacts.writing(target, stage=STAGE, fingerprint=fingerprint) as output:
        days = write_days(output, con, query, events_schema(impressions, list(feedback)))
        output.rows = account
    return days
