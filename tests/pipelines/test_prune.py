"""`recsys prune`: what no run needs is shown, then removed; what a run needs stays, however old it is."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.cli import run_command

from .conftest import PIPELINES

TINY = str(PIPELINES / "tiny.toml")
OTHER = ["--set", "features.windows=[2]", "--until", "encode"]
DAY = 86_400
HOLDER = """
import sys
from pathlib import Path
from recsys import locks
from recsys.progress import Console
with locks.at_work(Path(sys.argv[1]), alone=sys.argv[2] == "alone", wait=False, console=Console(quiet=True)):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def mine(tiny: Path, tmp_path: Path) -> Path:
    """A workspace with one finished run, and examples and encoded days of another config that has none; all is old."""
    workspace = tmp_path / "workspace"
    shutil.copytree(tiny, workspace / "tiny")
    assert run_command(["prune", TINY, "--keep", "0h", "--yes", "--workspace", str(workspace), "--quiet"]) == 0  # what other tests left
    assert run_command(["run", TINY, *OTHER, "--workspace", str(workspace), "--quiet"]) == 0
    age(workspace, 40)
    return workspace


@contextlib.contextmanager
def holding(workspace: Path, how: str) -> Iterator[None]:
    """Another process at work in the pipeline's folder, with others or alone."""
    command = [sys.executable, "-c", HOLDER, str(workspace / "tiny"), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == b"held\n"
        yield
        job.communicate()


def age(folder: Path, days: float) -> None:
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (time.time() - days * DAY,) * 2)


def fingerprints(workspace: Path) -> dict[str, set[str]]:
    return {kind: {path.name for path in (workspace / "tiny" / kind).glob("*")} for kind in ("examples", "state", "encoded", "runs")}


def prune(workspace: Path, *more: str) -> int:
    return run_command(["prune", TINY, "--workspace", str(workspace), *more])


def fresh_stages(workspace: Path, run: str, capsys: pytest.CaptureFixture) -> str:
    capsys.readouterr()
    assert run_command(["status", TINY, "--run", run, "--workspace", str(workspace)]) == 0
    return capsys.readouterr().out


def test_it_shows_and_then_removes_what_no_run_needs(mine: Path, tiny: Path, capsys: pytest.CaptureFixture) -> None:
    before, others = fingerprints(mine), fingerprints(tiny.parent)
    kept = {kind: names & others[kind] for kind, names in before.items()}
    (gone,) = before["examples"] - kept["examples"]
    status = fresh_stages(mine, "first", capsys)
    assert prune(mine) == 0
    shown = capsys.readouterr().out
    assert f"examples/{gone} and {mine}/tiny/state/{gone}: " in shown
    assert "in all; with --yes it is removed" in shown
    assert fingerprints(mine) == before
    assert prune(mine, "--yes") == 0
    assert "in all; removed" in capsys.readouterr().out
    assert fingerprints(mine) == kept
    assert fresh_stages(mine, "first", capsys) == status
    assert prune(mine, "--yes") == 0
    assert "nothing that no run needs" in capsys.readouterr().out


@pytest.mark.words
def test_what_was_written_lately_stays(mine: Path, tiny: Path) -> None:
    before = fingerprints(mine)
    assert prune(mine, "--yes", "--keep", "41d") == 0
    assert fingerprints(mine) == before
    (lately,) = before["examples"] - fingerprints(tiny.parent)["examples"]
    age(next((mine / "tiny/state" / lately).rglob("*.parquet")), 1)
    assert prune(mine, "--yes") == 0
    assert lately in fingerprints(mine)["examples"]
    age(mine / "tiny/state" / lately, 40)
    assert prune(mine, "--yes") == 0
    assert lately not in fingerprints(mine)["examples"]


