"""One writer at a time per place of a workspace, over all processes: who holds a place, and what the dead have left there.

A place is what one job writes at a time: events/, examples/FINGERPRINT/, runs/RUN/. Its lock is a file under .locks/, which its owner holds
with flock and in which the owner says who it is. The kernel frees the lock of a process that dies, however it dies. An owner on another
host cannot be asked, so it counts as alive until `recsys unlock`. Reading takes no lock: what is read is compared with its manifest.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import IO

from recsys.errors import InUseError, naming
from recsys.progress import Console
from recsys.workspace import LOCKS

_RETRY_SECONDS = 0.2
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_AT_WORK = "at-work"  # the lock that all jobs share, and that whoever wants to be alone holds for himself
_SCRATCH_LOCK = ".lock"
_INSIDE = re.compile(r"\..+\.(draft|old)")
_held: dict[Path, int] = {}  # lock file → how often this process holds it


@dataclass(frozen=True)
class Owner:
    """A process that holds a place."""

    pid: int
    host: str
    boot: str
    started: str  # UTC, to the second
    command: str

    @property
    def is_elsewhere(self) -> bool:
        """Return whether it may be alive although its lock is free here. A container has a new name at each start, a host a new boot."""
        return self.host != socket.gethostname() and self.boot != _boot()

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.started} ({self.command})"


@contextlib.contextmanager
def locked(root: Path, places: Sequence[Path], *, wait: bool, console: Console) -> Iterator[None]:
    """Hold these places under `root`, and remove what dead jobs left half-written in them. A process may hold a place several times.

    Raise InUseError where another job holds one of them. With `wait`, say so and wait until all are free; meanwhile none is held, so two
    waiting jobs never wait for each other.
    """
    files = {_lock_file(root, place): place for place in sorted(places)}
    with contextlib.ExitStack() as opened:
        said = False
        while (taken := _take(files, opened)) is not None:
            place, owner = taken
            text = f"{place}: in use by {owner}" if owner else f"{place}: in use by another job"
            if not wait:
                raise InUseError(f"{text}. Fix: wait until it ends, or --wait" + _remote(owner))
            if not said:
                console.say(f"{text}; waiting{_remote(owner)}")
                said = True
            time.sleep(_RETRY_SECONDS)
        yield


@contextlib.contextmanager
def at_work(root: Path, *, alone: bool = False, wait: bool, console: Console) -> Iterator[None]:
    """Work in the folder `root` beside other jobs, or `alone`. Raise InUseError where they do not allow it; with `wait`, wait for them.

    A job that is not alone may be one that only reads, in a folder that it may not write: it holds the lock where there is one.
    """
    file = root / LOCKS / _AT_WORK
    with _opened(file, reads=not alone) as handle:
        said = False
        while handle is not None and not _flocked(handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
            if not wait:
                who, end = ("other jobs", "they end") if alone else ("recsys prune", "it ends")
                raise InUseError(f"{root}: in use by {who}. Fix: wait until {end}, or --wait")
            if not said:
                console.say(f"{root}: in use; waiting")
                said = True
            time.sleep(_RETRY_SECONDS)
        yield


@contextlib.contextmanager
def writing(root: Path, place: Path, console: Console) -> Iterator[None]:
    """Hold a place that is written in a moment, so that no `recsys prune` takes its drafts for those of the dead. Wait where it is held."""
    with at_work(root, wait=True, console=console), locked(root, [place], wait=True, console=console):
        yield


@contextlib.contextmanager
def _opened(file: Path, *, reads: bool) -> Iterator[IO[str] | None]:
    """Open a lock file; where that may not be written, and the job `reads` at most, for reading. Yield None where there is none to read."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = file.open("a")
    except OSError as error:
        if not reads or error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        if not file.exists():
            yield None
            return
        handle = file.open()
    with handle:
        yield handle


