"""The checkpoint of a training: safetensors files, renamed into place. Each holds tensors and JSON, and no pickle."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from recsys.errors import ArtifactError, naming
from recsys.scoring.tensor_files import Tensors, hand_over, mapped_tensors, read_metadata, write_tensors

STATE, END = "state-", "end-"  # files of a member that is trained, and of one that is done; the member's index follows
_FACTS = "facts"  # key of the text that safetensors keeps beside its tensors; with one file, one rename replaces both. It is the only
# key, because safetensors writes several in any order
_HASH = "sha256"  # of the tensors and of that text
_NO_HASH = "0" * 64  # stands in its place until the file is written
_BEFORE_HASH = 256  # bytes of the file that may come before it
_FINGERPRINT = "fingerprint"
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Saved:
    """The contents of one checkpoint file."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class Checkpoints:
    """The files in runs/RUN/checkpoint/. They belong to one fingerprint. A file of another fingerprint is read as absent.

    Of several processes that train together, the first one writes. The others only read, and keep in `scratch` what they cannot do without.
    """

    def __init__(self, folder: Path, fingerprint: str, scratch: Path | None = None) -> None:
        self.folder = folder
        self.scratch = scratch
        self._fingerprint = fingerprint

    def followed_in(self, scratch: Path) -> "Checkpoints":
        """Return the same files for a process that does not write them."""
        return Checkpoints(self.folder, self._fingerprint, scratch)

    def write(self, name: str, tensors: Tensors, facts: Mapping[str, Any]) -> None:
        """Replace the file `name`, whole or not at all. A crash leaves the older file. All processes that train together call this."""
        if self.scratch is not None:
            hand_over(tensors)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f".{name}.draft"
        try:
            write_saved(draft, tensors, {_FINGERPRINT: self._fingerprint, **facts})
            _sync(draft)
            os.replace(draft, self._path(name))
            _sync(self.folder)
        finally:
            draft.unlink(missing_ok=True)

    def read(self, name: str) -> Saved | None:
        """Return the contents of the file `name`; None where it is absent or was written for another fingerprint.

        Raise ArtifactError where it is damaged.
        """
        path = self._path(name)
        if not path.exists():
            return None
        try:
            saved = read_saved(path)
            return saved if saved is not None and saved.facts[_FINGERPRINT] == self._fingerprint else None
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{path}: found a checkpoint that cannot be read ({error}). Fix: delete {self.folder} and run again"
            ) from error

    def facts(self) -> dict[str, Any] | None:
        """Return the facts of any member's file of this fingerprint; None where there is none. Raise ArtifactError where one is damaged."""
        names = [path.stem for path in self._paths() if path.stem.startswith((STATE, END))]
        return next((saved.facts for name in names if (saved := self.read(name)) is not None), None)

    @property
    def is_empty(self) -> bool:
        """Return whether the folder holds no checkpoint, of whatever fingerprint or version."""
        return not self._paths()

    def drop(self, name: str) -> None:
        """Remove the file `name`, if it is there."""
        if self.scratch is None:
            self._path(name).unlink(missing_ok=True)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob(f"*{_SUFFIX}"))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{_SUFFIX}"


def write_saved(path: Path, tensors: Tensors, facts: Mapping[str, Any]) -> None:
    """Write tensors and facts as one file, with a hash of both."""
    text = json.dumps(facts, allow_nan=False)
    write_tensors(path, tensors, {_FACTS: json.dumps({_HASH: _NO_HASH, _FACTS: text})})
    with naming(path), path.open("r+b") as file:  # only now are all rows of a spread table in one place
        place = file.read(len(text) + _BEFORE_HASH).index(_NO_HASH.encode())
        file.seek(place)
        file.write(_hash(mapped_tensors(path), text).encode())


def read_saved(path: Path) -> Saved | None:
    """Return what `write_saved` wrote; None where the file has no hash, as in an earlier version. Its tensors must not be written to.

    Raise SafetensorError, ValueError, KeyError or TypeError where it is damaged.
    """
    about = json.loads(read_metadata(path)[_FACTS])
    if _HASH not in about and _FINGERPRINT in about:
        return None
    text, tensors = about[_FACTS], mapped_tensors(path)
    if about[_HASH] != _hash(tensors, text):
        raise ValueError("other bytes than its hash says")
    return Saved(tensors, json.loads(text))


def _hash(tensors: Mapping[str, Tensor], text: str) -> str:
    """Return the sha256 of tensors on the CPU, with their names, types and shapes, and of the text."""
    found = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
