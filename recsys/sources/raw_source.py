"""The interface of a kind of source, for reading its raw files. Each kind is a class in a file of its own, named in `config.SOURCES`."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from recsys.config import Source
from recsys.progress import Console
from recsys.sources.description import Description
from recsys.sources.input_files import states

_Options = TypeVar("_Options", bound=Source)


_EVENTS_PER_BYTE = 0.25  # bytes of events per byte of raw files (docs/reliability.md, "Room on the disk")


@dataclass(frozen=True)
class RawSource(ABC, Generic[_Options]):
    """The source of a pipeline: its [source] and its seed.

    Every method raises ConfigError where the parts of the source do not fit each other.
    """

    options: _Options
    seed: int

    @abstractmethod
    def describe(self, folder: Path, console: Console) -> Description:
        """Describe the raw files. Those that must be made first are written to `folder`/raw."""

    @abstractmethod
    def peeked(self) -> AbstractContextManager[Description]:
        """Yield the description of files with the same columns, so that these can be looked at. Nothing stays written."""

    @abstractmethod
    def sampled(self, most: int | None) -> AbstractContextManager[Description]:
        """Yield the description of files that hold the days and the kinds of row of the source; most rows, if they must be made first."""

    @abstractmethod
    def states(self) -> dict[str, Any]:
        """Return what the raw rows come from: each file's name, size and time of change, or a seed.

        Raises DataError where a file is missing.
        """

    @abstractmethod
    def expected_bytes(self) -> int:
        """Estimate how many bytes ingestion writes. Raises DataError where a file is missing."""


class GivenFiles(RawSource[_Options]):
    """A source whose files are there already."""

    @abstractmethod
    def files(self) -> Description: ...

    def describe(self, folder: Path, console: Console) -> Description:
        return self.files()

    @contextmanager
    def peeked(self) -> Iterator[Description]:
        yield self.files()

    def sampled(self, most: int | None) -> AbstractContextManager[Description]:
        return self.peeked()

    def states(self) -> dict[str, Any]:
        """Return the states of the files by table. Paths are relative to the folder that all files of a table lie in."""
        return {table.role: states(table.files()) for table in self.files().tables()}

    def expected_bytes(self) -> int:
        files = {file.path for table in self.files().tables() for file in table.files()}
        return int(_EVENTS_PER_BYTE * sum(file.stat().st_size for file in files))
