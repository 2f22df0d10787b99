"""The free disk is compared with an estimate before a stage begins; the estimate lies below what the stage writes, and not far."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from recsys.cli import run_command
from recsys.config import load
from recsys.jobs import open_job
from recsys.progress import Console
from recsys.stages import STAGES, Job
from recsys.stages.room import by_day, said

from .conftest import PIPELINES

TINY = PIPELINES / "tiny.toml"
Usage = namedtuple("Usage", "total used free")


def bytes_in(*folders: Path) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def estimate(job: Job, name: str) -> int:
    stage = STAGES[name]
    options = stage.receives(job.pipeline)
    return stage.room(job, options, stage.parts(job, options))


@pytest.mark.parametrize("name", ["ingest", "features", "encode"])
def test_an_estimate_lies_below_what_is_written(tiny: Path, tmp_path: Path, name: str) -> None:
    """Of a first run, of which nothing stands. A third of it is enough to stop a hopeless run early."""
    job = open_job(load(TINY), tiny.parent, run="first", console=Console(quiet=True))
    written = bytes_in(*STAGES[name].writes(job))
    alone = open_job(load(TINY), tmp_path, run="first", console=Console(quiet=True))
    for made_before in [path for other in ("ingest", "features") if other != name for path in STAGES[other].writes(job)]:
        shutil.copytree(made_before, tmp_path / made_before.relative_to(tiny.parent))
    assert written / 3 < estimate(alone, name) < written


def test_the_model_of_many_values_counts(tiny: Path) -> None:
    job = open_job(load(TINY), tiny.parent, run="first", console=Console(quiet=True))
    assert 0 < estimate(job, "train") < 2 * bytes_in(job.run / "model")


def test_days_that_stand_tell_what_is_written_per_byte() -> None:
    assert by_day({"1": 10, "2": 30}, {}, ["1", "2"], 3) == 120
    assert by_day({"1": 10, "2": 30}, {"1": 70}, ["2"], 3) == 210
    assert by_day({"1": 10, "2": 30}, {"1": 70, "2": 5}, ["2"], 3) == 210
    assert by_day({"1": 10}, {}, ["9"], 3) == 0


def test_bytes_in_words() -> None:
    assert [said(size) for size in (0, 999, 1_234, 5_600_000, 123_400_000_000)] == ["0 bytes", "999 bytes", "1.23 kB", "5.6 MB", "123 GB"]


@pytest.mark.parametrize(("verb", "option"), [("features", "features.windows=[2]"), ("encode", "features.max_values=3")])
def test_a_stage_does_not_begin_without_room(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, verb: str, option: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny.rglob("*") if path.is_file() and ".locks" not in path.parts}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**6, 10**6 - 1_000, 1_000))
    assert run_command(["run", str(TINY), "--workspace", str(tiny.parent), "--run", "none", "--set", option]) == 4
    said_now = capsys.readouterr().err
    assert f"{tiny}: found 1 kB free on its disk, expected" in said_now
    assert f"or more for the stage {verb}. Fix: make room" in said_now
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {path for path in tiny.rglob("*") if path.is_file() and ".locks" not in path.parts} == set(before)
