"""Hold what a training works with: the days, the pace and the device of all members, the journal and the checkpoint of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from recsys import schema
from recsys.config import Pipeline
from recsys.days import iso_day, ordinal
from recsys.encoding import Arrivals, EncodedDays, Encoder, Period, batches, encoder_after, rows_of_day
from recsys.encoding.layout import Batch, Layout
from recsys.errors import DataError
from recsys.process_group import ALONE, ProcessGroup
from recsys.progress import Messages
from recsys.scoring.devices import Compute
from recsys.training.apart import Group, groups
from recsys.training.interruption import Guard
from recsys.training.journal import Journal
from recsys.training.kept_states import KeptStates
from recsys.training.pace import Pace, pace_of
from recsys.training.rounds import Phase, Round, learned, rounds
from recsys.training.teacher import Teacher
from recsys.training.transfer import Transfer
from recsys.workspace import ENCODER, days_of

RECENT_DAYS = 7  # in time order, the last days that are read for what is fitted once more each night


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
    kept: KeptStates | None = None  # in time order: the states of days that are done

    @property
    def holders(self) -> ProcessGroup:
        """The processes that large embedding tables are spread over. Those that start from another run are whole in each."""
        return self.compute.group if self.transfer is None else ALONE

    @property
    def refits(self) -> bool:
        return self.pipeline.train.refit and bool(self.validation_days)

    @property
    def continues(self) -> bool:
        """Return whether the refit goes on where the training days ended, as in time order. Shuffled, it starts afresh on all days."""
        return self.pipeline.train.order == "time"

    @property
    def averages(self) -> bool:
        """Return whether the parameters are averaged: over passes, in time order over days."""
        return self.pipeline.train.averaging > 0

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of objectives that early stopping chooses for together."""
        return groups(self.pipeline.model.architecture, self.pipeline.objective)

    @property
    def warm(self) -> tuple[str, ...]:
        """The training days that the encoder is fitted on: all of them, in time order those among the first `train.warm_days`."""
        return tuple(self.pipeline.split.warm(self.train_days, self.pipeline.train.warm_days)) if self.continues else self.train_days

    @property
    def last_learned(self) -> str:
        """The last day whose labels are learned."""
        return self.learned_days[-1]

    @property
    def learned_days(self) -> tuple[str, ...]:
        """All days whose labels are learned."""
        return self.train_days + self.validation_days if self.refits else self.train_days

    @property
    def learned_through(self) -> str:
        """The last day whose labels the weights know in the end: learned here, or by the runs that they started from."""
        own = self.pipeline.learned_through
        return own if self.transfer is None else max(own, self.transfer.first.learned_through)

    @property
    def recent(self) -> tuple[str, ...]:
        """The training days whose mean labels are the background of metrics: all; in time order the last, as a night reads no more."""
        return self.train_days[-RECENT_DAYS:] if self.continues else self.train_days

    @property
    def goes_on_from(self) -> str | None:
        """The day whose kept state every member may go on from: the newest up to the last training day; None where there is none."""
        days = [self._kept_days(member, self.train_days[-1])[-1:] for member in range(self.pipeline.model.most_members)]
        return min(day for (day,) in days) if all(days) else None

    @property
    def days_left(self) -> tuple[str, ...]:
        """The days that are still to be learned."""
        since, last = self.goes_on_from or "", self.train_days[-1]
        ends = [self._kept_days(member, self.last_learned)[-1:] for member in range(self.pipeline.model.most_members)]
        end = min((day for (day,) in ends), default=last) if all(ends) else last
        return tuple(day for day in self.learned_days if day > (since if day <= last else max(end, last)))

    def _kept_days(self, member: int, last: str) -> list[str]:
        return [] if self.kept is None else self.kept.days(member, last)

    @property
    def rows(self) -> int:
        """The number of rows of the training days."""
        return sum(rows_of_day(self.encoded, day) for day in self.train_days)

    def encoder(self) -> Encoder:
        """Return the encoder as it is after the last learned day."""
        return encoder_after(self.encoded, [day for day in self.learned_days if day not in self.warm] if self.continues else [])

    def knowing(self, day: str) -> Self:
        """Return the same training with the vocabulary as it is after this day; with that of the warm days where `day` is empty."""
        if not day:
            return self
        later = [each for each in self.train_days + self.validation_days if each not in self.warm and each <= day]
        layout = self.layout.with_rows(max(self.layout.num_rows, EncodedDays(self.encoded, [day]).layout.num_rows))
        transfer = None if self.transfer is None else self.transfer.knowing(encoder_after(self.encoded, later))
        return replace(self, layout=layout, transfer=transfer)

    def days_of(self, phase: Phase) -> tuple[str, ...]:
        """Return the days that a phase learns in shuffled order."""
        return self.train_days if phase == "choose" else self.train_days + self.validation_days

    @property
    def following(self) -> dict[str, str | None]:
        """Each day → the next day that is predicted with what has been learned by then. In time order that is the day after it."""
        if self.continues:
            return {day: iso_day(ordinal(day) + 1) for day in self.train_days + self.validation_days}
        found: dict[str, str | None] = {}
        for part, days in ((schema.TRAIN, self.train_days), (schema.VALIDATION, self.validation_days)):
            found |= dict(zip(days, [*days[1:], self.pipeline.split.after(part)], strict=True)) if days else {}
        return found

    def rounds(self, phase: Phase) -> list[Round]:
        return rounds(self.pace, self.days_of(phase), self.following)

    def open(self, days: Sequence[str], known: Sequence[Period] | None = None) -> EncodedDays:
        return EncodedDays(self.encoded, days, known).known_to(self.layout)

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


