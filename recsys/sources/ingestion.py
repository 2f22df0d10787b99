"""The first stage, from all files of a source: raw files → events/, users/, items/, quarantine/."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from recsys import artifacts, schema
from recsys.artifacts import RowAccount
from recsys.config import FeedbackOptions, Pipeline
from recsys.progress import Console
from recsys.sources.actions import drop_ignored, event_columns, part
from recsys.sources.column_options import Reading
from recsys.sources.database import engine, one_row
from recsys.sources.description import ITEMS, USERS, Description, feedback_files
from recsys.sources.entities import (
    count_entities,
    coverage,
    entities_query,
    entities_schema,
    entity_columns,
    key_column,
    role_key,
    snapshots,
)
from recsys.sources.events import count_events, day_of_micros, events_query, events_schema, impression_columns, require_columns
from recsys.sources.feedback import Joined, action_columns, join, key_types, shown_by
from recsys.sources.input_files import InputFile
from recsys.sources.intake import Intake
from recsys.sources.ledger import Ledger, Seen, forms_of, refused_of
from recsys.sources.output import write_days, write_unique
from recsys.sources.output_columns import Column
from recsys.sources.refusals import Typed
from recsys.sources.staging import Staged, TableFiles
from recsys.workspace import EVENTS, PART, QUARANTINE, day_folder, days_in

STAGE = "ingest"


def ingest_whole(
    pipeline: Pipeline, folder: Path, description: Description, seen: Seen, *, options: str, fingerprint: str, console: Console
) -> RowAccount:
    """Read all files into `folder`, as artifacts of stage "ingest": users/, items/, quarantine/, then events/.

    `seen` are the files, and `options` stands for the options of the stage. The returned account is that of the log. Raises DataError where
    files are missing, damaged or hold too many unusable rows. In that case nothing is written.
    """
    with engine(folder, pipeline.features.memory_limit) as con:
        intake = Intake(con, description, Reading.of(pipeline), console)
        impressions, feedback, account = _impressions(intake)
        users, items = (
            entities_of(intake, role, table, impressions.type(role_key(role)), impressions)
            for role, table in ((USERS, description.users), (ITEMS, description.items))
        )
        tables = [table for table in (users, items) if table is not None]
        types = key_types(impressions)
        for place, of in enumerate(description.feedback):
            actions = actions_of(intake, place, of, feedback_files(of), types)
            feedback[of.name] = joined_of(intake, actions, shown_by(impressions, of.on), of)
            tables.append(actions)
        for role, entities in ((USERS, users), (ITEMS, items)):
            write_entities(con, folder / role, role, entities, impressions.type(role_key(role)), fingerprint)
        write_quarantine(intake.refused, folder / QUARANTINE, fingerprint)
        tables.append(impressions)
        last = {name: joined.last for name, joined in feedback.items()}
        ledger = Ledger(options, seen, forms_of(tables), refused_of(tables), last, are_whole_milliseconds(con, impressions))
        days = write_events(con, folder / EVENTS, description, impressions, feedback, account, fingerprint, ledger)
    console.say(f"log: {account}; days {days[0]} to {days[-1]}")
    for role in (USERS, ITEMS):
        say_first_snapshot(folder / role, days[0], console)
    return account


# --- Reading ------------------------------------------------------------------------------------------------------
def _impressions(intake: Intake) -> tuple[Typed, dict[str, Joined], RowAccount]:
    """Read the log. Return its impressions, the feedback that stands in the log itself, and what became of the rows."""
    rows = rows_of_log(intake, intake.description.log)
    kept = count_events(intake.con, rows)
    options = intake.description.events
    if options is None:
        return rows, {}, account_of(rows, kept)
    parted = part(intake.con, rows, options)
    intake.refused.append(parted.quarantine)
    for name, joined in parted.feedback.items():
        intake.console.say(f"feedback {name}: {joined.actions:,} different actions")
    if parted.orphans:
        became = "kept as impressions" if options.orphan == "keep" else 'in quarantine; source.orphan = "keep" makes impressions of them'
        intake.console.say(f"log: of {parted.actions:,} different actions {parted.orphans:,} follow no view; they are {became}")
    return parted.impressions, dict(parted.feedback), parted.account


def rows_of_log(intake: Intake, table: TableFiles, before: Sequence[InputFile] = ()) -> Typed:
    """Read files of the log. `before` are others, which were read earlier."""
    description = intake.description
    with intake.console.bar("log", total=len(table.files())) as advance:
        staged = intake.stage(
            table, "staged_log", before=before, require=lambda names, file: require_columns(description, names, file), read=advance
        )
    columns = log_table_columns(intake.con, staged, description, intake.reading)
    return intake.type(staged, columns, day=day_of_micros(moment_of(columns), description.time.zone), keep=description.events is not None)


def are_whole_milliseconds(con: duckdb.DuckDBPyConnection, impressions: Typed) -> bool:
    """Return whether no impression's moment has a fraction of a millisecond."""
    fraction = f"{impressions.column(schema.TIMESTAMP)} % 1000 <> 0"
    return not one_row(con, f"SELECT count(*) FILTER ({fraction}) FROM {impressions.table}")[0]


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


