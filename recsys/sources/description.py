"""The common description of every kind of source: one log by column mapping, with its users, items and feedback."""

from dataclasses import dataclass
from pathlib import Path

from recsys import schema
from recsys.config import EventsSource, FeedbackOptions, FileFormat, LogColumns, SideFormat, TableSource, TimeOptions
from recsys.config.forms import ALIKE, alike
from recsys.errors import ConfigError
from recsys.sources.staging import TableFiles

LOG, USERS, ITEMS = "log", "users", "items"


@dataclass(frozen=True)
class Description:
    log: TableFiles
    users: TableFiles | None
    items: TableFiles | None
    columns: LogColumns
    time: TimeOptions
    feedback: tuple[FeedbackOptions, ...] = ()
    events: EventsSource | None = None  # where each row of the log is one action

    def __post_init__(self) -> None:
        """Raise ConfigError where two feedbacks share a name or differ by case alone, or one is joined on no column of the log."""
        problems = []
        names = [feedback.name for feedback in self.feedback]
        problems += [
            f"source.feedback: found the name {name} more than once" for name in sorted({name for name in names if names.count(name) > 1})
        ]
        problems += [f"source.feedback: found {', '.join(same)}, {ALIKE}"] if (same := alike(names)) else []
        for feedback in self.feedback:
            if not feedback.on:
                problems.append(f"source.feedback.{feedback.name}.on: found no column, expected some of user_id, item_id, request_id")
            if schema.REQUEST_ID in feedback.on and self.columns.request_id is None:
                problems.append(
                    f"source.feedback.{feedback.name}.on: found request_id, which source.columns does not name. Fix: name it there"
                )
        if problems:
            raise ConfigError(problems)

    def tables(self) -> list[TableFiles]:
        """Return every table, feedback included. Each carries its role."""
        entities = [table for table in (self.users, self.items) if table is not None]
        return [self.log, *entities, *(feedback_files(feedback) for feedback in self.feedback)]

    def feedback_names(self) -> list[str]:
        return [feedback.name for feedback in (self.events.feedback if self.events else self.feedback)]

    def value_columns(self) -> dict[str, str]:
        """Return the columns of an event log that hold the value of an action, as TOML key → column."""
        feedback = self.events.feedback if self.events else ()
        return {f"source.feedback.{entry.name}.value": entry.value for entry in feedback if entry.value is not None}

    def key(self, role: str) -> tuple[str, str]:
        """Return our name for the key of users or items, and the log's name for it."""
        return (schema.USER_ID, self.columns.user_id) if role == USERS else (schema.ITEM_ID, self.columns.item_id)

    def told_key(self, role: str) -> str | None:
        """Return the name that the TOML says the key of users or items has in their files."""
        table = self.users if role == USERS else self.items
        return table.written.key if table is not None and isinstance(table.written, SideFormat) else None


def mapped(options: TableSource | EventsSource) -> Description:
    """Describe the log, users and items that the TOML names, with its columns and times, but without any feedback."""

    def files(role: str, path: Path | None) -> TableFiles | None:
        written: FileFormat = getattr(options.format, role)
        return None if path is None else TableFiles(role, (path,), written=written, key=f"source.format.{role}")

    log, users, items = files(LOG, options.log), files(USERS, options.users), files(ITEMS, options.items)
    assert log is not None
    return Description(log, users, items, options.columns, options.time)


def feedback_files(feedback: FeedbackOptions) -> TableFiles:
    key = f"source.feedback.{feedback.name}.format"
    return TableFiles(f"feedback {feedback.name}", (Path(feedback.file),), written=feedback.format, key=key)


def feedback_columns(feedback: FeedbackOptions, columns: LogColumns) -> dict[str, str]:
    """Return the columns that the feedback's file must have, as TOML key → column."""
    named = columns.named()
    needed = {f"source.columns.{ours}": named[ours] for ours in feedback.on}
    where = f"source.feedback.{feedback.name}"
    needed[f"{where}.timestamp"] = feedback.timestamp or columns.timestamp
    return needed | ({f"{where}.value": feedback.value} if feedback.value else {})
