"""Runs of an experiment trained side by side: the same bytes as one after the other, each model once, and every error says of which run."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from recsys.cli import run_command
from recsys.config import load
from recsys.experiments.trained import open_runs, trained
from recsys.experiments.variants import Variant
from recsys.progress import Advance, Console

from .test_sweep import OVER, SMALL, TINY, sweep

pytestmark = pytest.mark.words
BARE = [*SMALL, "evaluate.bootstrap=50", "evaluate.baselines=[]"]


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """So that two runs go side by side, with one thread each."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def files(workspace: Path) -> dict[str, bytes]:
    names = ("model/model.safetensors", "training.jsonl", "predictions.parquet")
    return {str(path.relative_to(workspace)): path.read_bytes() for name in names for path in workspace.glob(f"tiny/runs/*/{name}")}


class _Pressed(Console):
    """Presses Ctrl-C at the first step that is shown."""

    is_new = True

    def press(self) -> None:
        signal.raise_signal(signal.SIGINT)

    @contextlib.contextmanager
    def bar(self, what: str, total: int) -> Iterator[Advance]:
        def advance(steps: int = 1, note: str = "") -> None:
            if "train" in what and steps and self.is_new:
                self.is_new = False
                self.press()

        yield advance


def test_a_sweep_ends_in_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of the four runs stands already."""
    beside, in_turn = tmp_path / "beside", tmp_path / "in turn"
    torch.set_num_threads(1)
    sets = [part for override in (*BARE, "model.architecture=mmoe") for part in ("--set", override)]
    assert run_command(["run", str(TINY), "--workspace", str(beside), *sets, "--until", "score"]) == 0
    torch.set_num_threads(2)
    assert sweep(beside, *OVER, "--seeds", "2") == 0
    said = capsys.readouterr().out
    assert "sweep: 3 of 4 runs to train, 2 at once" in said
    assert "1: train: training days in time order: done" in said
    torch.set_num_threads(1)
    assert sweep(in_turn, *OVER, "--seeds", "2") == 0
    assert "at once" not in capsys.readouterr().out
    assert len(files(in_turn)) == 4 * 3
    assert files(beside) == files(in_turn)


def test_runs_of_one_model_train_it_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(tmp_path, "--over", "objective.like.fusion_weight=0.5,1.0", "--seeds", "2") == 0
    said = capsys.readouterr().out
    assert "sweep: 2 of 4 runs to train, 2 at once" in said
    assert said.count("train: the model of ") == 2


def test_the_error_says_of_which_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(tmp_path, "--over", "train.learning_rate=0.01,1e25") == 2
    assert "error: sweep 2 of 2: learning_rate=1e25, seed 7: train.learning_rate: found a loss of" in capsys.readouterr().err


def test_days_that_cannot_be_judged_are_found_after_the_first_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(tmp_path, *OVER, "--seeds", "2", "--set", 'objective.like.label="clicked >= 0"') == 3
    said = (
        "error: auc of like: found that no prediction has a value on test days, as where no label is known or all are alike, expected one"
    )
    assert said in capsys.readouterr().err
    assert len(list(tmp_path.glob("tiny/runs/*/predictions.parquet"))) <= 2  # that of the other process may be done as well


def test_a_run_that_needs_another_one_comes_after_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which is not there when the others begin: two of them can be trained side by side, and the third goes on from the first."""
    first = open_runs([Variant("a", load(TINY, BARE))], [7], tmp_path, Console(quiet=True))[0]
    later = [*BARE, f"train.init_from={first.job.run}"]
    variants = [Variant("a", load(TINY, BARE)), Variant("b", load(TINY, [*BARE, "model.dropout=0.3"])), Variant("c", load(TINY, later))]
    runs = list(trained(open_runs(variants, [7], tmp_path, Console()), "study"))
    assert "study: 2 of 3 runs to train, 2 at once" in capsys.readouterr().out
    assert all((run.job.run / "predictions.parquet").exists() for run in runs)


def test_the_lock_of_a_run_names_the_command_that_the_user_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is held by a process whose own command nobody typed."""
    owners: list[str] = []

    class Looking(_Pressed):
        def press(self) -> None:
            owners.extend(path.read_text() for path in tmp_path.glob("tiny/.locks/runs*"))

    monkeypatch.setattr(sys, "argv", ["recsys", "sweep", "of mine"])
    list(trained(open_runs([Variant("a", load(TINY, BARE))], [7, 8], tmp_path, Looking(quiet=True)), "study"))
    assert any("of mine" in owner for owner in owners), owners


def test_an_experiment_that_was_interrupted_goes_on_from_checkpoints(tmp_path: Path) -> None:
    variants = [Variant("a", load(TINY, [*BARE, "source.users=150", "train.batch_size=16"]))]

    def run(workspace: Path, console: Console) -> dict[str, bytes]:
        list(trained(open_runs(variants, [7, 8], workspace, console), "study", stages=("train", "score")))
        return files(workspace)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", _Pressed(quiet=True))
    assert list((tmp_path / "parts").glob("tiny/runs/*/checkpoint/state-0.safetensors"))
    assert run(tmp_path / "parts", Console(quiet=True)) == run(tmp_path / "whole", Console(quiet=True))
