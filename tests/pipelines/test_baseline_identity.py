"""Which pipelines share a baseline: those whose baseline would learn the same from the same."""

from pathlib import Path

import pytest

from recsys import config
from recsys.jobs import open_job
from recsys.progress import Console
from recsys.stages import baseline_run

from .conftest import PIPELINES


def run_of(kind: str, workspace: Path, *overrides: str) -> Path:
    pipeline = config.load(PIPELINES / "tiny.toml", overrides)
    return baseline_run(open_job(pipeline, workspace, run="another", replace=True, console=Console(quiet=True)), kind)


@pytest.mark.parametrize("override", ["objective.like.position=true", "objective.click.position=false", "model.position=blind"])
def test_trees_that_see_something_else_are_other_trees(tiny: Path, workspace: Path, override: str) -> None:
    assert run_of("gbdt", workspace, override) != run_of("gbdt", workspace)
    assert run_of("popularity", workspace, override) == run_of("popularity", workspace), "it never sees a position"


@pytest.mark.parametrize(
    "override", ["objective.like.position=false", "model.position=input", "model.d_tower=8", "objective.like.fusion_weight=2"]
)
def test_what_the_trees_do_not_read_makes_no_others(tiny: Path, workspace: Path, override: str) -> None:
    assert run_of("gbdt", workspace, override) == run_of("gbdt", workspace)
    assert run_of("gbdt", workspace) == next((tiny / "runs").glob("gbdt-*")), "the run that stands"
