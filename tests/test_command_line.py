"""What the command line answers without a pipeline."""

import platform
from importlib.metadata import version

import pytest

from recsys.cli import run_command
from recsys.cli.app import app
from recsys.stages import STAGES

VERBS = [command.name or command.callback.__name__ for command in app.registered_commands]


def test_the_version_comes_with_those_that_a_report_of_a_bug_needs(capsys: pytest.CaptureFixture) -> None:
    assert run_command(["--version"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"recsys {version('recsys')}, ")
    assert f"torch {version('torch')}" in said
    assert f"Python {platform.python_version()}" in said


def test_every_stage_is_a_verb() -> None:
    assert set(STAGES) <= set(VERBS)


@pytest.mark.parametrize("verb", [None, *VERBS])
def test_both_words_for_help(verb: str | None, capsys: pytest.CaptureFixture) -> None:
    shown = []
    for word in ("-h", "--help"):
        assert run_command([*([verb] if verb else []), word]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert shown[0].startswith("Usage: recsys")
