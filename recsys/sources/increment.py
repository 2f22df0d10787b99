"""The first stage, from new files of a log that has been read before: they are read alone, and the days that they touch are written anew.

What stands afterwards is what reading all files would leave, to the byte. Where that cannot be promised, all files are read, and the
reason is said: a file that was read has changed; a new file has another type in a column, or rows before actions that were read; the rows
of the log are actions themselves, and sessions may go on in the next file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from recsys import artifacts, schema
from recsys.artifacts import Manifest, RowAccount
from recsys.config import Pipeline
from recsys.errors import DataError
from recsys.progress import Console
from recsys.sources.column_options import Reading
from recsys.sources.database import engine, one_row
from recsys.sources.description import ITEMS, USERS, Description, feedback_files
from recsys.sources.entities import role_key
from recsys.sources.events import count_events, event_id, events_rows, events_schema
from recsys.sources.feedback import KEYS, Joined, micros, shown_by
from recsys.sources.ingestion import (
    STAGE,
    actions_of,
    are_whole_milliseconds,
    entities_of,
    ingest_whole,
    joined_of,
    rows_of_log,
    write_entities,
    write_quarantine,
)
from recsys.sources.input_files import InputFile
from recsys.sources.intake import Intake
from recsys.sources.ledger import Ledger, read_ledger, states
from recsys.sources.merged_days import OLD, merged, with_day
from recsys.sources.output import write_days
from recsys.sources.refusals import Typed
from recsys.sources.resolve import raw_source
from recsys.sources.staging import TableFiles
from recsys.workspace import EVENTS, PART, QUARANTINE, day_folder, day_of

_SHOWN = "old_shown"  # table of the engine: the impressions of events/ that new actions may follow


class _NotAloneError(Exception):
    """The reason why new files cannot be read alone."""


def ingest(pipeline: Pipeline, folder: Path, *, options: str, fingerprint: str, console: Console) -> RowAccount:
    """Read the source into `folder`: new files alone where only such have come, else all files. Raises as `ingest_whole` does.

    `options` stands for the options of the stage. The returned account is that of all files.
    """
    description = raw_source(pipeline).describe(folder, console)
    ledger = read_ledger(folder, options)
    if ledger is not None:
        try:
            return _Increment(pipeline, folder, description, ledger, fingerprint, console).ingest()
        except (_NotAloneError, DataError) as reason:
            console.say(f"ingest: reads all files again: {reason}")
    return ingest_whole(pipeline, folder, description, options=options, fingerprint=fingerprint, console=console)


@dataclass
class _Read:
    """What new files brought."""

    impressions: Typed | None
    feedback: Mapping[str, Joined]
    refused: Sequence[pa.Table]


class _Increment:
    """The reading of new files beside what stands in a pipeline's folder."""

    def __init__(
        self, pipeline: Pipeline, folder: Path, description: Description, ledger: Ledger, fingerprint: str, console: Console
    ) -> None:
        self.pipeline, self.folder, self.description = pipeline, folder, description
        self.ledger, self.fingerprint, self.console = ledger, fingerprint, console
        self.events: Manifest = artifacts.require_manifest(folder / EVENTS)
        self.days = sorted(day for name in self.events.files if (day := day_of(name)) is not None)
        self.columns = artifacts.read_schema(day_folder(folder / EVENTS, self.days[0]) / PART).remove_metadata()

    def ingest(self) -> RowAccount:
        if self.description.events is not None:
            raise _NotAloneError("the rows of the log are actions, and a session may go on in the next file")
        log, *feedback = (self._new_files(table) for table in self._growing())
        changed = [role for role, table in self._sides().items() if not self.ledger.has(table, role)]
        if changed and artifacts.count_rows(self.folder / QUARANTINE / PART):
            raise _NotAloneError(f"{changed[0]} has changed, and quarantine/ holds rows of unknown tables")
        if any(feedback) and not self.ledger.whole_milliseconds:
            raise _NotAloneError("moments of the log have fractions of a millisecond, which events/ does not hold")
        with engine(self.folder, self.pipeline.features.memory_limit) as con:
            intake = Intake(con, self.description, Reading.of(self.pipeline), self.console)
            read = self._read(intake, log, feedback)
            touched = self._load_touched(intake, read)
            account = self._account(intake, read)
            for role in (USERS, ITEMS):
                self._write_side(intake, role, read.impressions, anew=role in changed)
            self._write_quarantine(read.refused)
            days = self._write_events(intake, read, touched, account)
        self.console.say(f"log: {account}; read {len(log)} new files; days {', '.join(days) or 'none'} written, all others stay")
        return account

    # --- Files ----------------------------------------------------------------------------------------------------
    def _growing(self) -> list[TableFiles]:
        return [self.description.log, *(feedback_files(options) for options in self.description.feedback)]

    def _sides(self) -> dict[str, TableFiles | None]:
        return {USERS: self.description.users, ITEMS: self.description.items}

    def _new_files(self, table: TableFiles) -> list[InputFile]:
        new = self.ledger.new_files(table)
        if new is None:
            raise _NotAloneError(f"a file of {table.role} that was read has changed, is gone, or is called otherwise")
        return new

    def _before(self, table: TableFiles, new: Sequence[InputFile]) -> list[InputFile]:
        return [file for file in table.files() if file not in new]

    # --- Reading --------------------------------------------------------------------------------------------------
    def _read(self, intake: Intake, log: Sequence[InputFile], feedback: Sequence[Sequence[InputFile]]) -> _Read:
        impressions = self._impressions(intake, log) if log else None
        joined = {}
        for place, (options, new) in enumerate(zip(self.description.feedback, feedback, strict=True)):
            if not new:
                continue
            table = feedback_files(options)
            types = {name: self.columns.field(name).type for name in KEYS if name in self.columns.names}
            actions = actions_of(intake, place, options, _of(table, new), types, self._before(table, new))
            self._require_later(intake, actions, self.ledger.last_actions.get(options.name))
            joined[options.name] = joined_of(
                intake, actions, self._shown(intake, impressions, actions, options.on, options.within), options
            )
        return _Read(impressions, joined, intake.refused)

    def _impressions(self, intake: Intake, new: Sequence[InputFile]) -> Typed:
        table = self.description.log
        impressions = rows_of_log(intake, _of(table, new), self._before(table, new))
        self._require_types(intake, impressions)
        known = [last for last in self.ledger.last_actions.values() if last is not None]
        if known:
            (first,) = one_row(intake.con, f"SELECT min({impressions.column(schema.TIMESTAMP)}) FROM {impressions.table}")
            if first is not None and first <= max(known):
                raise _NotAloneError(f"new files of the log have rows from {_moment(first)}, before actions that were read")
        return impressions

    def _require_types(self, intake: Intake, impressions: Typed) -> None:
        """Raise _NotAloneError where the new files have other columns, or types that all files together might not have."""
        names = list(self.description.feedback_names())
        new = events_schema(impressions, names)
        if new.names != self.columns.names:
            raise _NotAloneError("new files of the log have other columns than those that were read")
        for ours, theirs in zip(new, self.columns, strict=True):
            is_whole_number = ours.type == pa.int64() and theirs.type == pa.float64()
            if ours.type != theirs.type and not is_whole_number and not self._is_null(intake, impressions, ours.name):
                raise _NotAloneError(
                    f"column {ours.name} of the new files is {ours.type}, expected {theirs.type} as in those that were read"
                )

    def _is_null(self, intake: Intake, impressions: Typed, name: str) -> bool:
        return not one_row(intake.con, f"SELECT count({impressions.column(name)}) FROM {impressions.table}")[0]

    def _require_later(self, intake: Intake, actions: Typed, last: int | None) -> None:
        """Raise _NotAloneError where an action is not later than those that were read: of several, the last counts."""
        (first,) = one_row(intake.con, f"SELECT min({actions.column(schema.TIMESTAMP)}) FROM {actions.table}")
        if last is not None and first is not None and first <= last:
            raise _NotAloneError(f"new files of {actions.staged.role} have actions from {_moment(first)}, before some that were read")

    def _shown(self, intake: Intake, impressions: Typed | None, actions: Typed, on: Sequence[str], within: str) -> str:
        """Return SQL for the impressions, old and new, that actions may follow, in the form of `feedback.shown_by`."""
        (first,) = one_row(intake.con, f"SELECT min({actions.column(schema.TIMESTAMP)}) FROM {actions.table}")
        since = "9999" if first is None else _day(first - micros(within), self.description.time.zone)
        wanted = [schema.EVENT_ID, schema.TIMESTAMP, *on]
        parts = [self._stored(day).select(wanted) for day in self.days if day >= since]
        keys = [f"k{place}" for place in range(len(on))]
        table = pa.concat_tables([pa.schema([self.columns.field(name) for name in wanted]).empty_table(), *parts])
        name = f"{_SHOWN}_{actions.table}"
        intake.con.register(name, table.rename_columns([schema.EVENT_ID, "moment", *keys]))
        old = f"SELECT {', '.join(keys)}, moment * 1000 AS shown_at, {schema.EVENT_ID} FROM {name}"
        return old if impressions is None else f"{old} UNION ALL {shown_by(impressions, on)}"

    # --- What is written anew -------------------------------------------------------------------------------------
    def _load_touched(self, intake: Intake, read: _Read) -> list[str]:
        """Keep in the engine what events/ holds of the days that get rows or values. Return these days."""
        touched = set(self._days_of(intake, read.impressions))
        if read.feedback:
            ids = pa.concat_tables(
                [intake.con.sql(f"SELECT {schema.EVENT_ID} FROM {joined.table}").to_arrow_table() for joined in read.feedback.values()]
            )[schema.EVENT_ID]
            for day in self.days:
                if pc.any(pc.is_in(self._stored(day, [schema.EVENT_ID])[schema.EVENT_ID], value_set=ids.combine_chunks())).as_py():
                    touched.add(day)
        parts = [with_day(self._stored(day), day) for day in sorted(touched.intersection(self.days))]
        empty = with_day(self.columns.empty_table(), "1970-01-01")
        intake.con.register(OLD, pa.concat_tables([empty, *parts]))
        return sorted(touched)

    def _days_of(self, intake: Intake, impressions: Typed | None) -> list[str]:
        if impressions is None:
            return []
        rows = events_rows(impressions, (), self.description.time.zone)
        return [day.isoformat() for (day,) in intake.con.execute(f"SELECT DISTINCT {schema.DAY} FROM ({rows})").fetchall()]

    def _account(self, intake: Intake, read: _Read) -> RowAccount:
        """Return the account of all files. Raises DataError where two contents of the new files share an id."""
        before = RowAccount(**(self.events.rows or {}))
        if read.impressions is None:
            return before
        count_events(intake.con, read.impressions)
        new = f"SELECT DISTINCT {event_id()} AS id FROM {read.impressions.table}"
        (kept,) = one_row(intake.con, f"SELECT count(*) FROM ({new}) WHERE id NOT IN (SELECT {schema.EVENT_ID} FROM {OLD})")
        rows, refused = read.impressions.staged.rows, read.impressions.quarantined
        return replace(
            before,
            read=before.read + rows,
            kept=before.kept + kept,
            duplicate=before.duplicate + rows - kept - refused,
            quarantined=before.quarantined + refused,
        )

    def _stored(self, day: str, columns: list[str] | None = None) -> pa.Table:
        return artifacts.read_table(day_folder(self.folder / EVENTS, day) / PART, columns)

    # --- Writing --------------------------------------------------------------------------------------------------
    def _write_side(self, intake: Intake, role: str, impressions: Typed | None, *, anew: bool) -> None:
        if anew:
            key_type = self.columns.field(role_key(role)).type
            entities = entities_of(intake, role, self._sides()[role], key_type, impressions)
            write_entities(intake.con, self.folder / role, role, entities, key_type, self.fingerprint)
        else:
            self._take_over(role)

    def _write_quarantine(self, refused: Sequence[pa.Table]) -> None:
        if any(len(table) for table in refused):
            old = artifacts.read_table(self.folder / QUARANTINE / PART)
            write_quarantine([old, *refused], self.folder / QUARANTINE, self.fingerprint)
        else:
            self._take_over(QUARANTINE)

    def _take_over(self, name: str) -> None:
        """Let what stands count as made from the present files."""
        with artifacts.writing(self.folder / name, stage=STAGE, fingerprint=self.fingerprint) as output:
            output.link(self.folder / name, PART)

    def _write_events(self, intake: Intake, read: _Read, touched: Sequence[str], account: RowAccount) -> list[str]:
        target = self.folder / EVENTS
        with artifacts.writing(target, stage=STAGE, fingerprint=self.fingerprint, config=self._ledger(intake, read).config()) as output:
            for name in self.events.files:
                if day_of(name) not in touched:
                    output.link(target, name)
            days = write_days(
                output, intake.con, merged(self.columns, read.impressions, read.feedback, self.description.time.zone), self.columns
            )
            output.rows = account
        return days

    def _ledger(self, intake: Intake, read: _Read) -> Ledger:
        last = dict(self.ledger.last_actions)
        for name, joined in read.feedback.items():
            last[name] = max((moment for moment in (last.get(name), joined.last) if moment is not None), default=None)
        whole = self.ledger.whole_milliseconds and (read.impressions is None or are_whole_milliseconds(intake.con, read.impressions))
        return Ledger(self.ledger.options, {table.role: states(table.files()) for table in self.description.tables()}, last, whole)


def _of(table: TableFiles, files: Sequence[InputFile]) -> TableFiles:
    return replace(table, patterns=tuple(file.path for file in files))


def _day(moment: int, zone: str) -> str:
    return datetime.fromtimestamp(moment / 1_000_000, ZoneInfo(zone)).date().isoformat()


def _moment(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1_000_000, UTC).isoformat(timespec="seconds")
