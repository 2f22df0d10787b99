"""Which pipelines share a baseline: those whose baseline would learn the same from the same."""

import sys
from pathlib import Path

import pytest

from recsys import config
from recsys.cli import run_command
from recsys.jobs import open_job
from recsys.progress import Console
from recsys.stages import baseline_run

from .conftest import PIPELINES


def run_of(kind: str, workspace: Path, *overrides: str) -> Path:
    pipeline = config.load(PIPELINES / "tiny.toml", overrides)
    return baseline_run(open_job(pipeline, workspace, run="another", replace=True, console=Console(quiet=True)), kind)


@pytest.mark.parametrize("trees", ["gbdt", "lightgbm"])
@pytest.mark.parametrize("override", ["objective.like.position=true", "objective.click.position=false", "model.position=blind"])
def test_trees_that_see_something_else_are_other_trees(tiny: Path, workspace: Path, override: str, trees: str) -> None:
    assert run_of(trees, workspace, override) != run_of(trees, workspace)
    assert run_of("popularity", workspace, override) == run_of("popularity", workspace), "it never sees a position"


@pytest.mark.parametrize(
    "override", ["objective.like.position=false", "model.position=input", "model.d_tower=8", "objective.like.fusion_weight=2"]
)
def test_what_the_trees_do_not_read_makes_no_others(tiny: Path, workspace: Path, override: str) -> None:
    assert run_of("gbdt", workspace, override) == run_of("gbdt", workspace)
    assert run_of("gbdt", workspace) == next((tiny / "runs").glob("gbdt-*")), "the run that stands"


def test_a_library_that_is_missing_is_said_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    asked = ["--set", 'evaluate.baselines=["lightgbm"]', "--workspace", str(tmp_path)]
    assert run_command(["run", str(PIPELINES / "tiny.toml"), *asked]) == 2
    assert 'found "lightgbm", which cannot be imported' in capsys.readouterr().err
    assert not list(tmp_path.rglob("events"))
