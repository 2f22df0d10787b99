"""Read new files of a log that has been read before: they are read alone, and the days that they touch are written anew.

What stands afterwards is what reading all files would leave, to the byte. Where that cannot be promised, all files are read, and the
reason is said (`NotAloneError`). A file that is changed without another size and time is not seen, here as elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from recsys import artifacts, schema
from recsys.artifacts import Manifest, RowAccount
from recsys.config import FeedbackOptions, Pipeline
from recsys.days import clock
from recsys.errors import ArtifactError, DataError
from recsys.progress import Console
from recsys.sources.column_options import Reading
from recsys.sources.database import engine, one_row
from recsys.sources.description import Description, feedback_files
from recsys.sources.events import count_events, event_id, events_rows
from recsys.sources.feedback import KEYS, Joined, micros, shown_by
from recsys.sources.ingestion import (
    STAGE,
    actions_of,
    are_whole_milliseconds,
    ingest_whole,
    joined_of,
    rows_of_log,
    take_over,
    write_quarantine,
)
from recsys.sources.input_files import InputFile
from recsys.sources.intake import Intake
from recsys.sources.ledger import Ledger, NotAloneError, Seen, forms_of, new_ones, others, read_ledger, refused_of, seen_files
from recsys.sources.merged_days import merged, misfit_of, stored
from recsys.sources.output import write_days
from recsys.sources.refusals import Typed
from recsys.sources.resolve import raw_source
from recsys.sources.staging import TableFiles
from recsys.sources.standing_sides import StandingSides
from recsys.workspace import EVENTS, PART, QUARANTINE, day_folder, day_of

_OLD = "old_rows"  # view of the engine: what events/ holds of the days that are written anew


def ingest(pipeline: Pipeline, folder: Path, *, options: str, fingerprint: str, console: Console) -> RowAccount:
    """Read the source into `folder`: new files alone where only such have come, else all files. Raises as `ingest_whole` does.

    `options` stands for the options of the stage. The returned account is that of all files.
    """
    description = raw_source(pipeline).describe(folder, console)
    seen = seen_files(description)
    ledger = read_ledger(folder, options)
    if ledger is not None and description.events is None:  # a session of actions may go on in the next file
        try:
            return _Increment(pipeline, folder, description, seen, ledger, fingerprint, console).ingest()
        except (NotAloneError, DataError, ArtifactError) as reason:
            console.say(f"ingest: reads all files again: {reason}")
    return ingest_whole(pipeline, folder, description, seen, options=options, fingerprint=fingerprint, console=console)


@dataclass
class _Read:
    """Hold what new files brought."""

    impressions: Typed | None
    actions: Mapping[str, Typed]
    feedback: Mapping[str, Joined]

    @property
    def tables(self) -> list[Typed]:
        return [*self.actions.values(), *([] if self.impressions is None else [self.impressions])]


class _Increment:
    """Read new files beside what stands in a pipeline's folder."""

    def __init__(
        self, pipeline: Pipeline, folder: Path, description: Description, seen: Seen, ledger: Ledger, fingerprint: str, console: Console
    ) -> None:
        self.pipeline, self.folder, self.description = pipeline, folder, description
        self.seen, self.ledger, self.fingerprint, self.console = seen, ledger, fingerprint, console
        self.zone = description.time.zone
        self.events: Manifest = artifacts.require_manifest(folder / EVENTS)
        self.days = sorted(day for name in self.events.files if (day := day_of(name)) is not None)
        self.columns = artifacts.read_schema(day_folder(folder / EVENTS, self.days[-1]) / PART).remove_metadata()

    def ingest(self) -> RowAccount:
        log, *feedback = (self._new_files(table) for table in self._growing())
        standing = StandingSides(self.folder, self.description, self.ledger, self.seen, self.columns)
        if any(feedback) and not self.ledger.whole_milliseconds:
            raise NotAloneError("moments of the log have fractions of a millisecond, which events/ does not hold")
        with engine(self.folder, self.pipeline.features.memory_limit) as con:
            intake = Intake(con, self.description, Reading.of(self.pipeline), self.console)
            read = self._read(intake, log, feedback)
            touched = self._load_touched(intake, read)
            account = self._account(intake, read)
            sides = standing.read(intake)
            standing.write(intake, sides, self.fingerprint, min([*self.days, *touched]))
            self._write_quarantine(intake.refused)
            days = self._write_events(intake, read, sides, touched, account)
        what = f"read {len(log)} new files of the log and {sum(map(len, feedback))} of its feedback"
        self.console.say(f"log: {account}; {what}; days {', '.join(days) or 'none'} written, all others stay")
        return account

    # --- Files ----------------------------------------------------------------------------------------------------
    def _growing(self) -> list[TableFiles]:
        return [self.description.log, *(feedback_files(options) for options in self.description.feedback)]

    def _new_files(self, table: TableFiles) -> list[InputFile]:
        new = self.ledger.new_files(table, self.seen)
        if new is None:
            raise NotAloneError(f"a file of {table.role} that was read has changed, is gone, or is called otherwise")
        return new

    # --- Reading --------------------------------------------------------------------------------------------------
    def _read(self, intake: Intake, log: Sequence[InputFile], feedback: Sequence[Sequence[InputFile]]) -> _Read:
        impressions = self._impressions(intake, log) if log else None
        actions, joined = {}, {}
        for place, (options, new) in enumerate(zip(self.description.feedback, feedback, strict=True)):
            if not new:
                continue
            table = feedback_files(options)
            types = {name: self.columns.field(name).type for name in KEYS if name in self.columns.names}
            found = actions_of(intake, place, options, new_ones(table, new), types, others(table, new))
            self.ledger.require_form(found)
            if found.quarantined or self.ledger.refused.get(table.role):
                raise NotAloneError(f"{table.role} has rows that cannot be used, which all of its files together decide")
            self._require_later(intake, found, self.ledger.last_actions.get(options.name))
            joined[options.name] = joined_of(intake, found, self._shown(intake, impressions, found, options), options)
            actions[options.name] = found
        return _Read(impressions, actions, joined)

    def _impressions(self, intake: Intake, new: Sequence[InputFile]) -> Typed:
        table = self.description.log
        impressions = rows_of_log(intake, new_ones(table, new), others(table, new))
        self.ledger.require_form(impressions)
        if misfit := misfit_of(intake.con, impressions, self.columns, self.description.feedback_names()):
            raise NotAloneError(misfit)
        if impressions.quarantined and set(self._days_of(intake, impressions)).intersection(self.days):
            raise NotAloneError("new files of the log have rows that cannot be used, and rows of days that stand")
        known = [last for last in self.ledger.last_actions.values() if last is not None]
        first = _first_moment(intake, impressions)
        if known and first is not None and first <= max(known):
            raise NotAloneError(f"new files of the log have rows from {_moment(first)}, before actions that were read")
        return impressions

    def _require_later(self, intake: Intake, actions: Typed, last: int | None) -> None:
        """Raise NotAloneError where new actions are not all after those that were read: of several, the last counts."""
        first = _first_moment(intake, actions)
        if last is not None and first is not None and first <= last:
            raise NotAloneError(f"new files of {actions.staged.role} have actions from {_moment(first)}, before some that were read")

    def _days_reached(self, intake: Intake, actions: Typed, options: FeedbackOptions) -> list[str]:
        """Return the days of events/ whose impressions new actions can follow."""
        first = _first_moment(intake, actions)
        return [] if first is None else [day for day in self.days if day >= _day(first - micros(options.within), self.zone)]

    def _shown(self, intake: Intake, impressions: Typed | None, actions: Typed, options: FeedbackOptions) -> str:
        """Return SQL for the impressions, old and new, that actions may follow, in the form of `feedback.shown_by`."""
        names = [name for name in self.columns.names if name != schema.EVENT_ID]
        keys = ", ".join(f"v{names.index(name)} AS k{place}" for place, name in enumerate(options.on))
        moment = f"v{names.index(schema.TIMESTAMP)} * 1000"
        rows = stored(self.folder / EVENTS, self._days_reached(intake, actions, options), self.columns, self.days[-1])
        old = f"SELECT {keys}, {moment} AS shown_at, {schema.EVENT_ID} FROM ({rows})"
        return old if impressions is None else f"{old} UNION ALL {shown_by(impressions, options.on)}"

    # --- What is written anew -------------------------------------------------------------------------------------
    def _load_touched(self, intake: Intake, read: _Read) -> list[str]:
        """Name in the engine what events/ holds of the days that get rows or values. Return these days."""
        touched = set() if read.impressions is None else set(self._days_of(intake, read.impressions))
        for options in self.description.feedback:
            if options.name in read.feedback:
                touched.update(self._days_with(intake, read.feedback[options.name], read.actions[options.name], options))
        old = stored(self.folder / EVENTS, sorted(touched.intersection(self.days)), self.columns, self.days[-1])
        intake.con.execute(f"CREATE VIEW {_OLD} AS {old}")
        return sorted(touched)

    def _days_of(self, intake: Intake, impressions: Typed) -> list[str]:
        rows = events_rows(impressions, (), self.zone)
        return [day.isoformat() for (day,) in intake.con.execute(f"SELECT DISTINCT {schema.DAY} FROM ({rows})").fetchall()]

    def _days_with(self, intake: Intake, joined: Joined, actions: Typed, options: FeedbackOptions) -> list[str]:
        """Return the days of events/ that hold an impression that has got a value."""
        rows = stored(self.folder / EVENTS, self._days_reached(intake, actions, options), self.columns, self.days[-1])
        ids = f"SELECT {schema.EVENT_ID} FROM {joined.table}"
        found = intake.con.execute(f"SELECT DISTINCT {schema.DAY} FROM ({rows}) WHERE {schema.EVENT_ID} IN ({ids})").fetchall()
        return [day.isoformat() for (day,) in found]

    def _account(self, intake: Intake, read: _Read) -> RowAccount:
        """Return the account of all files. Raises DataError where two contents of the new files share an id."""
        before = RowAccount(**(self.events.rows or {}))
        if read.impressions is None:
            return before
        count_events(intake.con, read.impressions)
        new = f"SELECT DISTINCT {event_id()} AS id FROM {read.impressions.table}"
        (kept,) = one_row(intake.con, f"SELECT count(*) FROM ({new}) WHERE id NOT IN (SELECT {schema.EVENT_ID} FROM {_OLD})")
        rows, refused = read.impressions.staged.rows, read.impressions.quarantined
        return replace(
            before,
            read=before.read + rows,
            kept=before.kept + kept,
            duplicate=before.duplicate + rows - kept - refused,
            quarantined=before.quarantined + refused,
        )

    # --- Writing --------------------------------------------------------------------------------------------------
    def _write_quarantine(self, refused: Sequence[pa.Table]) -> None:
        if any(len(table) for table in refused):
            old = artifacts.read_table(self.folder / QUARANTINE / PART)
            write_quarantine([old, *refused], self.folder / QUARANTINE, self.fingerprint)
        else:
            take_over(self.folder / QUARANTINE, self.fingerprint)

    def _write_events(
        self, intake: Intake, read: _Read, sides: Mapping[str, Typed | None], touched: Sequence[str], account: RowAccount
    ) -> list[str]:
        target, ledger = self.folder / EVENTS, self._ledger(intake, read, sides)
        with artifacts.writing(target, stage=STAGE, fingerprint=self.fingerprint, config=ledger.config()) as output:
            for name in self.events.files:
                if day_of(name) not in touched:
                    output.link(target, name)
            days = write_days(output, intake.con, merged(_OLD, self.columns, read.impressions, read.feedback, self.zone), self.columns)
            output.rows = account
        return days

    def _ledger(self, intake: Intake, read: _Read, sides: Mapping[str, Typed | None]) -> Ledger:
        anew = [table for table in sides.values() if table is not None]
        last = dict(self.ledger.last_actions)
        for name, joined in read.feedback.items():
            last[name] = max((moment for moment in (last.get(name), joined.last) if moment is not None), default=None)
        refused = dict(self.ledger.refused) | refused_of(anew)
        for role, count in refused_of(read.tables).items():
            refused[role] = refused.get(role, 0) + count
        whole = self.ledger.whole_milliseconds and (read.impressions is None or are_whole_milliseconds(intake.con, read.impressions))
        return Ledger(self.ledger.options, self.seen, {**self.ledger.forms, **forms_of(anew)}, refused, last, whole)


def _first_moment(intake: Intake, table: Typed) -> int | None:
    """Return the first moment of the usable rows of a table (microseconds since 1970 UTC); None where there are none."""
    (first,) = one_row(intake.con, f"SELECT min({table.column(schema.TIMESTAMP)}) FROM {table.table}")
    return None if first is None else int(first)


def _day(moment: int, zone: str) -> str:
    return datetime.fromtimestamp(moment / 1_000_000, clock(zone)).date().isoformat()


def _moment(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1_000_000, UTC).isoformat(timespec="seconds")
