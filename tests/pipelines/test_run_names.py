"""The names of runs and pipelines are names of folders, and stand in messages, pages and addresses: one rule holds for both."""

import re
from pathlib import Path

import pytest

from recsys.cli import run_command
from recsys.config import NAME
from recsys.proposal.draft import pipeline_name

from .test_whole_path import TINY

_OTHERS = [
    "",
    ".hidden",
    "_x",
    "-x",
    "a/b",
    "../a",
    "a b",
    "line\nfeed",
    "tab\t",
    "end\n",
    "x" * 101,
    "a\x00b",
    "a:b",
    "a*",
    "a=b",
    "größe",
]


@pytest.mark.parametrize("name", _OTHERS)
@pytest.mark.parametrize("of", ["run", "pipeline"])
def test_other_names_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture, of: str, name: str) -> None:
    given = f"--run={name}" if of == "run" else f"--set=name={name!r}"
    assert run_command(["run", TINY, "--workspace", str(tmp_path), given]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "expected letters a to z, digits and . _ + - behind a letter or digit, at most 100" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a", "A-1.b_c+d", "7", "x" * 100])
@pytest.mark.parametrize("of", ["--run=%s", "--set=name='%s'"])
def test_these_are_names(tmp_path: Path, of: str, name: str) -> None:
    assert run_command(["status", TINY, "--workspace", str(tmp_path), of % name]) == 0


@pytest.mark.parametrize("file", ["größe.csv", "x" * 150 + ".csv", "+a+.tsv", "ü.parquet", "a b.csv.gz"])
def test_a_name_is_made_of_any_name_of_a_log(file: str) -> None:
    assert re.fullmatch(NAME, pipeline_name(Path(file)))
