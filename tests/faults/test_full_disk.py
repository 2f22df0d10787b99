"""A disk that fills up: the message names a file on it, nothing half-written stands, and with more room the same command ends right.

The disk is a small file system in memory where this may be mounted; elsewhere no file may grow beyond a limit.
"""

import contextlib
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .amounts import DISKS
from .dying import digests
from .test_deaths import folder, toml  # noqa: F401 -- fixtures


def job(toml: Path, workspace: Path, limit: int | None = None) -> tuple[int, str]:  # noqa: F811
    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-m", "recsys", "run", str(toml), "--run", "one", "--quiet", "--workspace", str(workspace)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limited)
    return done.returncode, done.stderr


@contextlib.contextmanager
def disk(place: Path, size: int) -> Iterator[bool]:
    """Mount a file system of so many bytes on the place. Yield whether that is allowed here."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def whole(toml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    workspace = tmp_path_factory.mktemp("whole")
    assert job(toml, workspace) == (0, "")
    return workspace


@pytest.mark.faults
@pytest.mark.parametrize("share", DISKS)
def test_a_disk_that_fills_up(toml: Path, whole: Path, tmp_path: Path, share: float) -> None:  # noqa: F811
    sizes = [path.stat().st_size for path in whole.rglob("*") if path.is_file()]
    with disk(tmp_path / "disk", int(share * sum(sizes))) as mounted:
        folder = tmp_path / "disk" / "data"
        code, said = job(toml, folder, None if mounted else int(share * max(sizes)))
        assert code == 4, said
        assert str(folder) in said, said
        assert "Traceback" not in said
        assert "a bug" not in said
        left = [path.name for path in folder.rglob("*") if path.suffix in (".draft", ".old")]
        assert left == []
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=200m", str(tmp_path / "disk")], check=True)
        assert job(toml, folder) == (0, "")
        assert digests(folder) == digests(whole)
