"""One writer at a time, and what the dead leave."""

import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import pytest

from recsys import locks
from recsys.artifacts import Origin
from recsys.errors import InUseError
from recsys.stages import Job, Part, Stage

from .training.conftest import Said

HOLDER = """
import sys, time
from pathlib import Path
from recsys import locks
from recsys.progress import Console
root, seconds = Path(sys.argv[1]), float(sys.argv[2])
with locks.locked(root, [root / "runs" / "mine"], wait=False, console=Console(quiet=True)):
    (root / "held").touch()
    time.sleep(seconds)
"""


@pytest.fixture
def held(tmp_path: Path):
    """Starts another process that holds runs/mine for so many seconds."""
    started: list[subprocess.Popen[bytes]] = []

    def start(seconds: float) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path), str(seconds)])
        started.append(process)
        while not (tmp_path / "held").exists():
            assert process.poll() is None
            time.sleep(0.02)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def hold(root: Path, *names: str, wait: bool = False, console: Said | None = None):
    return locks.locked(root, [root / name for name in names], wait=wait, console=console or Said())


def test_a_second_job_is_told_who_holds_the_place(tmp_path: Path, held) -> None:
    process = held(60)
    said = rf"runs/mine: in use by process {process.pid} on {socket.gethostname()} since .*--wait"
    with pytest.raises(InUseError, match=said) as caught, hold(tmp_path, "events", "runs/mine"):
        pytest.fail("held twice")
    assert caught.value.exit_code == 5
    with hold(tmp_path, "events"):  # nothing was kept of what could be taken
        pass


def test_other_places_are_free(tmp_path: Path, held) -> None:
    held(60)
    with hold(tmp_path, "runs/other", "examples/abc"):
        pass


def test_a_killed_owner_holds_nothing(tmp_path: Path, held) -> None:
    process = held(60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with hold(tmp_path, "runs/mine"):
        pass


@pytest.mark.words
def test_a_waiting_job_says_so_once_and_goes_on(tmp_path: Path, held) -> None:
    held(1)
    said = Said()
    with hold(tmp_path, "runs/mine", wait=True, console=said):
        pass
    (text,) = said.texts
    assert text.endswith("; waiting")


def test_one_process_may_hold_a_place_twice(tmp_path: Path) -> None:
    with hold(tmp_path, "runs/mine"):
        with hold(tmp_path, "runs/mine", "events"):
            pass
        owner = json.loads((tmp_path / ".locks" / "runs+mine.json").read_text())
        assert owner["pid"] == os.getpid()
    assert (tmp_path / ".locks" / "runs+mine.json").read_text() == ""


def test_an_owner_on_another_host_counts_as_alive_until_unlock(tmp_path: Path) -> None:
    with hold(tmp_path, "events"):
        pass
    owner = {"pid": 1, "host": "elsewhere", "boot": "another", "started": "2026-01-01 00:00:00", "command": "recsys run"}
    (tmp_path / ".locks" / "events.json").write_text(json.dumps(owner))
    with pytest.raises(InUseError, match=r"in use by process 1 on elsewhere .*recsys unlock"), hold(tmp_path, "events"):
        pytest.fail("held")
    said = Said()
    locks.unlock(tmp_path, said)
    assert said.texts == ["unlock: events was held by process 1 on elsewhere since 2026-01-01 00:00:00 (recsys run)"]
    locks.unlock(tmp_path, said)
    assert said.texts[1:] == [f"unlock: no job on another host holds anything of {tmp_path}"]
    with hold(tmp_path, "events"):
        pass


def test_only_what_is_left_of_this_place_is_removed(tmp_path: Path) -> None:
    mine = [".mine.12.draft", ".mine.12.old", ".mine.k2_x.draft", "mine/.model.12.draft", "mine/._manifest.config.json.12.draft"]
    mine += ["mine/day=2024-01-02/.member-0.safetensors.12.draft", "mine/predicted/day=2024-01-02/.member-0.parquet.12.draft"]
    others = [".mine.b.12.draft", ".other.12.draft", "mine.b/.model.12.draft", "mine/config.json", "mine/.hidden"]
    for name in [*mine, *others]:
        path = tmp_path / "runs" / name
        if name.endswith("12.old"):
            path.mkdir(parents=True)
            (path / "file").touch()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with hold(tmp_path, "runs/mine"):
        assert [name for name in mine if (tmp_path / "runs" / name).exists()] == []
        assert [name for name in others if not (tmp_path / "runs" / name).exists()] == []


@pytest.mark.words
def test_what_another_job_made_meanwhile_is_not_made_again(tmp_path: Path, held, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage is stale before it waits for the place, and fresh afterwards."""
    monkeypatch.setattr(Stage, "receives", lambda *_: None)
    target = tmp_path / "runs" / "mine"
    part = Part("part", Origin("test", "now"), (target / "file",))
    stage = Stage(
        name="test", summary="", version=1, options=(), reads=lambda job: [], writes=lambda job: [target / "file"],
        parts=lambda job, options: [part], make=lambda *_: pytest.fail("made again"),
    )  # fmt: skip
    job = Job(None, tmp_path, target, tmp_path, tmp_path, Said(), wait=True)
    held(0.5)
    threading.Timer(0.2, lambda: part.origin.write_file(target / "file", lambda draft: draft.write_text("x"))).start()
    stage.run(job)
    assert job.console.texts[-1] == "part: fresh"


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_job_in_a_folder_that_cannot_be_written_reads_beside_others(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(path: Path, mode: str = "r", *more: Any, **named: Any) -> IO[Any]:
        if mode != "r":
            raise OSError(number, os.strerror(number), str(path))
        return open(path, mode, *more, **named)

    with locks.at_work(tmp_path, wait=False, console=Said()):
        pass
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        reading = contextlib.ExitStack()
        reading.enter_context(locks.at_work(tmp_path, wait=False, console=Said()))
        with pytest.raises(OSError, match=os.strerror(number)), locks.at_work(tmp_path, alone=True, wait=False, console=Said()):
            pass
    with reading, pytest.raises(InUseError), locks.at_work(tmp_path, alone=True, wait=False, console=Said()):
        pass
    shutil.rmtree(tmp_path / ".locks")
    monkeypatch.setattr(Path, "mkdir", lambda path, *more, **named: opened(path, "w"))
    with locks.at_work(tmp_path, wait=False, console=Said()):
        assert not list(tmp_path.iterdir())


SCRATCH = """
import sys, time
from pathlib import Path
from recsys import locks
with locks.scratch(Path(sys.argv[1]), "predict") as folder:
    (folder / "rows").write_text("rows")
    (Path(sys.argv[1]) / "made").touch()
    time.sleep(60)
"""


def test_a_folder_for_files_in_between_is_removed_by_the_next_job_where_its_own_is_dead(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", SCRATCH, str(tmp_path)])
    try:
        while not (tmp_path / "made").exists():
            assert process.poll() is None
            time.sleep(0.02)
        (of_other,) = tmp_path.glob(".predict.*.draft")
        with locks.scratch(tmp_path, "predict") as mine:
            assert (of_other / "rows").exists(), "its job lives"
    finally:
        process.kill()
        process.wait()
    assert not mine.exists()
    assert of_other.exists()
    with locks.scratch(tmp_path, "predict") as mine:
        assert list(tmp_path.glob(".predict.*")) == [mine]
    assert not list(tmp_path.glob(".predict.*"))
