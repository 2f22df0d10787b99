"""What has been read of a source: its files, and what new files of the log must respect so that they can be read alone.

It stands in the manifest of events/.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recsys import artifacts
from recsys.sources.description import LOG, Description
from recsys.sources.feedback import Joined
from recsys.sources.input_files import InputFile, short_names
from recsys.sources.staging import TableFiles
from recsys.workspace import EVENTS, ITEMS, QUARANTINE, USERS

_KEY = "ledger"  # in the manifest's config
FileState = list[Any]  # path, size, time of change in nanoseconds


@dataclass(frozen=True)
class Ledger:
    """`options` stands for the options of the stage. `files`: role of a table → the states of its files, in the order of their paths."""

    options: str
    files: Mapping[str, Sequence[FileState]]
    last_actions: Mapping[str, int | None]  # name of a feedback → its last action (microseconds since 1970 UTC); None: it has none
    whole_milliseconds: bool  # whether no impression has a fraction of a millisecond, which events/ does not hold

    @staticmethod
    def of(options: str, description: Description, feedback: Mapping[str, Joined], *, whole_milliseconds: bool) -> "Ledger":
        files = {table.role: states(table.files()) for table in description.tables()}
        return Ledger(options, files, {name: joined.last for name, joined in feedback.items()}, whole_milliseconds)

    def config(self) -> dict[str, Any]:
        """Return what goes into the manifest of events/."""
        return {_KEY: asdict(self)}

    def has(self, table: TableFiles | None, role: str) -> bool:
        """Return whether the files of a table are those that were read, and no others. None: the source has no such table."""
        return (self.files.get(role) or []) == ([] if table is None else states(table.files()))

    def new_files(self, table: TableFiles) -> list[InputFile] | None:
        """Return the files of a table that were not read; None where one that was read is another now, is gone, or has another name."""
        files = table.files()
        known = {state[0]: state for state in self.files.get(table.role, [])}
        now = dict(zip((str(file.path.resolve()) for file in files), states(files), strict=True))
        if any(now.get(path) != state for path, state in known.items()):
            return None
        old = [file for file in files if str(file.path.resolve()) in known]
        names = dict(zip(files, short_names(files), strict=True))
        if [names[file] for file in old] != (short_names(old) if old else []):
            return None  # quarantine/ names them otherwise
        return [file for file in files if file not in old]


def states(files: Sequence[InputFile]) -> list[FileState]:
    """Return path, size and time of change of each file."""
    found = [(file.path.resolve(), file.path.stat()) for file in files]
    return [[str(path), state.st_size, state.st_mtime_ns] for path, state in found]


def read_ledger(folder: Path, options: str) -> Ledger | None:
    """Return the ledger of what stands in a pipeline's folder; None where it was made with other options, or does not stand as a whole."""
    manifests = [artifacts.manifest(folder / name) for name in (EVENTS, USERS, ITEMS, QUARANTINE)]
    events = manifests[0]
    if events is None or len({manifest.fingerprint for manifest in manifests if manifest is not None}) != 1 or None in manifests:
        return None
    found = events.config.get(_KEY)
    return Ledger(**found) if found is not None and found["options"] == options else None


def is_of_log(role: str) -> bool:
    """Return whether a table is the log or a feedback of it, which grow by files; users and items are read as a whole."""
    return role == LOG or role.startswith("feedback ")
