"""What all members of a training share: the days, the device, where it speaks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys import schema
from recsys.config import Pipeline
from recsys.days import ordinal
from recsys.encoding import Arrivals, EncodedDays, Period, batches
from recsys.encoding.layout import Batch, Layout
from recsys.progress import Console
from recsys.training.apart import Group, groups
from recsys.training.devices import Compute
from recsys.training.guard import Guard
from recsys.training.journal import Journal
from recsys.training.loop import Speed
from recsys.training.plan import Phase, Round, learned, rounds
from recsys.training.transfer import Transfer


@dataclass(frozen=True)
class Work:
    """Handed to every phase; only `speed` counts on."""

    pipeline: Pipeline
    layout: Layout
    encoded: Path
    train_days: tuple[str, ...]
    validation_days: tuple[str, ...]
    compute: Compute
    journal: Journal
    guard: Guard
    console: Console
    speed: Speed
    arrivals: Mapping[str, Arrivals]  # of each day of both
    transfer: Transfer | None = None  # the trained run that members start from

    @property
    def refits(self) -> bool:
        return self.pipeline.train.refit and bool(self.validation_days)

    @property
    def continues(self) -> bool:
        """In time order the refit goes on where the training days ended; shuffled it starts afresh on all days."""
        return self.pipeline.train.order == "time"

    @property
    def groups(self) -> tuple[Group, ...]:
        """The objectives that early stopping chooses for together."""
        return groups(self.pipeline.model.sharing, self.pipeline.objective)

    def days_of(self, phase: Phase) -> tuple[str, ...]:
        if phase == "choose":
            return self.train_days
        return self.validation_days if self.continues else self.train_days + self.validation_days

    @property
    def following(self) -> dict[str, str | None]:
        """Of each day the one that is predicted next with what has been learned by then."""
        found: dict[str, str | None] = {}
        for part, days in ((schema.TRAIN, self.train_days), (schema.VALIDATION, self.validation_days)):
            found |= dict(zip(days, [*days[1:], self.pipeline.split.after(part)], strict=True)) if days else {}
        return found

    def rounds(self, phase: Phase) -> list[Round]:
        earlier = self.train_days if phase == "refit" and self.continues else ()
        return rounds(self.pipeline.train, self.days_of(phase), self.following, earlier)

    def open(self, days: Sequence[str], known: Sequence[Period] | None = None) -> EncodedDays:
        return EncodedDays(self.encoded, days, known)

    def open_round(self, this: Round) -> EncodedDays:
        """What is learned in it: the labels of its days, and the late ones of those earlier days that have some."""
        days = (*this.days, *(day for day in this.earlier if max(self.arrivals[day], default=-1) >= this.known.since))
        return self.open(days, [this.known] * len(days))

    @property
    def judged(self) -> Period:
        """Which labels of the validation days may choose a pass: choosing is learning, so those that are known before the test begins."""
        end = self.pipeline.split.after(schema.VALIDATION)
        return Period(until=None if end is None else ordinal(end))

    @property
    def chooses(self) -> bool:
        """Whether shuffled passes are chosen between: validation days have labels to choose by."""
        known = [day for of_day in self.validation_days for day in self.arrivals[of_day]]
        return not self.continues and bool(self.judged.holds(np.array(known, np.int64)).any())

    def open_judged(self) -> EncodedDays:
        return self.open(self.validation_days, [self.judged] * len(self.validation_days))

    def open_learned(self, days: Sequence[str]) -> EncodedDays:
        """The first days of a training with all labels that have been learned when the last of them is done."""
        return self.open(days, learned(self.pipeline.train, days, self.following))


def batch_of_one(work: Work) -> Batch:
    """One training row, to count the multiplications of."""
    return next(iter(batches(work.open(work.train_days), batch_size=1, order="time")))
