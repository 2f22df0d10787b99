"""The journal of a training, runs/RUN/training.jsonl: one JSON line per event. A resumed run never writes a line twice."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Journal:
    """A file to which lines are appended. It is first cut back to `keep` bytes, its length at the checkpoint that a run goes on from."""

    def __init__(self, path: Path, *, keep: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        self._file.truncate(keep)
        self._file.seek(keep)

    def write(self, line: dict[str, Any]) -> None:
        """Write one event, and flush so that another process can follow. Raise ValueError for NaN; an undefined number is null."""
        self._file.write((json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n").encode())
        self._file.flush()

    @property
    def length(self) -> int:
        """Bytes written so far, those kept included."""
        return self._file.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
