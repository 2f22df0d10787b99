"""A run's name is a folder's name, and is said in messages and pages: nothing in it can break a line or look like an option."""

from pathlib import Path

import pytest

from recsys.cli import run_command

from .test_whole_path import TINY


@pytest.mark.parametrize("name", ["", ".hidden", "_x", "-x", "a/b", "../a", "a b", "line\nfeed", "tab\t", "x" * 101, "a\x00b", "a:b", "a*"])
def test_other_names_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture, name: str) -> None:
    assert run_command(["run", TINY, "--workspace", str(tmp_path), f"--run={name}"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "expected letters, digits and . _ + - behind a letter or digit" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a", "A-1.b_c+d", "7", "läuft", "x" * 100])
def test_these_are_names(tmp_path: Path, name: str) -> None:
    assert run_command(["status", TINY, "--workspace", str(tmp_path), f"--run={name}"]) == 0
