"""What all members of a training share: the days, the device, where it speaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recsys.config import Pipeline
from recsys.encoding import EncodedDays, batches
from recsys.encoding.layout import Batch, Layout
from recsys.progress import Console
from recsys.training.apart import Group, groups
from recsys.training.devices import Compute
from recsys.training.guard import Guard
from recsys.training.journal import Journal
from recsys.training.loop import Speed
from recsys.training.plan import Phase
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

    def open(self, days: Sequence[str]) -> EncodedDays:
        return EncodedDays(self.encoded, list(days))


def batch_of_one(work: Work) -> Batch:
    """One training row, to count the multiplications of."""
    return next(iter(batches(work.open(work.train_days), batch_size=1, order="time")))
