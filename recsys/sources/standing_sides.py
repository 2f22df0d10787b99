"""Read users and items of a log that has been read before: new snapshots alone, or all files. What has not changed is taken over."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from recsys import artifacts
from recsys.config import DAY
from recsys.sources.description import ITEMS, USERS, Description
from recsys.sources.entities import entities_schema, role_key
from recsys.sources.ingestion import entities_of, say_first_snapshot, take_over, write_entities
from recsys.sources.input_files import InputFile
from recsys.sources.intake import Intake
from recsys.sources.ledger import Ledger, NotAloneError, Seen, new_ones, others
from recsys.sources.refusals import Typed
from recsys.sources.staging import TableFiles
from recsys.workspace import PART, day_folder, days_in

Sides = Mapping[str, Typed | None]  # role → what was read of it; without the roles that stay


class StandingSides:
    """Compare users and items as they stand in a pipeline's folder with the files that there are now, and bring them forward."""

    def __init__(self, folder: Path, description: Description, ledger: Ledger, seen: Seen, events: pa.Schema) -> None:
        """`events` are the columns of events/. Raise NotAloneError where one has changed of which quarantine/ holds rows."""
        self._folder, self._ledger, self._seen = folder, ledger, seen
        self._tables: dict[str, TableFiles | None] = {USERS: description.users, ITEMS: description.items}
        self._key_types = {role: events.field(role_key(role)).type for role in self._tables}
        changed = [role for role in self._tables if ledger.files.get(role, []) != seen.get(role, [])]
        if refusing := [role for role in changed if ledger.refused.get(role)]:
            raise NotAloneError(f"{refusing[0]} has changed, and quarantine/ holds rows of it")
        self._new = {role: self._new_snapshots(role) for role in changed}

    def _new_snapshots(self, role: str) -> list[InputFile]:
        """Return the new files that can be read alone: only snapshots of new days have come. Else none."""
        table, standing = self._tables[role], set(days_in(self._folder / role))
        new = None if table is None else self._ledger.new_files(table, self._seen)
        return new if new and standing and not standing.intersection(file.day or "" for file in new) else []

    def read(self, intake: Intake) -> dict[str, Typed | None]:
        """Read what has changed. Raise NotAloneError where new snapshots have another form than those that stand."""
        return {role: self._read(intake, role, new) for role, new in self._new.items()}

    def _read(self, intake: Intake, role: str, new: Sequence[InputFile]) -> Typed | None:
        table, key_type = self._tables[role], self._key_types[role]
        if table is None or not new:
            if table is not None:
                intake.console.say(f"{role}: {_why_all(table, role)}")
            return entities_of(intake, role, table, key_type, None)
        entities = entities_of(intake, role, new_ones(table, new), key_type, None, others(table, new))
        assert entities is not None
        self._ledger.require_form(entities)
        standing = day_folder(self._folder / role, days_in(self._folder / role)[0]) / PART
        if not entities_schema(entities, role_key(role), key_type).equals(artifacts.read_schema(standing).remove_metadata()):
            raise NotAloneError(f"new files of {role} have other columns or types than those that were read")
        return entities

    def write(self, intake: Intake, read: Sides, fingerprint: str, first_day: str) -> None:
        """Write what was read, new snapshots beside those that stand. What has not changed counts as made from the present files.

        `first_day` is the first ISO day of events/.
        """
        for role, key_type in self._key_types.items():
            target = self._folder / role
            if role not in read:
                take_over(target, fingerprint)
                continue
            standing = artifacts.require_manifest(target).files if self._new[role] else ()
            write_entities(intake.con, target, role, read[role], key_type, fingerprint, list(standing))
            if not self._new[role]:
                say_first_snapshot(target, first_day, intake.console)


def _why_all(table: TableFiles, role: str) -> str:
    """Return in words why all files of users or items are read, and what that means."""
    if any(file.day for file in table.files()):
        return "snapshots that were read have changed, or are others: all are read again"
    return f"changed, and all days take what stands there now. Fix, where that takes long: a file per day, and {DAY} in source.{role}"
