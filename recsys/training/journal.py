"""The journal of a member in training: one JSON line per event. A training that goes on never writes a line twice.

At the end the journals of all members become runs/RUN/training.jsonl.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from recsys.errors import naming

_LENGTH, _DIGEST = "journal", "journal_sha256"
_LEARNING = ("progressive", "train")  # parts of the lines of a day that is predicted and learned


class Journal:
    """A file to which lines are appended. It is first cut back to `keep` bytes, its length at the checkpoint to go on from."""

    def __init__(self, path: Path, *, keep: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = path.open("ab")
        self._file.truncate(keep)
        self._file.seek(keep)
        self._hash = hashlib.sha256(path.read_bytes())

    def write(self, line: dict[str, Any]) -> None:
        """Write one event, and flush so that another process can follow. Raise ValueError for NaN; an undefined number is null."""
        text = as_text(line).encode()
        with naming(self._path):
            self._file.write(text)
            self._file.flush()
        self._hash.update(text)

    def of_day(self, day: str) -> list[dict[str, Any]]:
        """Return the last lines, as far as they tell how this day was predicted and learned; in time order these stand together."""
        found: list[dict[str, Any]] = []
        for text in reversed(self._path.read_bytes().splitlines()):
            line = json.loads(text)
            if line["day"] != day or line["part"] not in _LEARNING:
                break
            found.insert(0, line)
        return found

    def forget_after(self, day: str) -> None:
        """Remove the last lines, as far as they tell how days after the ISO day `day` were predicted and learned."""
        lines = self._path.read_bytes().splitlines(keepends=True)
        while lines and (last := json.loads(lines[-1]))["part"] in _LEARNING and last["day"] > day:
            lines.pop()
        kept = b"".join(lines)
        self._file.truncate(len(kept))
        self._file.seek(len(kept))
        self._hash = hashlib.sha256(kept)

    def facts(self) -> dict[str, Any]:
        """Return what a checkpoint holds of the journal, because a growing file has no manifest: its bytes so far, and their sha256.

        The bytes are on the disk then, so that a power cut leaves no checkpoint that is ahead of its journal.
        """
        os.fsync(self._file.fileno())
        return {_LENGTH: self._file.tell(), _DIGEST: self._hash.hexdigest()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with naming(self._path):
            self._file.close()


def as_text(line: Mapping[str, Any]) -> str:
    """Return one event as a line. Raise ValueError for NaN."""
    return json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"


def kept_of(path: Path, facts: Mapping[str, Any]) -> bytes | None:
    """Return the bytes of a journal that belong to a checkpoint of these facts; None where the file does not hold them."""
    kept = path.read_bytes()[: facts[_LENGTH]] if path.exists() else b""
    return kept if hashlib.sha256(kept).hexdigest() == facts[_DIGEST] else None
