"""The only code that writes or reads a stage's output.

An artifact is a folder with a `_manifest.json`, or one file with its manifest beside it (`_manifest.FILE.json`). It
appears whole or not at all: it is written into a hidden sibling, synced, described, and renamed into place.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.errors import ArtifactError

MANIFEST = "_manifest.json"
_LIBRARIES = ("recsys", "pyarrow", "duckdb", "torch", "scikit-learn")


def fingerprint(value: Any) -> str:
    """Return 12 hex digits that stand for any JSON-able value (keys sorted; dates, paths and the like by their text)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class RowAccount:
    """The numbers of rows that were read, kept, and not kept. ValueError unless `read = kept + duplicate + quarantined`."""

    read: int
    kept: int
    duplicate: int
    quarantined: int

    def __post_init__(self) -> None:
        if self.read != self.kept + self.duplicate + self.quarantined:
            raise ValueError(f"the row account does not add up: {self}")

    def __str__(self) -> str:
        return f"read {self.read:,} = kept {self.kept:,} + duplicate {self.duplicate:,} + quarantined {self.quarantined:,}"


@dataclass(frozen=True)
class Manifest:
    """The contents and the origin of an artifact. It has no time of day, so the same inputs give the same bytes."""

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


@dataclass(frozen=True)
class Origin:
    """The stage and the inputs that an artifact is made from, for its manifest."""

    stage: str
    fingerprint: str
    inputs: Mapping[str, str] = field(default_factory=dict)

    def writing(self, target: Path) -> contextlib.AbstractContextManager["Output"]:
        """Write a folder artifact of this origin, as the function `writing` does."""
        return writing(target, stage=self.stage, fingerprint=self.fingerprint, inputs=self.inputs)

    def write_file(self, target: Path, write: Any) -> None:
        """Write a one-file artifact of this origin, as the function `write_file` does."""
        write_file(target, write, stage=self.stage, fingerprint=self.fingerprint, inputs=self.inputs)


class Output:
    """The inside of an artifact that is being written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: RowAccount | None = None

    def path(self, name: str) -> Path:
        """Return the path where a library that writes files itself (safetensors, Arrow IPC) shall write `name`."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def write_table(self, name: str, table: pa.Table) -> None:
        self.write_batches(name, table.schema, table.to_batches(max_chunksize=131_072))

    def write_batches(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Write a parquet file of exactly `schema`; each batch is a row group."""
        with pq.ParquetWriter(self.path(name), schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch)

    def write_json(self, name: str, value: Any) -> None:
        self.path(name).write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


@contextlib.contextmanager
def writing(
    target: Path, *, stage: str, fingerprint: str, inputs: Mapping[str, str] | None = None, config: Mapping[str, Any] | None = None
) -> Iterator[Output]:
    """Yield the inside of a folder artifact. On leaving, the folder stands at `target`, whole, with its manifest.

    An exception, Ctrl-C included, leaves what stood at `target` before, and no half-written output.
    """
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        output = Output(draft)
        yield output
        files = {str(path.relative_to(draft)): _describe(path, path.name) for path in _files(draft)}
        manifest = Manifest(
            stage, fingerprint, dict(inputs or {}), dict(config or {}), asdict(output.rows) if output.rows else None, files, versions()
        )
        (draft / MANIFEST).write_text(_manifest_text(manifest), encoding="utf-8")
        for path in _files(draft):
            _sync(path)
        _replace(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def copy(source: Path, target: Path) -> None:
    """Copy the folder artifact `source`, manifest included, to `target`, whole or not at all."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        shutil.copytree(source, draft)
        for path in _files(draft):
            _sync(path)
        _replace(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def copy_file(source: Path, target: Path) -> None:
    """Copy the one-file artifact `source` to `target`, with the same origin."""
    found = verify(source)
    write_file(target, lambda draft: shutil.copyfile(source, draft), stage=found.stage, fingerprint=found.fingerprint, inputs=found.inputs)


def write_file(
    target: Path,
    write: Any,
    *,
    stage: str,
    fingerprint: str,
    inputs: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
) -> None:
    """Write a one-file artifact: `write(path)` writes it, its manifest goes beside it. The file is renamed into place last."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    try:
        write(draft)
        manifest = Manifest(
            stage, fingerprint, dict(inputs or {}), dict(config or {}), None, {target.name: _describe(draft, target.name)}, versions()
        )
        beside = _file_manifest(target)
        beside_draft = beside.with_name(f".{beside.name}.{os.getpid()}.draft")
        beside_draft.write_text(_manifest_text(manifest), encoding="utf-8")
        _sync(draft)
        _sync(beside_draft)
        os.replace(beside_draft, beside)
        os.replace(draft, target)
        _sync(target.parent)
    finally:
        draft.unlink(missing_ok=True)


def manifest(target: Path) -> Manifest | None:
    """Return the manifest of a folder or file artifact; None where nothing stands. Raise ArtifactError if it cannot be read."""
    place = target / MANIFEST if target.is_dir() else _file_manifest(target)
    try:
        raw = json.loads(place.read_text(encoding="utf-8"))
        return Manifest(**raw)
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise ArtifactError(f"{place}: found a manifest that cannot be read ({error}). Fix: delete {target} and run again") from error


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
        if path.stat().st_size != entry["bytes"] or _sha256(path) != entry["sha256"]:
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


def write_json(path: Path, value: Any) -> None:
    """Write a small file beside the artifacts (a run's config), whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    draft.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(draft, path)


def read_json(path: Path) -> Any:
    """Return what `write_json` wrote; None where there is nothing. Raise ArtifactError where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: found a file that is not JSON ({error}). Fix: delete it and run again") from error


def remove(target: Path) -> None:
    """Remove a one-file artifact and its manifest; do nothing where there is none."""
    target.unlink(missing_ok=True)
    _file_manifest(target).unlink(missing_ok=True)


def versions() -> dict[str, str]:
    """Return the versions of the libraries that shape an output's bytes, for the manifest."""
    found = {}
    for library in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[library] = version(library)
    return found


def _file_manifest(target: Path) -> Path:
    return target.with_name(f"_manifest.{target.name}.json")


def _manifest_text(manifest: Manifest) -> str:
    return json.dumps(asdict(manifest), indent=1, sort_keys=True, default=str, ensure_ascii=False) + "\n"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _describe(path: Path, name: str) -> dict[str, Any]:
    """Return a file's entry in the manifest; `name` is the file's name once it is in place."""
    entry: dict[str, Any] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
    if name.endswith(".parquet"):
        entry["rows"] = pq.read_metadata(path).num_rows
    return entry


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(draft: Path, target: Path) -> None:
    """Put a finished folder in the place of an older one. At no moment does half of either stand under `target`."""
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.rename(target, old)
    os.rename(draft, target)
    _sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)
