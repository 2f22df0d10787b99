"""Note what has been read of a source: its files, and what new files of the log must respect so that they can be read alone.

The note stands in the manifest of events/.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from recsys import artifacts
from recsys.sources.description import Description
from recsys.sources.input_files import InputFile, short_names, states
from recsys.sources.refusals import Typed
from recsys.sources.staging import TableFiles
from recsys.workspace import EVENTS, ITEMS, QUARANTINE, USERS

_KEY = "ledger"  # in the manifest's config
FileState = list[Any]  # of `input_files.states`: name, size, time of change, and what the path tells
Seen = Mapping[str, Sequence[FileState]]  # role of a table → its files, as they were when the reading began


class NotAloneError(Exception):
    """Say why new files cannot be read alone."""


@dataclass(frozen=True)
class Ledger:
    """Say what was read with `options`, which stand for those of the stage. Dictionaries go by the role of a table.

    `forms`: how the files are written (`Staged.form`). `refused`: the number of rows in quarantine. `last_actions`: the last action of a
    feedback, by its name (microseconds since 1970 UTC; None: it has none). `whole_milliseconds`: whether no impression has a fraction of a
    millisecond, which events/ does not hold.
    """

    options: str
    files: Seen
    forms: Mapping[str, Mapping[str, Any]]
    refused: Mapping[str, int]
    last_actions: Mapping[str, int | None]
    whole_milliseconds: bool

    def config(self) -> dict[str, Any]:
        """Return what goes into the manifest of events/."""
        return {_KEY: asdict(self)}

    def new_files(self, table: TableFiles, seen: Seen) -> list[InputFile] | None:
        """Return the files of a table that were not read; None where one that was read is another now, is gone, or has another name."""
        known = {state[0]: state for state in self.files.get(table.role, [])}
        now = {state[0]: state for state in seen[table.role]}
        if any(now.get(name) != state for name, state in known.items()):
            return None
        files = table.files()
        return [file for file, name in zip(files, short_names(files), strict=True) if name in now and name not in known]

    def require_form(self, table: Typed) -> None:
        """Raise NotAloneError where new files are written otherwise than those that were read."""
        known = self.forms.get(table.staged.role, {})
        for what, found in table.staged.form.items():
            if known.get(what) != found:
                raise NotAloneError(f"new files of {table.staged.role} have other {what} than those that were read")


def new_ones(table: TableFiles, new: Sequence[InputFile]) -> TableFiles:
    """Return the table of these files alone."""
    return replace(table, only=frozenset(file.path for file in new))


def others(table: TableFiles, new: Sequence[InputFile]) -> list[InputFile]:
    """Return the other files of a table."""
    paths = {file.path for file in new}
    return [file for file in table.files() if file.path not in paths]


def seen_files(description: Description) -> Seen:
    """Return the files of each table. They are looked at before they are read: what comes meanwhile is new the next time."""
    return {table.role: states(table.files()) for table in description.tables()}


def forms_of(tables: Sequence[Typed]) -> dict[str, Mapping[str, Any]]:
    return {table.staged.role: table.staged.form for table in tables}


def refused_of(tables: Sequence[Typed]) -> dict[str, int]:
    return {table.staged.role: table.quarantined for table in tables}


def read_ledger(folder: Path, options: str) -> Ledger | None:
    """Return the ledger of what stands in a pipeline's folder; None where it was made with other options, or does not stand as a whole."""
    names = (EVENTS, USERS, ITEMS, QUARANTINE)
    manifests = {name: artifacts.manifest(folder / name) for name in names}
    events = manifests[EVENTS]
    if events is None or not all(artifacts.is_fresh(folder / name, events.fingerprint) for name in names):
        return None
    found = events.config.get(_KEY)
    return Ledger(**found) if found is not None and found["options"] == options else None
