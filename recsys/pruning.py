"""What no run needs any more: the examples, their state, and the encoded days of configs whose runs are gone.

A run is never removed here. Whoever wants to be rid of one deletes its folder; what it alone needed is then found by the next pruning.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from recsys import artifacts, locks
from recsys.config import Pipeline
from recsys.progress import Console
from recsys.stages import encoded_of, examples_of, known_config
from recsys.stages.room import said
from recsys.workspace import ENCODED, EXAMPLES, RUNS, STATE


@dataclass(frozen=True)
class Unneeded:
    """Folders that are made and removed together: those of one fingerprint."""

    folders: tuple[Path, ...]
    size: int  # bytes
    written: float  # seconds since 1970 UTC, of the last write

    def __str__(self) -> str:
        day = datetime.fromtimestamp(self.written, UTC).date()
        return f"{' and '.join(map(str, self.folders))}: {said(self.size)}, last written {day}"


def prune(folder: Path, keep_ms: int, *, remove: bool, wait: bool, console: Console) -> None:
    """Show what no run in a pipeline's folder needs and nobody has written to for `keep_ms`; remove it where asked to.

    Removing waits for no job unless told to: raises InUseError where any works in the folder, since that may need what no run needs yet.
    """
    if not remove:
        _say(unneeded(folder, keep_ms), console, "with --yes it is removed")
        return
    with locks.locked(folder, [*locks.places(folder), *_by_name(folder, EXAMPLES), *_by_name(folder, ENCODED)], wait=wait, console=console):
        found = unneeded(folder, keep_ms)
        for group in found:
            for path in group.folders:
                _remove(path)
        _say(found, console, "removed")


def unneeded(folder: Path, keep_ms: int) -> list[Unneeded]:
    """Return what no run needs and nobody has written to for so long. Raises ArtifactError where a manifest of a run is damaged."""
    needed = _needed(folder)
    found = []
    for kind, *others in ((EXAMPLES, STATE), (ENCODED,)):
        for place in _by_name(folder, kind, *others):
            if place.name not in needed:
                folders = tuple(path for path in (folder / one / place.name for one in (kind, *others)) if path.exists())
                found.append(_measured(folders))
    latest = datetime.now(UTC).timestamp() - keep_ms / 1000
    return [group for group in found if group.written <= latest]


def _by_name(folder: Path, *kinds: str) -> list[Path]:
    """Return one place for each fingerprint that has a folder of any of these kinds."""
    names = {path.name for kind in kinds for path in (folder / kind).glob("[!.]*")}
    return [folder / kinds[0] / name for name in sorted(names)]


def _needed(folder: Path) -> set[str]:
    """Return the names of the folders that any run needs: those that its files were made from, and those that its config leads to."""
    names = set[str]()
    for run in sorted((folder / RUNS).glob("[!.]*")):
        for target in artifacts.targets(run):
            manifest = artifacts.manifest(target)
            names.update(name.partition("/")[0] for name in (manifest.inputs if manifest else ()))
        names.update(_of_config(folder, run))
    return names


def _of_config(folder: Path, run: Path) -> Iterator[str]:
    config = known_config(run)
    if config is None:
        return
    try:
        pipeline = Pipeline.model_validate(config["pipeline"])
    except ValidationError:  # of an earlier version: its examples are made anew in any case
        return
    examples = examples_of(pipeline, folder)
    yield from (examples.name, encoded_of(pipeline, folder, examples).name)


def _measured(folders: tuple[Path, ...]) -> Unneeded:
    states = [path.stat() for folder in folders for path in (folder, *folder.rglob("*"))]
    return Unneeded(folders, sum(state.st_size for state in states), max(state.st_mtime for state in states))


def _remove(path: Path) -> None:
    """Remove a folder; one that dies meanwhile leaves a name that the next job removes."""
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    os.rename(path, old)
    shutil.rmtree(old)


def _say(found: list[Unneeded], console: Console, what: str) -> None:
    for group in found:
        console.say(f"prune: {group}")
    total = said(sum(group.size for group in found))
    console.say(f"prune: {total} in all; {what}" if found else "prune: nothing that no run needs")
