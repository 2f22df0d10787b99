"""From the command line: a run that starts from another one."""

import shutil
from pathlib import Path

import pytest

from recsys import artifacts, config
from recsys.cli import run_command
from recsys.errors import ConfigError

from .test_whole_path import TINY


def train(workspace: Path, *overrides: str, name: str = "second") -> int:
    sets = [word for override in overrides for word in ("--set", override)]
    return run_command(["run", TINY, "--workspace", str(workspace), "--until", "train", "--run", name, "--replace", *sets])


def test_it_starts_from_the_other_and_is_fresh_until_that_changes(tiny: Path, workspace: Path, capsys):
    start = (f"train.init_from={tiny / 'runs' / 'first'}", "train.freeze=['embeddings', 'experts']")
    assert train(workspace, *start) == 0
    said = capsys.readouterr().out
    assert "train: from first: objectives loaded click, " in said
    assert "fresh none" in said
    assert "numbers are normalised as there" in said
    assert "train: frozen embeddings, experts: " in said
    content = artifacts.verify(tiny / "runs/first/model").content
    assert artifacts.verify(tiny / "runs/second/model").inputs["init_from"] == content
    assert train(workspace, *start) == 0
    assert "train: fresh" in capsys.readouterr().out
    assert train(workspace) == 0
    assert "train: the model of " in capsys.readouterr().out
    shutil.rmtree(tiny / "runs/second")  # other tests look at what runs there are


def test_a_run_that_is_not_there_is_named(tiny: Path, workspace: Path, capsys):
    assert train(workspace, f"train.init_from={tiny / 'runs' / 'nobody'}") == 2
    assert f"train.init_from: found no trained model in {tiny / 'runs' / 'nobody'}" in capsys.readouterr().err
    assert train(workspace, f"train.init_from={tiny / 'runs' / 'itself'}", name="itself") == 2
    assert "the run that is to be trained" in capsys.readouterr().err


def test_paths_are_relative_to_the_file_or_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "shell").mkdir()
    monkeypatch.chdir(tmp_path / "shell")
    text = Path(TINY).read_text() + 'init_from = "runs/first"\n'  # its last table is [train]
    (tmp_path / "tiny.toml").write_text(text)
    assert config.load(tmp_path / "tiny.toml").train.init_from == tmp_path / "runs/first"
    assert config.load(tmp_path / "tiny.toml", ["train.init_from=runs/x"]).train.init_from == tmp_path / "shell/runs/x"


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["train.freeze=['embeddings']"], "found embeddings without init_from"),
        (["train.init_from=x", "train.freeze=['gates']"], "found 'gates', expected one of embeddings, shared, experts, towers"),
    ],
)
def test_words_of_freeze_are_checked(overrides: list[str], text: str):
    with pytest.raises(ConfigError) as error:
        config.load(Path(TINY), overrides)
    assert text in str(error.value)