@pytest.mark.words
def test_every_kind_of_run_keeps_what_it_was_made_from(mine: Path, capsys: pytest.CaptureFixture) -> None:
    """A run that was only trained, one that died before its model stood, and one whose config is lost."""
    before = fingerprints(mine)
    workspace = ["--workspace", str(mine), "--quiet"]
    assert run_command(["run", TINY, "--set", "features.windows=[2]", "--until", "train", "--run", "second", *workspace]) == 0
    age(mine, 40)
    assert prune(mine, "--yes") == 0
    shutil.rmtree(mine / "tiny/runs/second/model")
    for name in ("training.jsonl", "_manifest.training.jsonl.json"):
        (mine / "tiny/runs/second" / name).unlink()
    assert prune(mine, "--yes") == 0
    for name in ("config.json", "_manifest.config.json.json"):
        (mine / "tiny/runs/first" / name).unlink()
    assert prune(mine, "--yes") == 0
    after = fingerprints(mine)
    assert {kind: after[kind] for kind in ("examples", "state", "encoded")} == {
        kind: before[kind] for kind in ("examples", "state", "encoded")
    }
    shutil.rmtree(mine / "tiny/runs/second")
    assert prune(mine, "--yes") == 0
    assert fingerprints(mine)["examples"] == before["examples"]  # whose are the other ones? a run has lost its config
    assert len(fingerprints(mine)["encoded"]) == 1


@pytest.mark.words
def test_a_job_at_work_is_not_robbed(mine: Path, capsys: pytest.CaptureFixture) -> None:
    before = fingerprints(mine)
    with holding(mine, "shared"):
        assert prune(mine) == 0
        assert prune(mine, "--yes") == 5
        assert f"{mine / 'tiny'}: in use by other jobs. Fix: wait until they end, or --wait" in capsys.readouterr().err
        assert fingerprints(mine) == before
    assert prune(mine, "--yes") == 0
    assert fingerprints(mine) != before


@pytest.mark.words
def test_jobs_wait_for_a_pruning(mine: Path, capsys: pytest.CaptureFixture) -> None:
    workspace = ["--run", "first", "--workspace", str(mine)]
    with holding(mine, "alone"):
        for verb in (["run"], ["encode"], ["train"], ["verify", "--repair"], ["sweep", "--over", "seed=1"], ["health"]):
            if verb[0] in ("sweep", "health"):
                workspace = workspace[-2:]
            assert run_command([verb[0], TINY, *verb[1:], *workspace]) in ((0, 5) if verb[0] == "verify" else (5,))
            assert verb[0] == "verify" or "in use by recsys prune. Fix: wait until it ends, or --wait" in capsys.readouterr().err
    assert run_command(["health", TINY, *workspace, "--wait", "--quiet"]) == 0  # it takes the word that the message names


@pytest.mark.words
def test_what_is_no_folder_of_ours_is_left_alone(mine: Path, capsys: pytest.CaptureFixture) -> None:
    """Files, and links within the workspace; broken ones too."""
    (mine / "tiny/examples/notes.txt").write_text("mine")
    (mine / "large").mkdir()
    (mine / "tiny/encoded/link").symlink_to(mine / "large")
    (mine / "tiny/encoded/broken").symlink_to(mine / "none")
    for _ in range(2):
        assert prune(mine, "--yes", "--keep", "0d") == 0
    assert (mine / "tiny/examples/notes.txt").read_text() == "mine"
    assert (mine / "tiny/encoded/link").is_dir()


@pytest.mark.words
def test_a_run_that_is_a_link_keeps_what_it_was_made_from(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It was moved to another place in the workspace."""
    assert prune(mine) == 0
    before = capsys.readouterr().out
    (mine / "archive").mkdir()
    for run in [path for path in (mine / "tiny" / "runs").glob("[!.]*") if path.is_dir()]:
        run.rename(mine / "archive" / run.name)
        run.symlink_to(mine / "archive" / run.name)
    assert prune(mine) == 0
    assert capsys.readouterr().out == before


@pytest.mark.words
def test_what_dead_jobs_left_goes_too(mine: Path) -> None:
    for name in ("examples/.x.1.draft", "runs/.first.1.old", ".predict.x.draft"):
        (mine / "tiny" / name).mkdir()
    assert prune(mine, "--yes") == 0
    assert not [path for path in (mine / "tiny").rglob(".*") if path.suffix in (".draft", ".old")]


@pytest.mark.parametrize("keep", ["30", "d", "-1d", "1w", ""])
def test_a_time_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture, keep: str) -> None:
    assert prune(tmp_path, "--keep", keep) == 2
    assert f'--keep: found "{keep}", expected a whole number and a unit' in capsys.readouterr().err


def test_an_empty_workspace_has_nothing_to_prune(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "tiny").mkdir()
    assert prune(tmp_path, "--yes") == 0
    assert "nothing that no run needs" in capsys.readouterr().out
