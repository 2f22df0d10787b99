"""What every kind of source comes down to: one log by column mapping, with its users, items and feedback."""

from dataclasses import dataclass
from pathlib import Path

from recsys import schema
from recsys.config import Columns, FeedbackOptions, TimeOptions
from recsys.errors import ConfigError
from recsys.sources.staging import TableFiles

LOG, USERS, ITEMS = "log", "users", "items"


@dataclass(frozen=True)
class Description:
    log: TableFiles
    users: TableFiles | None
    items: TableFiles | None
    columns: Columns
    time: TimeOptions
    feedback: tuple[FeedbackOptions, ...] = ()

    def __post_init__(self) -> None:
        """Raises ConfigError where feedback has a name twice or is joined on what the log does not have."""
        problems = []
        names = [feedback.name for feedback in self.feedback]
        problems += [
            f"source.feedback: found the name {name} more than once" for name in sorted({name for name in names if names.count(name) > 1})
        ]
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
        """Every table, feedback included, by its role."""
        entities = [table for table in (self.users, self.items) if table is not None]
        return [self.log, *entities, *(feedback_files(feedback) for feedback in self.feedback)]

    def key(self, role: str) -> tuple[str, str]:
        """Of users or items: our name of the key, and the log's."""
        return (schema.USER_ID, self.columns.user_id) if role == USERS else (schema.ITEM_ID, self.columns.item_id)


def feedback_files(feedback: FeedbackOptions) -> TableFiles:
    return TableFiles(f"feedback {feedback.name}", (Path(feedback.file),))


def feedback_columns(feedback: FeedbackOptions, columns: Columns) -> dict[str, str]:
    """TOML key → the column of the feedback's file that it stands for."""
    named = columns.named()
    needed = {f"source.columns.{ours}": named[ours] for ours in feedback.on}
    where = f"source.feedback.{feedback.name}"
    needed[f"{where}.timestamp"] = feedback.timestamp or columns.timestamp
    return needed | ({f"{where}.value": feedback.value} if feedback.value else {})
