"""Find and remove what no run needs any more: examples, their state, encoded days and learned states of configs whose runs are gone.

A run is never removed here. Whoever wants to be rid of one deletes its folder; what it alone needed is then found by the next pruning.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from recsys import artifacts, locks
from recsys.progress import Console
from recsys.stages import encoded_of, examples_of, known_config, learned_of, stored_pipeline
from recsys.stages.room import said
from recsys.workspace import ENCODED, EXAMPLES, LEARNED, RUNS, STATE

_TOGETHER = ((EXAMPLES, STATE), (ENCODED,), (LEARNED,))  # kinds of folders that have one name, and are made and removed together
_NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class Unneeded:
    """The folders of one fingerprint."""

    folders: tuple[Path, ...]
    size: int  # bytes
    written_ms: int  # since 1970 UTC, of the last write

    def __str__(self) -> str:
        day = datetime.fromtimestamp(self.written_ms / 1000, UTC).date()
        return f"{' and '.join(map(str, self.folders))}: {said(self.size)}, last written {day}"


def prune(folder: Path, keep_ms: int, *, remove: bool, wait: bool, console: Console) -> None:
    """Show what no run in a pipeline's folder needs and nobody has written to for `keep_ms`; remove it where asked to.

    Raises InUseError where it is to be removed and a job works in the folder, unless told to wait: the job may need what no run needs yet.
    """
    if not folder.is_dir():
        console.say(f"prune: {folder}: no such folder, so there is nothing to remove. --workspace says where it is")
        return
    if not remove:
        _say(unneeded(folder, keep_ms), console, "with --yes it is removed")
        return
    with locks.at_work(folder, alone=True, wait=wait, console=console):
        found = unneeded(folder, keep_ms)
        for path in (path for group in found for path in group.folders):
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            os.rename(path, old)
        locks.remove_leftovers_in(folder)  # what has just been renamed, and what dead jobs have left
        _say(found, console, "removed")


def unneeded(folder: Path, keep_ms: int) -> list[Unneeded]:
    """Return what no run needs and nobody has written to for so long. Raises ArtifactError where a manifest of a run is damaged."""
    needed, found = _needed(folder), []
    for kinds in _TOGETHER:
        for name in _names(folder, *kinds):
            if name not in needed:
                found.append(_measured([folder / kind / name for kind in kinds if _is_folder(folder / kind / name)]))
    latest = time.time_ns() // _NS_PER_MS - keep_ms
    return [group for group in found if group.written_ms <= latest]


def _names(folder: Path, *kinds: str) -> list[str]:
    """Return the names of the real folders of these kinds. Hidden ones, files and links are never removed."""
    return sorted({path.name for kind in kinds for path in (folder / kind).glob("[!.]*") if _is_folder(path)})


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _needed(folder: Path) -> set[str]:
    """Return the names of the folders that any run needs: those that its files were made from, and those that its config leads to.

    A model names its encoded days and not their examples. So all examples stay where the config of a run that has files cannot be read.
    """
    names = set[str]()
    for run in (path for path in (folder / RUNS).glob("[!.]*") if path.is_dir()):  # a run may be a link: it was moved within the workspace
        manifests = [manifest for target in artifacts.targets(run) if (manifest := artifacts.manifest(target)) is not None]
        names.update(made_from.partition("/")[0] for manifest in manifests for made_from in manifest.inputs)
        of_config = _of_config(folder, run)
        names.update(_names(folder, EXAMPLES, STATE) if manifests and not of_config else of_config)
    return names


def _of_config(folder: Path, run: Path) -> set[str]:
    """Return the names of the folders that a run's config leads to; none where it has no config of this version."""
    config = known_config(run)
    if config is None:
        return set()
    try:
        pipeline = stored_pipeline(config)
    except ValidationError:
        return set()
    examples = examples_of(pipeline, folder)
    encoded = encoded_of(pipeline, folder, examples)
    return {examples.name, encoded.name, learned_of(pipeline, folder, encoded).name}


def _measured(folders: list[Path]) -> Unneeded:
    size, written_ns = 0, 0
    for path in (path for folder in folders for path in _all_in(folder)):
        with contextlib.suppress(FileNotFoundError):  # another job may be at work while this is only shown
            state = path.lstat()
            size, written_ns = size + state.st_size, max(written_ns, state.st_mtime_ns)
    return Unneeded(tuple(folders), size, written_ns // _NS_PER_MS)


def _all_in(folder: Path) -> Iterator[Path]:
    yield folder
    for place, folders, files in os.walk(folder):
        yield from (Path(place) / name for name in (*folders, *files))


def _say(found: list[Unneeded], console: Console, what: str) -> None:
    for group in found:
        console.say(f"prune: {group}")
    total = said(sum(group.size for group in found))
    console.say(f"prune: {total} in all; {what}" if found else "prune: nothing that no run needs")
