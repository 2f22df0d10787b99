"""The room on the disk that a stage needs: an estimate of what it writes.

What this pipeline has written of other days tells best what it will write. Before there is any, ratios that other feeds had do
(docs/reliability.md, "Room on the disk"); a feed may need a tenth of that, so they only warn.
"""

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from recsys import artifacts
from recsys.errors import ArtifactError
from recsys.progress import Console
from recsys.workspace import day_folder, day_of, days_in

_UNITS = {"GB": 10**9, "MB": 10**6, "kB": 10**3}
_CERTAIN = 0.5  # of an estimate from days of the same config, because days differ


@dataclass(frozen=True)
class Room:
    """A number of bytes that a stage is expected to take, and whether days of the same config tell so."""

    needed: int = 0
    measured: bool = False


def require_room(folder: Path, room: Room, stage: str, console: Console) -> None:
    """Warn where the disk of a folder has less room than is expected to be needed; raise ArtifactError where it is sure not to do."""
    free = shutil.disk_usage(folder).free
    if free >= room.needed:
        return
    found = f"{folder}: found {said(free)} free on its disk, expected about {said(room.needed)} or more for the stage {stage}"
    fix = "make room (recsys prune shows what no run needs), or --workspace on another disk"
    if room.measured and free < _CERTAIN * room.needed:
        raise ArtifactError(f"{found}. Fix: {fix}")
    console.say(f"warning: {found}; where it does not do, {fix}")


def said(size: int) -> str:
    """Return a number of bytes in words: 1.2 GB, 12 kB, 3 bytes."""
    for unit, bytes_of in _UNITS.items():
        if size >= bytes_of:
            return f"{size / bytes_of:.3g} {unit}"
    return f"{size} bytes"


def by_day(read: Mapping[str, int], written: Mapping[str, int], stale: Collection[str], ratio: float) -> Room:
    """Return what the stale days will take beyond what already stands of them, for each day is written in the place of an older one.

    `read`, `written`: day → bytes that it is made from, and that stand of it. `ratio`: bytes written per byte read, where no day stands.
    """
    standing = [day for day in written if read.get(day) and day not in stale]
    if standing:
        ratio = sum(written[day] for day in standing) / sum(read[day] for day in standing)
    needed = ratio * sum(read.get(day, 0) for day in stale) - sum(written.get(day, 0) for day in stale)
    return Room(max(0, int(needed)), measured=bool(standing))


def sizes(folder: Path) -> dict[str, int]:
    """Return day → the bytes of its artifact, of the days that stand in a folder of days."""
    found = {day: artifacts.manifest(day_folder(folder, day)) for day in days_in(folder)}
    return {day: sum(entry["bytes"] for entry in manifest.files.values()) for day, manifest in found.items() if manifest is not None}


def sizes_in(artifact: Path) -> dict[str, int]:
    """Return day → the bytes of its files in one artifact that holds all days."""
    manifest, found = artifacts.manifest(artifact), dict[str, int]()
    for name, entry in manifest.files.items() if manifest else ():
        if (day := day_of(name)) is not None:
            found[day] = found.get(day, 0) + entry["bytes"]
    return found