@contextlib.contextmanager
def scratch(place: Path, name: str) -> Iterator[Path]:
    """Make a folder for files in between in `place`, and remove it in the end; also those of this name that dead jobs have left there.

    A job holds the lock of its own. So several jobs of one name may work beside each other.
    """
    for left in place.glob(f".{name}.*.draft"):
        with contextlib.suppress(OSError), (left / _SCRATCH_LOCK).open("r+") as handle:  # just made, or another user's
            if _flocked(handle, fcntl.LOCK_EX):
                shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".draft", dir=place))
    try:
        with (folder / _SCRATCH_LOCK).with_suffix(".new").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            os.rename(handle.name, folder / _SCRATCH_LOCK)  # nobody sees it before it is held
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers_in(folder: Path) -> None:
    """Remove the drafts and replaced folders in a folder, and in the folders below it. Only who is alone at work there may call this."""
    for place, folders, files in os.walk(folder):
        left = [name for name in (*folders, *files) if _INSIDE.fullmatch(name)]
        folders[:] = [name for name in folders if name not in left]
        _remove(Path(place, name) for name in left)


def unlock(root: Path, console: Console) -> None:
    """Free the places under `root` that owners on other hosts hold. The locks of this host's processes are the kernel's to free."""
    owners = {file: _owner(file.read_text(encoding="utf-8")) for file in sorted((root / LOCKS).glob("*.json"))}
    elsewhere = {file: owner for file, owner in owners.items() if owner is not None and owner.is_elsewhere}
    for file, owner in elsewhere.items():
        file.write_text("", encoding="utf-8")
        console.say(f"unlock: {file.stem} was held by {owner}")
    if not elsewhere:
        console.say(f"unlock: no job on another host holds anything of {root}")


def _lock_file(root: Path, place: Path) -> Path:
    return root / LOCKS / f"{'+'.join(place.relative_to(root).parts)}.json"


def _take(files: dict[Path, Path], opened: contextlib.ExitStack) -> tuple[Path, Owner | None] | None:
    """Take all locks and return None; or take none, and return a place that another job holds, with its owner where it is known."""
    with contextlib.ExitStack() as trying:
        for file, place in files.items():
            if _held.get(file):
                _count(file, trying)
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            handle = trying.enter_context(file.open("a+", encoding="utf-8"))
            if not _flocked(handle, fcntl.LOCK_EX):
                handle.seek(0)
                return place, _owner(handle.read())
            handle.seek(0)
            before = _owner(handle.read())
            if before is not None and before.is_elsewhere:
                return place, before
            with naming(file):
                _say_owner(handle, trying)
            _count(file, trying)
            _remove_leftovers(place)
        opened.push(trying.pop_all())
    return None


def _flocked(handle: IO[str], kind: int) -> bool:
    """Take a lock of this kind on an open file; return whether that is possible now."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _count(file: Path, held: contextlib.ExitStack) -> None:
    def release() -> None:
        _held[file] -= 1

    _held[file] = _held.get(file, 0) + 1
    held.callback(release)


def _say_owner(handle: IO[str], held: contextlib.ExitStack) -> None:
    """Write down who holds the lock, until it is released."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    owner = Owner(os.getpid(), socket.gethostname(), _boot(), now, " ".join(Path(word).name for word in sys.argv[:3]))
    handle.truncate(0)
    handle.write(json.dumps(asdict(owner)))
    handle.flush()
    held.callback(lambda: handle.truncate(0))


def _owner(text: str) -> Owner | None:
    try:
        return Owner(**json.loads(text))
    except (TypeError, ValueError):  # empty: released; half a text: its writer died
        return None


@cache
def _boot() -> str:
    """Return what tells this kernel's run from all others: its boot id, on systems without one the host's name."""
    try:
        return _BOOT_ID.read_text(encoding="utf-8").strip()
    except OSError:
        return socket.gethostname()


def _remote(owner: Owner | None) -> str:
    elsewhere = owner is not None and owner.is_elsewhere
    return "; if that process is gone: recsys unlock PIPELINE.toml" if elsewhere else ""


def _remove_leftovers(place: Path) -> None:
    """Remove drafts and replaced folders beside a place, and in it. Only who holds the place may call this."""
    beside = re.compile(rf"\.{re.escape(place.name)}\.\w+\.(draft|old)")  # of the place `a`, not of its neighbour `a.b`
    found = [path for path in (place.parent.iterdir() if place.parent.is_dir() else ()) if beside.fullmatch(path.name)]
    _remove(found)
    remove_leftovers_in(place)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