def entities_of(
    intake: Intake,
    role: str,
    table: TableFiles | None,
    key_type: pa.DataType,
    impressions: Typed | None,
    before: Sequence[InputFile] = (),
) -> Typed | None:
    """Read users or items; None where the source has no such table. Say how many ids of the impressions, if there are any, have a row.

    `before` are other files of the table, which were read earlier.
    """
    if table is None:
        return None
    staged = intake.stage(
        table, f"staged_{role}", before=before, require=lambda names, file: key_column(intake.description, role, names, file)
    )
    entities = intake.type(staged, entity_columns(intake.con, staged, intake.description, intake.reading, key_type))
    account = account_of(entities, count_entities(intake.con, entities))
    covered, doubt = ("", None) if impressions is None else coverage(intake.con, entities, impressions)
    intake.console.say(f"{role}: {account}" + (covered and f"; {covered}"))
    if doubt is not None:
        intake.console.say(f"{role}: warning: {doubt}")
    return entities


def actions_of(
    intake: Intake,
    place: int,
    options: FeedbackOptions,
    table: TableFiles,
    types: Mapping[str, pa.DataType],
    before: Sequence[InputFile] = (),
) -> Typed:
    """Read files of a feedback. `types`: those of the log's ids. `before` are other files of it, which were read earlier."""
    staged = intake.stage(table, f"staged_feedback_{place}", before=before, may_be_empty=True)
    return intake.type(staged, action_columns(intake.con, staged, options, intake.description, types))


def joined_of(intake: Intake, actions: Typed, shown: str, options: FeedbackOptions) -> Joined:
    """Join actions to the impressions of `shown` (`feedback.shown_by`)."""
    joined = join(intake.con, actions, shown, options)
    refused = f", {actions.quarantined:,} in quarantine" if actions.quarantined else ""
    unmatched = f"of {joined.actions:,} different actions {joined.unmatched:,} match no impression within {options.within}"
    intake.console.say(f"{actions.staged.role}: read {actions.staged.rows:,}{refused}; {unmatched}")
    return joined


def account_of(table: Typed, kept: int) -> RowAccount:
    rows = table.staged.rows
    return RowAccount(read=rows, kept=kept, duplicate=rows - kept - table.quarantined, quarantined=table.quarantined)


def say_first_snapshot(folder: Path, first_day: str, console: Console) -> None:
    """Say where the log begins before the first snapshot of users or items."""
    if (first := next(iter(days_in(folder)), first_day)) > first_day:
        console.say(f"{folder.name}: days before {first} join the first snapshot, which is of {first}")


# --- Writing ------------------------------------------------------------------------------------------------------
def write_entities(
    con: duckdb.DuckDBPyConnection,
    target: Path,
    role: str,
    entities: Typed | None,
    key_type: pa.DataType,
    fingerprint: str,
    beside: Sequence[str] = (),
) -> None:
    """Write users/ or items/: one file, or one per snapshot; only the key's column, without rows, where the source has no such table.

    `beside` are files of snapshots that stand in `target`, and stay.
    """
    columns = entities_schema(entities, role_key(role), key_type)
    with artifacts.writing(target, stage=STAGE, fingerprint=fingerprint) as output:
        if entities is None:
            output.write_table(PART, columns.empty_table())
            return
        for name in beside:
            output.link(target, name)
        for day, files in snapshots(entities).items():
            name = PART if day is None else str(day_folder(Path(), day) / PART)
            write_unique(output, con, entities_query(entities, files), "a0", columns, name)


def take_over(target: Path, fingerprint: str) -> None:
    """Let a folder that stands count as made from the present files."""
    with artifacts.writing(target, stage=STAGE, fingerprint=fingerprint) as output:
        for name in artifacts.require_manifest(target).files:
            output.link(target, name)


def write_quarantine(refused: Sequence[pa.Table], target: Path, fingerprint: str) -> None:
    rows = pa.concat_tables(refused).sort_by([(name, "ascending") for name in ("source_file", "source_row", "reason")])
    with artifacts.writing(target, stage=STAGE, fingerprint=fingerprint) as output:
        output.write_table(PART, rows.combine_chunks())


def write_events(
    con: duckdb.DuckDBPyConnection,
    target: Path,
    description: Description,
    impressions: Typed,
    feedback: Mapping[str, Joined],
    account: RowAccount | None,
    fingerprint: str,
    ledger: Ledger | None = None,
) -> list[str]:
    """Write events/, and return its days."""
    query = events_query(impressions, [joined.table for joined in feedback.values()], description.time.zone)
    config = None if ledger is None else ledger.config()
    with artifacts.writing(target, stage=STAGE, fingerprint=fingerprint, config=config) as output:
        days = write_days(output, con, query, events_schema(impressions, list(feedback)))
        output.rows = account
    return days
