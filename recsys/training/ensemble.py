"""Members fitted side by side, each by a process with its part of the threads.

A small net gains little from more threads, so members in processes of their own use the cores better. No member depends on another, so it
does not matter which process fits which.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from recsys.config import Pipeline
from recsys.processes import Task, run_side_by_side
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
    if training.compute.device.type != "cpu" or visits < WORTH:
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
