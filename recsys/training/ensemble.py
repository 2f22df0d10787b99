"""Members fitted by several processes: side by side, each by one of them, or one member after the other by all of them together.

A small net gains little from more threads, so members in processes of their own use the cores better. No member depends on another, so it
does not matter which process fits which. All processes work on one member where `torchrun` has started them (`processes/together.py`).
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from recsys.config import Pipeline
from recsys.processes import Task, run_side_by_side
from recsys.processes.together import joined, order_all
from recsys.progress import Console
from recsys.scoring.devices import decide, settled
from recsys.signals import Interruption, deferred_interrupt
from recsys.training.checkpoint import Checkpoints
from recsys.training.kept_states import KeptStates
from recsys.training.members import fit_member
from recsys.training.work import Training, open_training

WORTH = 250_000  # row visits of all members; a process takes some seconds before its first step


def members_at_once(training: Training) -> int:
    """Return how many members are fitted at once: at most one per thread; one on a GPU, and where there is little to do.

    It is a function of the options, the rows and the threads (`--jobs`), so a repeated command does the same operations again.
    """
    members, pace = training.pipeline.model.most_members, training.pace
    visits = members * pace.rows * pace.over(training.pipeline.train.order)
    if training.compute.device.type != "cpu" or training.compute.group.size > 1 or visits < WORTH:
        return 1
    return min(members, torch.get_num_threads())


@dataclass(frozen=True)
class FitMember(Task):
    """The fitting of one member, whose model has its numbers settled."""

    pipeline: Pipeline
    encoded: Path
    checkpoints: Checkpoints
    kept: KeptStates | None
    index: int

    def run(self, console: Console) -> None:
        compute = decide(self.pipeline.train)
        with settled(compute, deterministic=self.pipeline.train.deterministic), deferred_interrupt() as interruption:
            training = open_training(self.pipeline, self.encoded, compute, self.kept)
            fit_member(training, self.checkpoints, self.index, lambda: interruption.requested, console)


def fit_side_by_side(
    training: Training, checkpoints: Checkpoints, todo: Sequence[int], at_once: int, interruption: Interruption, console: Console
) -> None:
    """Fit the members `todo`, `at_once` at a time. Raise as `run_side_by_side` does."""
    threads = max(1, torch.get_num_threads() // at_once)
    tasks = [FitMember(f"member {index + 1}", "", training.pipeline, training.encoded, checkpoints, training.kept, index) for index in todo]
    run_side_by_side(tasks, at_once, threads, interruption, console)


@dataclass(frozen=True)
class FollowMember(Task):
    """The part that another process has in the fitting of one member. The first process writes and speaks."""

    pipeline: Pipeline
    encoded: Path
    checkpoints: Checkpoints
    kept: KeptStates | None
    index: int
    threads: int

    def run(self, console: Console) -> None:
        torch.set_num_threads(self.threads)
        compute = replace(decide(self.pipeline.train), group=joined())
        kept = None if self.kept is None else replace(self.kept, writes=False)
        with (
            tempfile.TemporaryDirectory() as scratch,
            settled(compute, deterministic=self.pipeline.train.deterministic),
            deferred_interrupt() as interruption,
        ):
            training = open_training(self.pipeline, self.encoded, compute, kept)
            fit_member(training, self.checkpoints.followed_in(Path(scratch)), self.index, lambda: interruption.requested, console)


def fit_together(training: Training, checkpoints: Checkpoints, index: int, asked: Callable[[], bool], console: Console) -> None:
    """Fit one member by all processes of the group. Raise LostProcessError where one of them ends before the member is done."""
    title, threads = f"member {index + 1}", torch.get_num_threads()
    order_all(FollowMember(title, "", training.pipeline, training.encoded, checkpoints, training.kept, index, threads))
    fit_member(training, checkpoints, index, asked, console)
