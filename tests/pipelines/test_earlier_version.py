"""What an earlier version left behind is named as such, and the message says what to do. Its stages are simply redone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.cli import run_command
from tests.staged import sign

from .conftest import PIPELINES

pytestmark = pytest.mark.words
TINY = str(PIPELINES / "tiny.toml")
FAST = ["--set", "evaluate.baselines=[]", "--set", "evaluate.bootstrap=20"]


def with_earlier_option(file: Path, model_of: Callable[[dict], dict]) -> None:
    """Put an option that no longer exists into a config that was written down."""
    config = json.loads(file.read_text(encoding="utf-8"))
    model_of(config)["fashion"] = "mmoe"
    file.write_text(json.dumps(config), encoding="utf-8")
    sign(file)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of this file alone: another run would take the model of the broken one."""
    return tmp_path_factory.mktemp("earlier")


@pytest.fixture
def earlier(workspace: Path) -> Path:
    """A run as an earlier version left it: its config has an option that this version does not know."""
    runs = workspace / "tiny" / "runs"
    for name in ("earlier", "tuned"):
        shutil.rmtree(runs / name, ignore_errors=True)
    assert run_command(["run", TINY, "--workspace", str(workspace), "--run", "first", "--until", "evaluate", "--quiet", *FAST]) == 0
    run = runs / "earlier"
    shutil.copytree(runs / "first", run)
    with_earlier_option(run / "config.json", lambda config: config["pipeline"]["model"])
    return run


@pytest.fixture
def earlier_model(earlier: Path) -> Path:
    """The same run, whose model is of the earlier version, too."""
    with_earlier_option(earlier / "model" / "config.json", lambda config: config["model"])
    sign(earlier / "model" / "config.json", fingerprint="0" * 12)  # of its version, not of this one
    return earlier


@pytest.mark.parametrize(
    "command", [["show", "earlier"], ["compare", "first", "earlier"], ["fuse", "earlier", "--maximise", "like"]], ids=lambda words: words[0]
)
def test_an_earlier_run_is_not_read(earlier: Path, workspace: Path, command: list[str], capsys: pytest.CaptureFixture):
    assert run_command([*command, "--workspace", str(workspace)]) == 4
    said = capsys.readouterr()
    assert "runs/earlier: made by an earlier version (model.fashion: unknown key" in said.err
    assert "Fix: make it again, recsys run PIPELINE.toml" in said.err
    assert "auc" not in said.out


def test_training_does_not_start_from_an_earlier_model(earlier_model: Path, workspace: Path, capsys: pytest.CaptureFixture):
    sets = ["--set", f"train.init_from={earlier_model}", "--run", "tuned", *FAST]
    assert run_command(["run", TINY, "--workspace", str(workspace), "--until", "train", *sets]) == 4
    assert "runs/earlier/model: made by an earlier version (model.fashion: unknown key" in capsys.readouterr().err


def test_an_earlier_run_is_redone(earlier_model: Path, workspace: Path, capsys: pytest.CaptureFixture):
    assert run_command(["run", TINY, "--workspace", str(workspace), "--run", "earlier", "--until", "train", "--replace", *FAST]) == 0
    assert "made by an earlier version" not in capsys.readouterr().err
    assert "fashion" not in json.loads((earlier_model / "model" / "config.json").read_text(encoding="utf-8"))["model"]
