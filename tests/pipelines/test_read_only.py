"""A workspace that may not be written: what only reads works, what writes is refused before it begins and says what to do."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from recsys import artifacts
from recsys.cli import run_command

from .conftest import PIPELINES

TINY = str(PIPELINES / "tiny.toml")


@pytest.fixture(scope="module")
def read_only(untouched: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The workspace of the tiny pipeline, read-only: mounted so for root, who may write whatever the rights are, else by its rights."""
    workspace = tmp_path_factory.mktemp("read-only")
    shutil.copytree(untouched / "tiny", workspace / "tiny")
    if os.getuid() != 0:
        folders = [folder for folder, _, _ in os.walk(workspace)]
        for path in [*folders, str(workspace / "tiny" / ".locks" / "at-work")]:
            os.chmod(path, 0o555)
        yield workspace
        for path in folders:
            os.chmod(path, 0o755)
        return
    mounts = (["mount", "--bind", str(workspace), str(workspace)], ["mount", "-o", "remount,ro,bind", str(workspace)])
    if any(subprocess.run(command, capture_output=True, check=False).returncode for command in mounts):
        subprocess.run(["umount", str(workspace)], capture_output=True, check=False)
        pytest.skip("root may write whatever the rights are, and may mount nothing read-only here")
    try:
        yield workspace
    finally:
        subprocess.run(["umount", str(workspace)], check=True)


@pytest.mark.parametrize("verb", ["status", "verify", "prune"])
def test_what_only_reads_a_pipeline_works(read_only: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = [] if verb == "prune" else ["--run", "first"]
    assert run_command([verb, TINY, *options, "--workspace", str(read_only)]) == 0, capsys.readouterr().err


@pytest.mark.words
def test_candidates_are_predicted(read_only: Path, untouched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = artifacts.read_table(untouched / "tiny" / "events" / "day=2024-01-05" / "part-0.parquet").to_pandas().head(20)
    rows[["timestamp", "user_id", "item_id", "query_item_id", "device"]].to_parquet(tmp_path / "candidates.parquet")
    found = {}
    for workspace in (read_only, untouched):
        out = tmp_path / f"{workspace.name}.parquet"
        command = ["predict", "first", str(tmp_path / "candidates.parquet"), "--workspace", str(workspace), "--out", str(out)]
        assert run_command(command) == 0, capsys.readouterr().err
        found[workspace] = pd.read_parquet(out), "cannot be written, so files in between go to" in capsys.readouterr().out
    pd.testing.assert_frame_equal(found[read_only][0], found[untouched][0])
    assert [said for _, said in found.values()] == [True, False]


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", TINY],
        ["verify", TINY, "--repair"],
        ["health", TINY],
        ["prune", TINY, "--yes"],
        ["promote", "first"],
        ["fuse", "first", "--maximise", "click"],
    ],
)
def test_what_writes_is_refused_by_the_place_that_cannot_be_written(
    read_only: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*arguments, "--workspace", str(read_only)]) in (2, 4)
    said = capsys.readouterr()
    assert said.err.startswith(f"error: {read_only}")
    assert "Fix: " in said.err
    assert "a bug" not in said.err
    assert len(said.err.splitlines()) == 1
