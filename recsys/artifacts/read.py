"""The reading of artifacts: whether one is fresh, whether its bytes are those that its manifest names, and its tables and JSON."""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.artifacts.manifests import MANIFEST, Manifest, beside, manifest, sha256
from recsys.errors import ArtifactError, short


def is_fresh(target: Path, fingerprint: str) -> bool:
    """Return whether `target` stands whole (every file, at its size) and was made from exactly what `fingerprint` stands for."""
    found = manifest(target)
    if found is None or found.fingerprint != fingerprint:
        return False
    folder = _folder(target)
    return all((folder / name).is_file() and (folder / name).stat().st_size == entry["bytes"] for name, entry in found.files.items())


def verify(target: Path) -> Manifest:
    """Compare every byte of an artifact with its manifest, and return the manifest.

    Raise ArtifactError where there is no manifest, or where a file differs; it names the first such file.
    """
    found = require_manifest(target)
    for name in found.files:
        _compare(target, found, name)
    return found


def require_manifest(target: Path) -> Manifest:
    """Return the manifest of an artifact. Raise ArtifactError where there is none, or where it is damaged."""
    found = manifest(target)
    if found is None:
        raise ArtifactError(f"{target}: found no artifact with a manifest, expected the output of an earlier stage. Fix: run that stage")
    return found


def checked(path: Path) -> Path:
    """Compare a file of an artifact, or all files in a folder of one, with the artifact's manifest; return the path.

    Whoever reads a stage's output without the other functions of this file calls this first. Raise ArtifactError where no manifest names
    the path, or where a file differs.
    """
    _checked_files(path)
    return path


def _checked_files(path: Path) -> list[Path]:
    """Return the files that the manifest names, and no others that may lie beside them."""
    target = artifact_of(path)
    found = None if target is None else manifest(target)
    if target is None or found is None:
        raise ArtifactError(f"{path}: found no artifact with a manifest, expected the output of an earlier stage. Fix: run that stage")
    within = path.relative_to(_folder(target)).as_posix()
    names = [name for name in found.files if within in (".", name) or name.startswith(f"{within}/")]
    if not names and within != ".":
        raise ArtifactError(f"{path}: found no such file in the manifest of {target}. Fix: delete {target} and run again")
    for name in names:
        _compare(target, found, name)
    return [_folder(target) / name for name in names]


def targets(folder: Path) -> list[Path]:
    """Return all artifacts under a folder, in the order of their manifests' paths."""
    places = sorted(path for path in _files(folder) if _is_manifest(path))
    return [
        place.parent if place.name == MANIFEST else place.with_name(place.name.removeprefix("_manifest.").removesuffix(".json"))
        for place in places
    ]


def unnamed(folder: Path) -> list[Path]:
    """Return the files under a folder that no manifest names, in order: nobody can tell whether they are whole."""
    found = {target: manifest(target) for target in targets(folder)}
    named = {_folder(target) / name for target, its in found.items() if its is not None for name in its.files}
    return sorted(path for path in _files(folder) if not _is_manifest(path) and path not in named)


def _is_manifest(path: Path) -> bool:
    return path.name.startswith("_manifest") and path.suffix == ".json"


def _files(folder: Path) -> Iterator[Path]:
    """Yield all files under a folder, and folders in the place of manifests. What is hidden is being written, or was replaced."""
    for place, folders, names in os.walk(folder, onerror=_unless_it_is_gone):
        odd = [name for name in folders if _is_manifest(Path(name))]
        folders[:] = [name for name in folders if not name.startswith(".") and name not in odd]
        yield from (Path(place) / name for name in (*names, *odd) if not name.startswith("."))


def _unless_it_is_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # another job has removed it meanwhile
        raise error


def damages(folder: Path) -> tuple[int, dict[Path, str]]:
    """Compare all artifacts under a folder. Return the number of files, and each damaged artifact → what was found, its first file only.

    What a job removes or replaces meanwhile is not damaged.
    """
    files, damaged = 0, {}
    for target in targets(folder):
        what = damage(target) and damage(target)  # a second look: a job may have replaced it meanwhile
        if what is None:
            found = manifest(target)
            files += len(found.files) if found else 0
        elif (target / MANIFEST).exists() or beside(target).exists():
            damaged[target] = what
    return files, damaged


def damage(target: Path) -> str | None:
    """Return what is wrong with an artifact, None where nothing is."""
    try:
        verify(target)
    except ArtifactError as error:
        return str(error).partition(". Fix:")[0]
    except FileNotFoundError as error:
        return f"{error.filename}: found no such file"
    return None


def artifact_of(path: Path) -> Path | None:
    """Return the artifact that is the path, or else the innermost one that the path lies in."""
    if beside(path).is_file():
        return path
    return next((folder for folder in (path, *path.parents) if (folder / MANIFEST).is_file()), None)


def _folder(target: Path) -> Path:
    """Return the folder that the names in an artifact's manifest are relative to."""
    return target if target.is_dir() else target.parent


def _compare(target: Path, found: Manifest, name: str) -> None:
    path, entry = _folder(target) / name, found.files[name]
    fix = f"Fix: delete {target} and run again"
    if not path.is_file():
        raise ArtifactError(f"{path}: found no such file, expected {entry['bytes']:,} bytes by its manifest. {fix}")
    if path.stat().st_size != entry["bytes"] or sha256(path) != entry["sha256"]:
        raise ArtifactError(f"{path}: found other bytes than its manifest says (sha256 {entry['sha256'][:12]}…). {fix}")


# --- Kinds of files -----------------------------------------------------------------------------------------------
# All of them raise ArtifactError where the file is absent, damaged, named by no manifest, or of another kind.


def read_table(path: Path, columns: list[str] | None = None, *, form: pa.Schema | None = None) -> pa.Table:
    """Read a parquet file, or a folder of them, as one table. With `form`, it must have the columns of that schema."""
    with _readable(path):
        table = pq.read_table([str(file) for file in _checked_files(path)], columns=columns, partitioning=None)
        if form is not None and (missing := [name for name in form.names if name not in table.column_names]):
            raise ValueError(f"no column {', '.join(missing)}")
        return table


def read_batches(path: Path, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield a parquet file in tables of at most `rows` rows, with those of its columns that `columns` names; None: all of them.

    A name that the file lacks is passed over. A file without rows gives one empty table with all columns. Row groups that have been read
    are let go of: Arrow's own buffering ahead would keep the file in memory until its end.
    """
    with _readable(path), pq.ParquetFile(checked(path), pre_buffer=False) as file:
        empty = True
        for batch in file.iter_batches(rows, columns=columns):
            empty = False
            yield pa.Table.from_batches([batch])
        if empty:
            yield file.schema_arrow.empty_table()


def read_schema(path: Path) -> pa.Schema:
    """Return the schema of one parquet file."""
    with _readable(path):
        return pq.read_schema(checked(path))


def count_rows(path: Path) -> int:
    """Return the number of rows of one parquet file."""
    with _readable(path):
        rows: int = pq.read_metadata(checked(path)).num_rows
    return rows


def read_json(path: Path) -> Any:
    """Return what a JSON file of an artifact holds."""
    with _readable(path):
        return json.loads(checked(path).read_text(encoding="utf-8"))


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Name a file whose bytes are those of its manifest and yet not what its name says: a folder from elsewhere may hold anything."""
    try:
        yield
    except (ValueError, RecursionError, KeyError, pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:  # the disk's, and not Arrow's about the content
            raise
        what = short(" ".join(str(error).split()))
        raise ArtifactError(f"{path}: cannot be read ({what}), expected what its name says. Fix: delete it and run again") from error
