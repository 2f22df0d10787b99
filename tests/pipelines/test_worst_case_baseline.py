"""From the command line: a run that is balanced against what another one has reached. What that says counts, not where it lies."""

import json
import shutil
from pathlib import Path

import pytest

from recsys import artifacts, config
from recsys.cli import run_command
from recsys.jobs import run_identity
from tests.staged import sign

from .test_whole_path import TINY

WORST_CASE = "balance.method=worst_case"


def train(workspace: Path, *overrides: str, name: str = "balanced", replace: bool = False) -> int:
    sets = [word for override in overrides for word in ("--set", override)]
    more = ["--replace"] if replace else []
    return run_command(["run", TINY, "--workspace", str(workspace), "--until", "train", "--run", name, *more, *sets])


@pytest.fixture
def alone(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny workspace: other tests look at what runs there are."""
    shutil.copytree(tiny, tmp_path / "workspace" / "tiny")
    return tmp_path / "workspace"


@pytest.mark.words
def test_a_baseline_counts_by_the_losses_it_has_reached(alone: Path, tmp_path: Path, capsys):
    first = alone / "tiny" / "runs" / "first"
    assert train(alone, WORST_CASE, f"balance.worst_case.baseline={first}") == 0
    known = artifacts.verify(alone / "tiny/runs/balanced/model").inputs["baseline"]

    elsewhere = tmp_path / "elsewhere" / "first"  # the same run at another place
    elsewhere.mkdir(parents=True)
    lines = [json.loads(line) for line in (first / "training.jsonl").read_text().splitlines()]
    (elsewhere / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    sign(elsewhere / "training.jsonl")
    capsys.readouterr()
    assert train(alone, WORST_CASE, f"balance.worst_case.baseline={elsewhere}") == 0
    assert "train: fresh" in capsys.readouterr().out

    better = {"event": "pass", "part": "validation", "loss": dict.fromkeys(("click", "watch_time", "like"), 0.1)}
    with (elsewhere / "training.jsonl").open("a") as journal:
        journal.write(json.dumps(better) + "\n")
    sign(elsewhere / "training.jsonl")
    assert train(alone, WORST_CASE, f"balance.worst_case.baseline={elsewhere}") == 0
    assert "train: fresh" not in capsys.readouterr().out
    assert artifacts.verify(alone / "tiny/runs/balanced/model").inputs["baseline"] != known


def test_where_another_method_balances_the_option_is_not_read(alone: Path, capsys):
    assert train(alone, "balance.worst_case.baseline=no/such/run", name="other") == 0
    assert "train: the model of " in capsys.readouterr().out


def test_mistakes_are_told_before_training(alone: Path, capsys):
    assert train(alone, WORST_CASE, "balance.worst_case.baseline=no/such/run") == 2
    assert "balance.worst_case.baseline: found no " in capsys.readouterr().err
    first = alone / "tiny" / "runs" / "first"
    assert train(alone, WORST_CASE, f"balance.worst_case.baseline={first}", name="first", replace=True) == 2
    assert "the run that is to be trained, expected another" in capsys.readouterr().err
    assert artifacts.verify(first / "model")


def test_the_place_is_no_part_of_what_makes_a_run():
    here, there, other = (
        run_identity(config.load(Path(TINY), [f"balance.worst_case.baseline={place}"])) for place in ("/a/one", "/b/one", "/a/two")
    )
    assert here == there != other
    assert run_identity(config.load(Path(TINY)))["balance"]["worst_case"]["baseline"] is None
