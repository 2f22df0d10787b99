"""The journal of a training, runs/RUN/training.jsonl: one JSON line per event. A resumed run never writes a line twice."""

import hashlib
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from recsys.errors import naming


class Journal:
    """A file to which lines are appended. It is first cut back to `keep` bytes, its length at the checkpoint that a run goes on from.

    `digest` is the sha256 of the bytes so far. A checkpoint holds it, because a growing file has no manifest.
    """

    def __init__(self, path: Path, *, keep: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = path.open("ab")
        self._file.truncate(keep)
        self._file.seek(keep)
        self._hash = hashlib.sha256(path.read_bytes())

    def write(self, line: dict[str, Any]) -> None:
        """Write one event, and flush so that another process can follow. Raise ValueError for NaN; an undefined number is null."""
        text = (json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n").encode()
        with naming(self._path):
            self._file.write(text)
            self._file.flush()
        self._hash.update(text)

    @property
    def length(self) -> int:
        """Bytes written so far, those kept included."""
        return self._file.tell()

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with naming(self._path):
            self._file.close()
