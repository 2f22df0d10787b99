"""The writing of artifacts.

An artifact appears whole or not at all: it is written as a hidden draft beside its place, synced, described, and renamed into place.
"""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.artifacts.manifests import MANIFEST, Manifest, RowAccount, beside, describe, place_of, versions
from recsys.artifacts.read import require_manifest, verify
from recsys.errors import ArtifactError, naming

GROUP_ROWS = 131_072  # of a row group, where a whole table is written


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
        self.linked: dict[str, Mapping[str, Any]] = {}  # files that are taken over from an earlier artifact → their entries there

    def path(self, name: str) -> Path:
        """Return the path where a library that writes files itself (safetensors, Arrow IPC) shall write `name`."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def link(self, source: Path, name: str) -> None:
        """Take over the file `name` of the folder artifact `source`, without reading it: nobody writes into a file that stands.

        Its hash stays that of its first manifest. So a byte that has changed since is found by whoever reads the file, as before. Raises
        ArtifactError where there is no such file, or one of another size.
        """
        entry = require_manifest(source).files.get(name)
        if entry is None or not (source / name).is_file() or (source / name).stat().st_size != entry["bytes"]:
            raise ArtifactError(f"{source / name}: found no such file as its manifest says, expected one to take over. Fix: run again")
        try:
            os.link(source / name, self.path(name))
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                raise
            shutil.copyfile(source / name, self.path(name))  # a file system without links
        self.linked[name] = entry

    def write_table(self, name: str, table: pa.Table) -> None:
        self.write_batches(name, table.schema, table.to_batches(max_chunksize=GROUP_ROWS))

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
        with naming(target):
            output = Output(draft)
            yield output
            named = {str(path.relative_to(draft)): path for path in _files(draft)}
            files = {name: output.linked.get(name) or describe(path, path.name) for name, path in named.items()}
            rows = asdict(output.rows) if output.rows else None
            manifest = Manifest(stage, fingerprint, dict(inputs or {}), dict(config or {}), rows, files, versions())
            (draft / MANIFEST).write_text(manifest.text, encoding="utf-8")
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
        with naming(target):
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
) -> None:
    """Write a one-file artifact: `write(path)` writes it, its manifest goes beside it.

    The manifest of an older file goes first and the new one comes last. So no moment has a manifest of other bytes. A process that dies in
    between leaves a file without a manifest, which counts as absent.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    try:
        with naming(target):
            write(draft)
            _sync(draft)
            manifest = _of_one_file(draft, target.name, stage, fingerprint, inputs)
            unseal(target)
            os.replace(draft, target)
            _write_beside(target, manifest)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def drafted(target: Path) -> Iterator[Path]:
    """Give a path beside the target to write to. What stands there in the end takes the target's place, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")  # locks.py removes such where a dead job left one
    try:
        with naming(target):
            yield draft
            _sync(draft)
            os.replace(draft, target)
            _sync(target.parent)
    finally:
        draft.unlink(missing_ok=True)


def replace_text(target: Path, text: str) -> None:
    """Replace a file that is no artifact: at each moment the old text or the new one stands there."""
    with drafted(target) as draft:
        draft.write_text(text, encoding="utf-8")


def unseal(target: Path) -> None:
    """Remove the manifest of an artifact: until the next one is there, it counts as absent."""
    place = place_of(target)
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    if place.parent.exists():
        _sync(place.parent)


def _of_one_file(path: Path, name: str, stage: str, fingerprint: str, inputs: Mapping[str, str] | None) -> Manifest:
    return Manifest(stage, fingerprint, dict(inputs or {}), {}, None, {name: describe(path, name)}, versions())


def _write_beside(target: Path, manifest: Manifest) -> None:
    replace_text(beside(target), manifest.text)


def remove(target: Path) -> None:
    """Remove a one-file artifact and its manifest; do nothing where there is none."""
    unseal(target)
    target.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


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
    try:
        if target.exists():
            os.rename(target, old)
        os.rename(draft, target)
    finally:
        if old.exists() and not target.exists():  # interrupted between the two
            os.rename(old, target)
    _sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)