def open_training(pipeline: Pipeline, encoded: Path, compute: Compute, kept: KeptStates | None = None) -> Training:
    """Open what all members share. The model's numbers are settled (`Model.settled`, a budget's widths).

    `kept` is where the states of a training in time order are kept.

    Raise DataError without training days. Raise ConfigError or ArtifactError for another run that does not fit (`train.init_from`,
    `train.distil_from`).
    """
    train_days, validation_days = (tuple(days_of(pipeline.split, encoded, part)) for part in (schema.TRAIN, schema.VALIDATION))
    if not train_days:
        first, last = pipeline.split.train
        raise DataError(f"{encoded}: found no training day, expected some from {first} to {last}. Fix: split.train, or the source's files")
    encoder = Encoder.load(encoded / ENCODER)
    start, told_by = pipeline.train.init_from, pipeline.train.distil_from
    transfer = None if start is None else Transfer(pipeline, encoder, start)
    teacher = None if told_by is None else Teacher(pipeline, told_by, compute)
    pace = pace_of(pipeline.train, rows_of_pace(pipeline, encoded))
    arrivals = _Arrivals(encoded)
    return Training(pipeline, encoder.layout, encoded, train_days, validation_days, compute, pace, arrivals, transfer, teacher, kept)


def rows_of_pace(pipeline: Pipeline, encoded: Path) -> int:
    """Count the rows that set the pace and the number of members: of all training days, in time order of the warm days alone.

    In time order the pace must not change from day to day.
    """
    days = days_of(pipeline.split, encoded, schema.TRAIN)
    warm = pipeline.split.warm(days, pipeline.train.warm_days) if pipeline.train.order == "time" else days
    return sum(rows_of_day(encoded, day) for day in warm)


class _Arrivals(dict[str, Arrivals]):
    """The arrivals of each day, counted when they are first asked for."""

    def __init__(self, encoded: Path) -> None:
        super().__init__()
        self._encoded = encoded

    def __missing__(self, day: str) -> Arrivals:
        self[day] = found = EncodedDays(self._encoded, [day]).arrivals()
        return found


def batch_of_one(training: Training) -> Batch:
    """Return one training row, to count the multiplications for it. No more days are opened than it needs."""
    days = (training.open([day]) for day in training.recent)
    return next(batch for day in days for batch in batches(day, batch_size=1, order="time"))
