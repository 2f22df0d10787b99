"""Hold what a training works with: the days, the pace and the device of all members, the journal and the checkpoint of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from recsys import schema
from recsys.config import Pipeline
from recsys.days import ordinal
from recsys.encoding import Arrivals, EncodedDays, Encoder, Period, batches
from recsys.encoding.layout import Batch, Layout
from recsys.errors import DataError
from recsys.progress import Messages
from recsys.scoring.devices import Compute
from recsys.training.apart import Group, groups
from recsys.training.interruption import Guard
from recsys.training.journal import Journal
from recsys.training.pace import Pace, pace_of
from recsys.training.rounds import Phase, Round, learned, rounds
from recsys.training.teacher import Teacher
from recsys.training.transfer import Transfer
from recsys.workspace import ENCODER, days_of


@dataclass(frozen=True)
class Training:
    """Hold what all members of a training share."""

    pipeline: Pipeline
    layout: Layout
    encoded: Path
    train_days: tuple[str, ...]
    validation_days: tuple[str, ...]
    compute: Compute
    pace: Pace
    arrivals: Mapping[str, Arrivals]  # of each training and validation day
    transfer: Transfer | None = None  # the trained run that members start from
    teacher: Teacher | None = None  # the trained run whose predictions members learn

    @property
    def refits(self) -> bool:
        return self.pipeline.train.refit and bool(self.validation_days)

    @property
    def continues(self) -> bool:
        """Return whether the refit goes on where the training days ended, as in time order. Shuffled, it starts afresh on all days."""
        return self.pipeline.train.order == "time"

    @property
    def averages(self) -> bool:
        """Return whether the parameters are averaged. In time order there is no pass to average over."""
        return self.pipeline.train.averaging > 0 and not self.continues

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of objectives that early stopping chooses for together."""
        return groups(self.pipeline.model.architecture, self.pipeline.objective)

    def days_of(self, phase: Phase) -> tuple[str, ...]:
        if phase == "choose":
            return self.train_days
        return self.validation_days if self.continues else self.train_days + self.validation_days

    @property
    def following(self) -> dict[str, str | None]:
        """Each day → the next day that is predicted with what has been learned by then."""
        found: dict[str, str | None] = {}
        for part, days in ((schema.TRAIN, self.train_days), (schema.VALIDATION, self.validation_days)):
            found |= dict(zip(days, [*days[1:], self.pipeline.split.after(part)], strict=True)) if days else {}
        return found

    def rounds(self, phase: Phase) -> list[Round]:
        earlier = self.train_days if phase == "refit" and self.continues else ()
        return rounds(self.pipeline.train, self.pace, self.days_of(phase), self.following, earlier)

    def open(self, days: Sequence[str], known: Sequence[Period] | None = None) -> EncodedDays:
        return EncodedDays(self.encoded, days, known)

    def open_round(self, this: Round) -> EncodedDays:
        """Open what a round learns: the labels of its days, and the late labels of the earlier days that have some."""
        days = (*this.days, *(day for day in this.earlier if max(self.arrivals[day], default=-1) >= this.known.since))
        return self.open(days, [this.known] * len(days))

    @property
    def judged(self) -> Period:
        """The period of the validation labels that may choose a pass: those known before the test begins, because choosing is learning."""
        end = self.pipeline.split.after(schema.VALIDATION)
        return Period(until=None if end is None else ordinal(end))

    @property
    def chooses(self) -> bool:
        """Return whether one of the shuffled passes is chosen: validation days have labels to choose by."""
        known = [day for of_day in self.validation_days for day in self.arrivals[of_day]]
        return not self.continues and bool(self.judged.holds(np.array(known, np.int64)).any())

    def open_judged(self) -> EncodedDays:
        return self.open(self.validation_days, [self.judged] * len(self.validation_days))

    def open_learned(self, days: Sequence[str]) -> EncodedDays:
        """Open the first days of a training with all labels that have been learned when the last of these days is done."""
        return self.open(days, learned(self.pipeline.train, days, self.following))


@dataclass(frozen=True)
class Work(Training):
    """The context of one member: what all members share, and where this one writes and speaks."""

    journal: Journal = field(kw_only=True)
    guard: Guard = field(kw_only=True)
    console: Messages = field(kw_only=True)


def open_training(pipeline: Pipeline, encoded: Path, compute: Compute) -> Training:
    """Open what all members share. The model's numbers are settled (`Model.settled`, a budget's widths).

    Raise DataError without training days. Raise ConfigError or ArtifactError for another run that does not fit (`train.init_from`,
    `train.distil_from`).
    """
    train_days, validation_days = (tuple(days_of(pipeline.split, encoded, part)) for part in (schema.TRAIN, schema.VALIDATION))
    if not train_days:
        first, last = pipeline.split.train
        raise DataError(f"{encoded}: found no training day, expected some from {first} to {last}. Fix: split.train, or the source's files")
    encoder = Encoder.load(encoded / ENCODER)
    arrivals = {day: EncodedDays(encoded, [day]).arrivals() for day in train_days + validation_days}
    rows = sum(len(EncodedDays(encoded, [day])) for day in train_days)
    start, told_by = pipeline.train.init_from, pipeline.train.distil_from
    transfer = None if start is None else Transfer(pipeline, encoder, start)
    teacher = None if told_by is None else Teacher(pipeline, told_by, compute)
    pace = pace_of(pipeline.train, rows)
    return Training(pipeline, encoder.layout, encoded, train_days, validation_days, compute, pace, arrivals, transfer, teacher)


def batch_of_one(training: Training) -> Batch:
    """Return one training row, to count the multiplications for it."""
    return next(iter(batches(training.open(training.train_days), batch_size=1, order="time")))
