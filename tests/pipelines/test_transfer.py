"""From the command line: a run that starts from another one, and a run that another one teaches."""

import shutil
from pathlib import Path

import pytest

from recsys import artifacts, config
from recsys.cli import run_command
from recsys.errors import ConfigError
from recsys.jobs import open_job
from recsys.progress import Console
from recsys.stages import learned_of
from recsys.stages.baselines import single_tasks
from recsys.stages.identity import run_name

from .test_whole_path import TINY

SHUFFLED = "train.order=shuffled"  # a teacher needs it


def train(workspace: Path, *overrides: str, name: str = "second") -> int:
    sets = [word for override in overrides for word in ("--set", override)]
    return run_command(["run", TINY, "--workspace", str(workspace), "--until", "train", "--run", name, "--replace", *sets])


@pytest.mark.words
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


@pytest.mark.words
def test_a_taught_run_is_fresh_until_its_teacher_changes(tiny: Path, workspace: Path, capsys):
    first = (SHUFFLED, "train.keep_chosen=true", "model.members=2")
    assert train(workspace, *first, name="teacher") == 0
    taught = (SHUFFLED, f"train.distil_from={tiny / 'runs' / 'teacher'}", "train.distil_share=0.7", "model.members=1")
    assert train(workspace, *taught, name="taught") == 0
    content = artifacts.verify(tiny / "runs/teacher/model").content
    assert artifacts.verify(tiny / "runs/taught/model").inputs["distil_from"] == content
    capsys.readouterr()
    assert train(workspace, *taught, name="taught") == 0
    assert "train: fresh" in capsys.readouterr().out
    assert train(workspace, *first, "train.passes=1", name="teacher") == 0
    assert train(workspace, *taught, name="taught") == 0
    assert "train: fresh" not in capsys.readouterr().out
    assert artifacts.verify(tiny / "runs/taught/model").inputs["distil_from"] != content
    for name in ("teacher", "taught"):
        shutil.rmtree(tiny / "runs" / name)  # other tests look at what runs there are


@pytest.mark.words
@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("objective.click.label=clicked = 0", "other rows of 2024-01-0"),  # the encoder is the same
        pytest.param("features.history=3", "another encoder", marks=pytest.mark.words),
    ],
)
def test_a_teacher_of_other_rows_is_refused(tiny: Path, tmp_path: Path, capsys, override: str, what: str):
    """In a copy: other tests count the examples that there are."""
    shutil.copytree(tiny, tmp_path / "tiny")
    assert train(tmp_path, SHUFFLED, "train.keep_chosen=true", "train.passes=1", name="teacher") == 0
    capsys.readouterr()
    assert train(tmp_path, SHUFFLED, f"train.distil_from={tmp_path / 'tiny' / 'runs' / 'teacher'}", override, name="taught") == 2
    assert f"train.distil_from: found the run teacher, which has learned from {what}" in capsys.readouterr().err


def test_where_the_other_run_lies_makes_no_other_run():
    names = {run_name(config.load(Path(TINY), [SHUFFLED, f"train.distil_from={folder}/first"])) for folder in ("/a", "/b")}
    assert len(names) == 1


def test_the_baseline_of_single_tasks_learns_from_no_other_run(workspace: Path):
    options = [
        SHUFFLED,
        "train.init_from=x",
        "train.freeze=['towers']",
        "train.distil_from=y",
        "train.distil_share=.3",
        "train.keep_chosen=true",
    ]
    job = open_job(config.load(Path(TINY), options), workspace, run=None, console=Console(quiet=True))
    plain = open_job(config.load(Path(TINY), [SHUFFLED]), workspace, run=None, console=Console(quiet=True))
    assert single_tasks(job).pipeline.train == single_tasks(plain).pipeline.train == plain.pipeline.train


@pytest.mark.parametrize("key", ["init_from", "distil_from"])
def test_a_run_that_is_not_there_is_named(tiny: Path, workspace: Path, capsys, key: str):
    assert train(workspace, SHUFFLED, f"train.{key}={tiny / 'runs' / 'nobody'}") == 2
    assert f"train.{key}: found no trained model in {tiny / 'runs' / 'nobody'}" in capsys.readouterr().err
    assert train(workspace, SHUFFLED, f"train.{key}={tiny / 'runs' / 'itself'}", name="itself") == 2
    assert "the run that is to be trained" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["init_from", "distil_from"])
def test_paths_are_relative_to_the_file_or_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str):
    (tmp_path / "shell").mkdir()
    monkeypatch.chdir(tmp_path / "shell")
    text = Path(TINY).read_text() + f'{key} = "runs/first"\n'  # its last table is [train]
    (tmp_path / "tiny.toml").write_text(text)
    assert getattr(config.load(tmp_path / "tiny.toml", [SHUFFLED]).train, key) == tmp_path / "runs/first"
    assert getattr(config.load(tmp_path / "tiny.toml", [SHUFFLED, f"train.{key}=runs/x"]).train, key) == tmp_path / "shell/runs/x"


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


@pytest.mark.parametrize("key", ["train.init_from", "balance.worst_case.baseline"])
def test_states_that_rest_on_another_run_are_found_where_the_workspace_was_moved(key: str, tmp_path: Path) -> None:
    """Else the next night of a training in time order learns all days again."""

    def states(workspace: Path, run: Path) -> str:
        workspace.mkdir(exist_ok=True)
        return learned_of(config.load(Path(TINY), [f"{key}={run}"]), workspace / "tiny", Path("encoded")).name

    here, there, link = (tmp_path / name for name in ("here", "there", "link"))
    name = states(here, here / "tiny/runs/first")
    assert states(there, there / "tiny/runs/first") == name
    assert states(here, here / "tiny/runs/second") != name
    link.symlink_to(here)
    assert states(here, link / "tiny/runs/first") == name
    assert states(there, here / "tiny/runs/first") != name, "a run of another workspace"
