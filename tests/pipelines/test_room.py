"""The free disk is compared before a stage with what it is expected to take: a warning, or an end where days of the same config tell."""

import shutil
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path

import pytest
from safetensors.torch import load_file

from recsys.cli import run_command
from recsys.config import load
from recsys.jobs import open_job
from recsys.progress import Console
from recsys.stages import STAGES, Job
from recsys.stages.room import Room, by_day, said

from .conftest import PIPELINES

TINY = PIPELINES / "tiny.toml"
Usage = namedtuple("Usage", "total used free")


def bytes_in(*folders: Path) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def expected(job: Job, name: str, stale: Sequence[str] | None = None) -> Room:
    """What a stage expects to need for the parts of these names, by default for all."""
    stage = STAGES[name]
    options = stage.receives(job.pipeline)
    return stage.room(job, options, [part for part in stage.parts(job, options) if stale is None or part.name in stale])


def opened(workspace: Path) -> Job:
    return open_job(load(TINY), workspace, run="first", console=Console(quiet=True))


@pytest.mark.parametrize("name", ["features", *(pytest.param(name, marks=pytest.mark.words) for name in ("ingest", "encode"))])
def test_what_is_expected_of_a_first_run_has_the_right_size(tiny: Path, tmp_path: Path, name: str) -> None:
    written = bytes_in(*STAGES[name].writes(opened(tiny.parent)))
    alone = opened(tmp_path)
    for before in [path for other in ("ingest", "features") if other != name for path in STAGES[other].writes(opened(tiny.parent))]:
        shutil.copytree(before, tmp_path / before.relative_to(tiny.parent))
    room = expected(alone, name)
    assert written / 3 < room.needed < 3 * written
    assert not room.measured


@pytest.mark.parametrize(("name", "folder"), [("features", "examples"), ("encode", "encoded")])
def test_days_that_stand_tell_what_another_day_takes(tiny: Path, tmp_path: Path, name: str, folder: str) -> None:
    shutil.copytree(tiny, tmp_path / "tiny")
    last = max(getattr(opened(tmp_path), folder).glob("day=*"))  # of this run: others may have left further days
    taken = bytes_in(last)
    assert expected(opened(tmp_path), name, [last.name.removeprefix("day=")]).needed < taken / 2  # one stands already
    shutil.rmtree(last)
    room = expected(opened(tmp_path), name, [last.name.removeprefix("day=")])
    assert room.measured
    assert taken / 2 < room.needed < 2 * taken


def test_many_values_need_a_large_model(tiny: Path) -> None:
    job = opened(tiny.parent)
    weights = load_file(job.run / "model" / "model.safetensors")
    table = max((tensor for tensor in weights.values() if tensor.ndim == 2), key=lambda tensor: tensor.shape[0])
    states = job.pipeline.train.kept_days + 1
    copies = (4 + states) * table.numel() * table.element_size()  # vectors, and a linear weight each
    assert copies / 2 < expected(job, "train").needed <= copies


def test_what_stands_of_a_day_is_taken_off() -> None:
    assert by_day({"1": 10, "2": 30}, {}, ["1", "2"], 3) == Room(120, measured=False)
    assert by_day({"1": 10, "2": 30}, {"1": 70}, ["2"], 3) == Room(210, measured=True)
    assert by_day({"1": 10, "2": 30}, {"1": 70, "2": 5}, ["2"], 3) == Room(205, measured=True)
    assert by_day({"1": 10, "2": 30}, {"1": 20, "2": 500}, ["1", "2"], 3) == Room(0, measured=False)
    assert by_day({"1": 10}, {}, ["9"], 3) == Room(0, measured=False)


def test_bytes_in_words() -> None:
    assert [said(size) for size in (0, 999, 1_234, 5_600_000, 123_400_000_000)] == ["0 bytes", "999 bytes", "1.23 kB", "5.6 MB", "123 GB"]


def test_a_day_that_does_not_fit_is_not_begun(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    mine = Path(shutil.copytree(tiny, tmp_path / "tiny"))
    shutil.rmtree(max(opened(tmp_path).encoded.glob("day=*")))
    before = {path: path.stat().st_mtime_ns for path in mine.rglob("*") if path.is_file() and ".locks" not in path.parts}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**6, 10**6 - 1_000, 1_000))
    assert run_command(["run", str(TINY), "--workspace", str(tmp_path), "--run", "first"]) == 4
    said_now = capsys.readouterr().err
    assert f"{mine}: found 1 kB free on its disk, expected about " in said_now
    assert "for the stage encode. Fix: make room" in said_now
    assert {path: path.stat().st_mtime_ns for path in mine.rglob("*") if path.is_file() and ".locks" not in path.parts} == before


@pytest.mark.words
def test_a_ratio_of_other_feeds_only_warns(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**6, 10**6 - 1_000, 1_000))
    assert run_command(["run", str(TINY), "--workspace", str(tmp_path), "--run", "first", "--until", "encode"]) == 0
    said_now = capsys.readouterr().out
    for stage in ("ingest", "features", "encode"):
        assert f"warning: {tmp_path / 'tiny'}: found 1 kB free on its disk, expected about" in said_now
        assert f"or more for the stage {stage}; where it does not do, make room" in said_now
