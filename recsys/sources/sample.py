"""Some rows of a source, read as a run reads them, but with every problem that a run would stop at, not only the first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from json import dumps
from pathlib import Path
from typing import TypeVar

import duckdb

from recsys import artifacts
from recsys.config import FeedbackOptions, Pipeline
from recsys.days import DAY_MS, Day
from recsys.errors import RecsysError
from recsys.sources.actions import part
from recsys.sources.beginning import Beginning
from recsys.sources.checking import log_header, problems_by_table, readable_names
from recsys.sources.column_options import Reading
from recsys.sources.database import engine
from recsys.sources.description import ITEMS, LOG, USERS, Description, feedback_files
from recsys.sources.entities import count_entities, coverage, entity_columns, role_key
from recsys.sources.events import count_events, day_of_micros, log_columns
from recsys.sources.feedback import Joined, action_columns, join, key_types, shown_by
from recsys.sources.ingestion import account_of, log_table_columns, moment_of, write_entities, write_events
from recsys.sources.output_columns import Column
from recsys.sources.parquet import list_columns
from recsys.sources.refusals import Typed, row_problems, typed
from recsys.sources.resolve import raw_source
from recsys.sources.separators import said
from recsys.sources.staging import Staged, TableFiles, stage
from recsys.workspace import EVENTS, PART, day_folder, days_in

_Read = TypeVar("_Read")
_FINGERPRINT = "sample"
_FEW = 0.1  # share of training rows among the first rows, below which rows from the first of a training day on are read


@dataclass(frozen=True)
class TableSample:
    """The part of one table that was read: of each file the first rows, or those from the first of a training day on.

    `is_whole`: all of its rows.
    """

    role: str
    files: int
    rows: int
    is_whole: bool
    is_of_training: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """The part of a source that was read.

    `problems` are those of headers and of what is no share of rows; `row_problems` are shares of rows that a run would not leave out.
    `doubts` are warnings of tables whose rows describe or match nothing, and of lists that are read as one text. `names` are those of
    `sources.columns`; of a table that cannot be read they are absent. `folder` holds events/, users/ and items/ as a run leaves them; it is
    None where the log cannot be read.
    """

    tables: tuple[TableSample, ...]
    problems: tuple[str, ...]
    row_problems: tuple[str, ...]
    doubts: tuple[str, ...]
    names: Mapping[str, list[str]]
    folder: Path | None

    @property
    def is_whole(self) -> bool:
        """Return whether all rows of all tables were read."""
        return all(table.is_whole for table in self.tables)


@dataclass
class _Sampler:
    con: duckdb.DuckDBPyConnection
    description: Description
    reading: Reading
    most: int | None
    days: tuple[date, date] | None  # the first and the last, from whose first row on the log and its feedback are read
    features: frozenset[str]  # names of columns that the model reads
    tables: list[TableSample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    row_problems: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)  # by the role of a table

    def attempt(self, read: Callable[[], _Read]) -> _Read | None:
        """Return what `read` returns; None where it fails, its problem noted unless one of the same table is."""
        before = len(self.problems) + len(self.row_problems)
        try:
            return read()
        except RecsysError as error:
            if len(self.problems) + len(self.row_problems) == before:
                self.problems.append(str(error))
            return None

    def stage(self, table: TableFiles, name: str, *, stamp: str | None = None) -> Staged:
        """Read rows of a table. `stamp` is its column of the times by which rows of `days` are found, if any."""
        staged = stage(
            self.con, table, name, separators=self.reading.separators, max_bad=1, may_be_empty=table.role not in (LOG, USERS, ITEMS),
            most=self.most, beginning=None if stamp is None else self._beginning(stamp),
        )  # fmt: skip
        self.left_out[table.role] = table.said_left_out()
        self.doubts += _lists_as_texts(staged, self.features - self.reading.separators.keys())
        return staged

    def _beginning(self, stamp: str) -> Beginning | None:
        if self.days is None:
            return None
        time = self.description.time
        first, last = (Day(str(day), time.zone).start for day in self.days)
        return Beginning(stamp, time, first, last + DAY_MS)

    def type(self, staged: Staged, columns: list[Column]) -> Typed:
        """Type the usable rows. Rows that a run would not leave out are problems."""
        self.row_problems += map(str, row_problems(self.con, staged, columns, max_bad=self.reading.max_bad)[0])
        return typed(self.con, staged, columns, max_bad=1)[0]

    def note(self, staged: Staged, *notes: str | None) -> None:
        separators = (message.removeprefix(f"{staged.role}: ") for message in said(staged.files, staged.role, fields=len(staged.names)))
        left_out = (f"left out {said}" for said in self.left_out[staged.role])
        found = (*separators, *left_out, *(note for note in notes if note is not None))
        self.tables.append(TableSample(staged.role, len(staged.files), staged.rows, staged.is_whole, staged.beginning is not None, found))


def sample(pipeline: Pipeline, folder: Path, *, most: int | None) -> Sample:
    """Read at most the first `most` rows of each file, and write what a run would make of them to `folder`.

    Where few of these rows of the log are of training days, rows are read from the first one of such a day on: a long log in the order of
    time begins long before them. Raises ConfigError where the parts of the source do not fit each other.
    """
    first = _sample(pipeline, folder / "first", most, None)
    if first.is_whole or first.folder is None or _share_of_training(pipeline, first.folder) >= _FEW:
        return first
    later = _sample(pipeline, folder / "later", most, pipeline.split.train)
    return first if later.folder is None else later


def _share_of_training(pipeline: Pipeline, folder: Path) -> float:
    """Return the share of the impressions in `folder` that are of training days."""
    rows = {day: artifacts.count_rows(day_folder(folder / EVENTS, day) / PART) for day in days_in(folder / EVENTS)}
    first, last = map(str, pipeline.split.train)
    return sum(count for day, count in rows.items() if first <= day <= last) / max(sum(rows.values()), 1)


def _sample(pipeline: Pipeline, folder: Path, most: int | None, days: tuple[date, date] | None) -> Sample:
    """Read rows of each file: the first ones; of the log and its feedback those from the first of these days on."""
    with raw_source(pipeline).sampled(most) as described:
        by_table = problems_by_table(described)
        unreadable = [role for role, problems in by_table.items() if problems]
        known = readable_names(described)
        problems = [problem for of_table in by_table.values() for problem in of_table]
        description = _readable(described, unreadable)
        if description is None:
            return Sample((), tuple(problems), (), (), known, None)
        with engine(folder, pipeline.features.memory_limit) as con:
            features = frozenset((*pipeline.features.user, *pipeline.features.item, *pipeline.features.context))
            sampler = _Sampler(con, description, Reading.of(pipeline), most, days, features, problems=problems)
            impressions = _log(sampler, folder)
            once, rows = (tuple(dict.fromkeys(some)) for some in (sampler.problems, sampler.row_problems))
            return Sample(tuple(sampler.tables), once, rows, tuple(sampler.doubts), known, folder if impressions else None)


def _lists_as_texts(staged: Staged, names: frozenset[str]) -> list[str]:
    """Return a warning per column of these names whose cells are lists: without a separator each becomes one text."""
    file = staged.files[0]
    lists = list_columns(file.path) if file.format == "parquet" else []
    return [
        f"{staged.role}: found lists in {name}, expected it in features.multi: each different list is a category of its own."
        f' Fix: multi = {{ {dumps(name)} = "," }} in [features]'
        for name in lists
        if name in names
    ]


def _readable(description: Description, unreadable: list[str]) -> Description | None:
    """Return the description without the tables that cannot be read, and without the optional columns that the log lacks.

    None where the log cannot be read, or lacks a column that a log needs.
    """
    head = log_header(description)
    if head is None:
        return None
    lacking = {where for where, theirs in log_columns(description).items() if theirs not in head.names}
    needed = ("user_id", "item_id", "timestamp", "action")
    if any(f"source.columns.{ours}" in lacking for ours in needed):
        return None
    absent = {ours: None for ours in description.columns.named() if f"source.columns.{ours}" in lacking}
    events = description.events
    if events is not None:
        feedback = tuple(
            entry.model_copy(update={"value": None}) if f"source.feedback.{entry.name}.value" in lacking else entry
            for entry in events.feedback
        )
        events = events.model_copy(update={"feedback": feedback})
    return replace(
        description,
        users=None if USERS in unreadable else description.users,
        items=None if ITEMS in unreadable else description.items,
        columns=description.columns.model_copy(update=absent),
        feedback=tuple(entry for entry in description.feedback if feedback_files(entry).role not in unreadable),
        events=events,
    )


def _log(sampler: _Sampler, folder: Path) -> Typed | None:
    """Read the log, then what belongs to it, and write all of it. Return the impressions; None where there are none."""
    rows = sampler.attempt(lambda: _rows(sampler))
    if rows is None:
        return None
    read = sampler.attempt(lambda: _impressions(sampler, rows))
    if read is None:
        return None
    impressions, feedback = read
    for role, table in ((USERS, sampler.description.users), (ITEMS, sampler.description.items)):
        entities = sampler.attempt(lambda role=role, table=table: _entities(sampler, role, table, impressions))  # type: ignore[misc]
        write_entities(sampler.con, folder / role, role, entities, impressions.type(role_key(role)), _FINGERPRINT)
    for place, options in enumerate(sampler.description.feedback):
        joined = sampler.attempt(lambda place=place, options=options: _feedback(sampler, place, options, impressions))  # type: ignore[misc]
        if joined is not None:
            feedback[options.name] = joined
    write_events(sampler.con, folder / EVENTS, sampler.description, impressions, feedback, None, _FINGERPRINT)
    return impressions


def _rows(sampler: _Sampler) -> Typed:
    """Read the rows of the log. Where its times seem to have another unit, go on with that unit, so that its other problems show."""
    staged = sampler.stage(sampler.description.log, "staged_log", stamp=sampler.description.columns.timestamp)
    columns = log_table_columns(sampler.con, staged, sampler.description, sampler.reading)
    day = day_of_micros(moment_of(columns), sampler.description.time.zone)
    problems, unit = row_problems(sampler.con, staged, columns, max_bad=sampler.reading.max_bad, day=day)
    sampler.row_problems += map(str, problems)
    if problems and unit is not None:
        time = sampler.description.time.model_copy(update={"unit": unit, "format": None})
        sampler.description = replace(sampler.description, time=time)
        columns = log_table_columns(sampler.con, staged, sampler.description, sampler.reading)
    return typed(sampler.con, staged, columns, max_bad=1, keep=sampler.description.events is not None)[0]


def _impressions(sampler: _Sampler, rows: Typed) -> tuple[Typed, dict[str, Joined]]:
    kept, options = count_events(sampler.con, rows), sampler.description.events
    if options is None:
        sampler.note(rows.staged, str(account_of(rows, kept)))
        return rows, {}
    parted = part(sampler.con, rows, options)
    orphans = f"of {parted.actions:,} different actions {parted.orphans:,} follow no view" if parted.orphans else None
    sampler.note(rows.staged, str(parted.account), orphans)
    return parted.impressions, dict(parted.feedback)


def _entities(sampler: _Sampler, role: str, table: TableFiles | None, impressions: Typed) -> Typed | None:
    if table is None:
        return None
    staged = sampler.stage(table, f"staged_{role}")
    columns = entity_columns(sampler.con, staged, sampler.description, sampler.reading, impressions.type(role_key(role)))
    entities = sampler.type(staged, columns)
    count_entities(sampler.con, entities)
    covered, doubt = coverage(sampler.con, entities, impressions)
    sampler.note(staged, covered)
    if doubt is not None and staged.is_whole:
        sampler.doubts.append(f"{role}: {doubt}")
    return entities


def _feedback(sampler: _Sampler, place: int, options: FeedbackOptions, impressions: Typed) -> Joined:
    stamp = options.timestamp or sampler.description.columns.timestamp
    staged = sampler.stage(feedback_files(options), f"staged_feedback_{place}", stamp=stamp)
    actions = sampler.type(staged, action_columns(sampler.con, staged, options, sampler.description, key_types(impressions)))
    joined = join(sampler.con, actions, shown_by(impressions, options.on), options)
    sampler.note(staged, f"of {joined.actions:,} different actions {joined.unmatched:,} match no impression within {options.within}")
    log = impressions.staged
    is_as_in_a_run = log.is_whole and staged.is_whole and impressions.quarantined <= sampler.reading.max_bad * log.rows
    if is_as_in_a_run and joined.unmatched == joined.actions > 0:
        sampler.doubts.append(
            f"{staged.role}: found none of {joined.actions:,} actions that matches an impression, expected most: it has no value on any"
            f" impression. Fix: write {', '.join(options.on)} and the times as in the log, or name a longer within"
        )
    return joined
