"""Distillation: a trained run, the teacher, says of each training row what a student should learn beside the row's labels.

Hinton, Vinyals & Dean (2015), section 2, with a temperature of 1: one net learns the mean of what several nets say, so that one net is
served. What is descended is (1 − share) · loss against the label + share · loss against what the teacher says, on the rows that have the
label.

A teacher speaks in evaluation mode, with the position as logged. It has two voices. In the choosing phase its members speak as they were
before their refit: the validation days choose the student's passes, calibrate it and weigh its objectives, so nothing that has learned
these labels may teach it. In the refit the refitted members speak, which know the newest days.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from recsys.config import Pipeline
from recsys.encoding.layout import Batch
from recsys.errors import ConfigError
from recsys.losses import ObjectiveLosses
from recsys.scoring.devices import Compute
from recsys.scoring.member import Member
from recsys.scoring.model_folder import CHOSEN, Model, keeps_chosen, read_model
from recsys.training.rounds import Phase
from recsys.workspace import MODEL

_MEANING = ("name", "kind", "learned_by", "duration", "levels", "given")  # what an output of an objective means
_DISTIL_SHARE = 0.9  # by backtest (docs/distillation.md)


class Told(NamedTuple):
    """Hold what a teacher says of a batch: method → [B, J, ...] (`losses.Loss.told_by`), and its share of what is descended."""

    by_method: Mapping[str, Tensor]
    share: float


class Teacher:
    """The members of a trained run, which have learned the same encoded rows as the student (stages/train.py requires it)."""

    def __init__(self, pipeline: Pipeline, run: Path, compute: Compute) -> None:
        """Read the run. Raise ConfigError where it cannot teach this pipeline, and ArtifactError where it cannot be read."""
        model = read_model(run / MODEL)
        problems = [*_other_outputs(pipeline, model, run), *_knows_too_much(pipeline, model, run)]
        if problems:
            raise ConfigError(problems)
        chosen = read_model(run / MODEL, CHOSEN) if keeps_chosen(run / MODEL) else model
        self.members: dict[Phase, tuple[Member, ...]] = {"choose": chosen.members, "refit": model.members}
        for member in (*chosen.members, *model.members):
            member.to(compute.device)
        self._compute = compute
        self._share = _DISTIL_SHARE if pipeline.train.distil_share is None else pipeline.train.distil_share

    @torch.no_grad()
    def told(self, batch: Batch, student: ObjectiveLosses, phase: Phase) -> Told:
        """Return what the teacher says of a batch, as the mean over its members, in the form that the student's losses learn.

        An objective that does not see the position is told of without it, as it is predicted.
        """
        said = []
        for member in self.members[phase]:
            with self._compute.autocast():
                output = member.ranker.predict(batch, position="logged")
            said.append(student.told_by(member.losses, output.outputs_BK.float(), batch.durations))
        return Told({method: torch.stack([one[method] for one in said]).mean(0) for method in said[0]}, self._share)


# --- What must fit --------------------------------------------------------------------------------------------------
def _other_outputs(pipeline: Pipeline, model: Model, run: Path) -> Iterator[str]:
    """Yield a problem for each objective whose output means something else in the teacher, or that the teacher has not learned."""
    for ours, theirs in zip(pipeline.objective, model.pipeline.objective, strict=True):
        for key in _MEANING:
            mine, its = getattr(ours, key), getattr(theirs, key)
            if mine != its:
                yield (
                    f"objective.{ours.name}.{key}: found {mine!r}, expected {its!r} as the run {run.name} has it (train.distil_from), whose"
                    " outputs are learned. Fix: the same objectives in both"
                )
        if ours.loss_weight > 0 and theirs.loss_weight == 0:
            yield (
                f"train.distil_from: found the run {run.name}, which has not learned {ours.name} (loss_weight 0), expected one that has."
                " Fix: another run"
            )


def _knows_too_much(pipeline: Pipeline, model: Model, run: Path) -> Iterator[str]:
    """Yield a problem where labels that judge the student would come back to it through the teacher."""
    split, first = model.pipeline.split, model.pipeline.train.init_from
    if split != pipeline.split:
        yield (
            f"train.distil_from: found the run {run.name} with another split, expected the same, because it may know labels that judge this"
            " run. Fix: the same [split] in both"
        )
    if first is not None:
        yield (
            f"train.distil_from: found the run {run.name}, which started from the run {first.name}, expected one that started from nothing,"
            " because what that one has learned is not known here. Fix: train it without train.init_from"
        )
    if model.pipeline.train.refit and split.validation is not None and not keeps_chosen(run / MODEL):
        yield (
            f"train.distil_from: found the run {run.name}, which has learned the validation days and does not keep what it was before,"
            " expected one that does, because these days choose the passes of this run. Fix: train that run with train.keep_chosen = true"
        )
