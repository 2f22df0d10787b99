"""The room on the disk that a stage needs: an estimate, from below, of what it writes. A refusal is sure to have been a full disk.

What a pipeline has written tells best what it will write. Where nothing stands yet, ratios of the smallest of three feeds do
(docs/reliability.md, "Room on the disk").
"""

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from recsys import artifacts
from recsys.errors import ArtifactError
from recsys.workspace import day_folder, day_of, days_in

_UNITS = {"GB": 10**9, "MB": 10**6, "kB": 10**3}


def require_room(folder: Path, needed: int, stage: str) -> None:
    """Raise ArtifactError where the disk of a folder has not as many bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ArtifactError(
            f"{folder}: found {said(free)} free on its disk, expected {said(needed)} or more for the stage {stage}."
            " Fix: make room (recsys prune shows what no run needs), or --workspace on another disk"
        )


def said(size: int) -> str:
    """Return a number of bytes in words: 1.2 GB, 12 kB, 3 bytes."""
    for unit, bytes_of in _UNITS.items():
        if size >= bytes_of:
            return f"{size / bytes_of:.3g} {unit}"
    return f"{size} bytes"


def by_day(read: Mapping[str, int], written: Mapping[str, int], stale: Collection[str], ratio: float) -> int:
    """Return the bytes that the stale days will take. `read`, `written`: day → bytes that it is made from, and that stand of it.

    Days that stand tell how many bytes are written per byte that is read; where none does, `ratio` tells.
    """
    standing = [day for day in written if read.get(day) and day not in stale]
    if standing:
        ratio = sum(written[day] for day in standing) / sum(read[day] for day in standing)
    return int(ratio * sum(read.get(day, 0) for day in stale))


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
