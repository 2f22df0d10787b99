"""The manifest of an artifact: the stage, options and inputs that made it, and the size and hash of each of its files."""

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath
from typing import Any

import pyarrow.parquet as pq

from recsys.errors import ArtifactError, short

MANIFEST = "_manifest.json"
_CHECKSUM = "checksum"
_TICK_NS = 1_000_000_000  # longer than the clock of any file system needs to move
_hashes: dict[tuple[int, int, int, int], str] = {}
_LIBRARIES = ("recsys", "pyarrow", "duckdb", "torch", "scikit-learn")


def fingerprint(value: Any) -> str:
    """Return 12 hex digits that stand for any JSON-able value (keys sorted; dates, paths and the like by their text)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class RowAccount:
    """The numbers of rows that were read, and what became of them. Raises ValueError where they do not add up.

    Only an event log has the last three.
    """

    read: int
    kept: int
    duplicate: int
    quarantined: int
    joined: int = 0  # actions that became the feedback of an impression
    repeated: int = 0  # further views of an item within a session
    ignored: int = 0

    def __post_init__(self) -> None:
        if self.read != sum(self._parts().values()):
            raise ValueError(f"the row account does not add up: {self}")

    def __str__(self) -> str:
        seldom = ("joined", "repeated", "ignored")
        shown = [f"{name} {rows:,}" for name, rows in self._parts().items() if rows or name not in seldom]
        return f"read {self.read:,} = {' + '.join(shown)}"

    def _parts(self) -> dict[str, int]:
        return {name: rows for name, rows in asdict(self).items() if name != "read"}


@dataclass(frozen=True)
class Manifest:
    """The contents and the origin of an artifact. It has no time of day; `config` may name files that were read, with their times."""

    stage: str
    fingerprint: str  # of everything the output depends on
    inputs: Mapping[str, str] = field(default_factory=dict)  # name → fingerprint
    config: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, int] | None = None  # the row account, where rows were accounted for
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # path → bytes, sha256, rows (parquet)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """A fingerprint of the bytes themselves: two artifacts with the same content are interchangeable as inputs."""
        return fingerprint({path: entry["sha256"] for path, entry in self.files.items()})

    @property
    def text(self) -> str:
        """The text of the manifest's file: its fields, and a checksum of them."""
        fields = asdict(self)
        return json.dumps({**fields, _CHECKSUM: fingerprint(fields)}, indent=1, sort_keys=True, default=str, ensure_ascii=False) + "\n"


def manifest(target: Path) -> Manifest | None:
    """Return the manifest of a folder or file artifact. Raise ArtifactError where it is damaged.

    Return None where nothing stands, and where an earlier version, whose manifests had no checksum, has left something.
    """
    place = place_of(target)
    if target.is_dir() and beside(target).is_file():
        raise ArtifactError(f"{target}: found a folder, expected the file that its manifest names. Fix: delete it and run again")
    try:
        fields = json.loads(place.read_text(encoding="utf-8"))
        checksum = fields.pop(_CHECKSUM, None)
        if checksum is None:
            return None
        if checksum != fingerprint(fields):
            raise ValueError("other text than its checksum says")
        found = Manifest(**fields)
        _require_form(found)
        return found
    except FileNotFoundError:
        return None
    except IsADirectoryError as error:
        raise ArtifactError(f"{place}: found a folder, expected a manifest. Fix: delete it and run again") from error
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{place}: found a damaged manifest ({short(str(error))}). Fix: delete it and run again") from error


def _require_form(found: Manifest) -> None:
    """Raise ValueError where a manifest, which may come from elsewhere, names no files of its folder with their sizes and hashes."""
    if not isinstance(found.files, dict) or not isinstance(found.inputs, dict):
        raise ValueError("no table of files or inputs")
    for name, entry in found.files.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("bytes"), int) or not isinstance(entry.get("sha256"), str):
            raise ValueError(f"no size and hash of {name}")
        if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
            raise ValueError(f"the file {name}, which is outside its folder")


def place_of(target: Path) -> Path:
    """Return the path of the manifest of a folder or file artifact."""
    return target / MANIFEST if target.is_dir() else beside(target)


def beside(target: Path) -> Path:
    """Return the path of the manifest of a one-file artifact."""
    return target.with_name(f"_manifest.{target.name}.json")


def versions() -> dict[str, str]:
    """Return the versions of the libraries that shape an output's bytes, for the manifest."""
    return dict(_versions())


@cache
def _versions() -> Mapping[str, str]:
    found = {}
    for library in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[library] = version(library)
    return found


def describe(path: Path, name: str) -> dict[str, Any]:
    """Return a file's entry in the manifest; `name` is the file's name once it is in place."""
    entry: dict[str, Any] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    if name.endswith(".parquet"):
        entry["rows"] = pq.read_metadata(path).num_rows
    return entry


def sha256(path: Path) -> str:
    """Return the hash of a file's bytes. A process reads them once, and again where the file was written since.

    The hash of a file that was written just now is not kept: a second write in the same tick of the clock would leave the time as it is.
    """
    status = path.stat()
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if key in _hashes:
        return _hashes[key]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time_ns() - status.st_mtime_ns > _TICK_NS:
        _hashes[key] = digest
    return digest
