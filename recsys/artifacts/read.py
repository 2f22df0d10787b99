"""The reading of artifacts: whether one is fresh, whether its bytes are those that its manifest names, and its tables and JSON."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.artifacts.manifests import Manifest, manifest, sha256
from recsys.errors import ArtifactError


def is_fresh(target: Path, fingerprint: str) -> bool:
    """Return whether `target` stands whole (every file, at its size) and was made from exactly what `fingerprint` stands for."""
    found = manifest(target)
    if found is None or found.fingerprint != fingerprint:
        return False
    folder = target if target.is_dir() else target.parent
    return all((folder / name).is_file() and (folder / name).stat().st_size == entry["bytes"] for name, entry in found.files.items())


def verify(target: Path) -> Manifest:
    """Compare every byte of an artifact with its manifest, and return the manifest.

    Raise ArtifactError where there is no manifest, or where a file differs; it names the first such file.
    """
    found = manifest(target)
    if found is None:
        raise ArtifactError(f"{target}: found no artifact with a manifest, expected the output of an earlier stage. Fix: run that stage")
    folder = target if target.is_dir() else target.parent
    for name, entry in found.files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(
                f"{path}: found no such file, expected {entry['bytes']:,} bytes by its manifest. Fix: delete {target} and run again"
            )
        if path.stat().st_size != entry["bytes"] or sha256(path) != entry["sha256"]:
            raise ArtifactError(
                f"{path}: found other bytes than its manifest says (sha256 {entry['sha256'][:12]}…). Fix: delete {target} and run again"
            )
    return found


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a parquet file, or a folder of them, as one table. Raise ArtifactError where it cannot be read."""
    try:
        return pq.read_table(path, columns=columns, partitioning=None)
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path}: cannot be read as parquet ({error}). Fix: delete it and run the stage again") from error


def read_schema(path: Path) -> pa.Schema:
    """Return the schema of one parquet file. Raise ArtifactError where it cannot be read."""
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path}: cannot be read as parquet ({error}). Fix: delete it and run the stage again") from error


def read_json(path: Path) -> Any:
    """Return what `write_json` wrote; None where there is nothing. Raise ArtifactError where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: found a file that is not JSON ({error}). Fix: delete it and run again") from error
