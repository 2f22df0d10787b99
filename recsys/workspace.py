"""The names of the folders and files in a workspace that more than one room knows, the days that a folder of days holds, and its borders.

What lies where is drawn in docs/architecture.md, "Files in the workspace".
"""

import errno
import os
from pathlib import Path

from recsys.config import Split
from recsys.errors import ArtifactError

EVENTS, USERS, ITEMS, QUARANTINE = "events", "users", "items", "quarantine"
EXAMPLES, STATE, ENCODED, RUNS, RAW = "examples", "state", "encoded", "runs", "raw"
LEARNED = "learned"  # states of days that a training in time order has learned
PREDICTED, JUDGED = "predicted", "judged"  # in a folder of LEARNED: days as they were predicted before they were learned, and their metrics
JOURNALS = "journals"  # in a folder of LEARNED: the lines of a run's journal about each day
PROGRESSIVE = "progressive.parquet"  # the same metrics, of all days up to a run's
HEALTH, HEALTH_ROWS, HEALTH_PAGE = "health", "health.parquet", "health.html"
MODELS, REGISTRY = "models", "registry.jsonl"  # which run's model is the current one; the second lies in the first
SWEEPS, AFFINITY, BACKTESTS = "sweeps", "affinity", "backtests"

LOCKS = ".locks"  # who writes which place of the pipeline's folder

PART = "part-0.parquet"  # the rows of a table, or of one of its days
ENCODED_PART = "part-0.arrow"  # the rows of an encoded day
ENCODER = "encoder"

CONFIG = "config.json"  # what the run stands for
MODEL, INSIDE, CHECKPOINT, JOURNAL = "model", "inside.json", "checkpoint", "training.jsonl"  # inside.json lies in model/
LEARNED_DAYS = "learned.json"  # it too: the last day whose labels the weights know
PREDICTIONS = "predictions.parquet"
TRACKED = "tracked.json"  # where the run stands in a store of runs
TRACKING = "tracking.json"  # what tells the runs of this pipeline's folder from those of other machines in such a store
UNCALIBRATED = "uncalibrated.parquet"  # the predictions before calibration, where they are calibrated
CALIBRATION = "calibration.json"
CALIBRATION_CHANGE = "calibration.parquet"  # what calibration changed, in the form of metrics.parquet
METRICS = "metrics.parquet"
IMPORTANCE = "importance.parquet"
REPORT = "report.html"
FUSION = "fusion.toml"

_DAY = "day="


def file_in_the_way(folder: Path) -> Path | None:
    """Return the file that stands where a folder, or one of the folders above it, is to be; None where a folder can be there."""
    there = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), None)
    return None if there is None or there.is_dir() else there


def require_inside(folder: Path, workspace: Path) -> None:
    """Raise ArtifactError where a pipeline's folder, or anything in it, is a link that leads out of the workspace.

    What is written or removed there would be somebody else's. The workspace as a whole may be a link, and links may lead around in it. Also
    raise it where a file stands in the folder's place.
    """
    if folder.is_file():
        raise ArtifactError(f"{folder}: found a file, expected the folder of a pipeline. Fix: move it, or name another --workspace")
    root, waiting, seen = Path(os.path.realpath(workspace)), [folder], set[Path]()
    while waiting:
        place = waiting.pop()
        target = Path(os.path.realpath(place))
        if not target.is_relative_to(root):
            raise ArtifactError(
                f"{place}: found a link to {target}, expected nothing that leads out of the workspace. Fix: remove the link; to keep a"
                " workspace on another disk, link the workspace as a whole"
            )
        if target not in seen:
            seen.add(target)
            waiting += _links_and_folders(target)


def _links_and_folders(folder: Path) -> list[Path]:
    """Return what in a folder may lead elsewhere; nothing of a file, or of a folder that another job has just removed."""
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.is_symlink() or entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return []


def day_folder(folder: Path, day: str) -> Path:
    """Return the partition of an ISO day in a folder of days."""
    return folder / f"{_DAY}{day}"


def day_of(name: str) -> str | None:
    """Return the ISO day of a partition's name, or of a path that begins with one; None of any other name."""
    first = name.partition("/")[0]
    return first.removeprefix(_DAY) if first.startswith(_DAY) else None


def days_in(folder: Path) -> list[str]:
    """Return the ISO days that a folder of days holds, in order."""
    return sorted(path.name.removeprefix(_DAY) for path in folder.glob(f"{_DAY}*"))


def days_of(split: Split, folder: Path, *parts: str) -> list[str]:
    """Return the ISO days of these parts of the split that a folder of days holds: part by part, each in order."""
    there = set(days_in(folder))
    return [day for part in parts for day in split.days(part) if day in there]
