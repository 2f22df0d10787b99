"""The pace of a training: its batch size, passes and learning rate, as the TOML says them or as the log asks for them.

The rules are those of docs/training.md. They read the number of training rows alone, so they give the same pace on every machine.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil, floor, log2
from typing import Literal

from recsys.config import Train

LARGEST_BATCH, SMALLEST_BATCH = 1024, 64
FEWEST_STEPS = 8  # in a pass: the fewest that were tried
PASSES, DAY_PASSES = 4, 1
LEARNING_RATE = 2e-3
FEW_STEPS, FEW_POSITIVES = 500, 100


@dataclass(frozen=True)
class Pace:
    """The size of a training's steps, and how often it goes over its rows.

    `passes` over all days count where the order is shuffled, `day_passes` over each day where it is the order of time. `rows` are those of
    the training days.
    """

    rows: int
    batch_size: int
    passes: int
    day_passes: int
    learning_rate: float

    def over(self, order: Literal["time", "shuffled"]) -> int:
        """Return how often each row is learned, at most."""
        return self.passes if order == "shuffled" else self.day_passes


def pace_of(train: Train, rows: int) -> Pace:
    """Return the pace for so many training rows: what the options say, and for those that are "auto" what the rules give."""
    return Pace(
        rows,
        _batch_size(rows) if train.batch_size == "auto" else train.batch_size,
        PASSES if train.passes == "auto" else train.passes,
        DAY_PASSES if train.day_passes == "auto" else train.day_passes,
        LEARNING_RATE if train.learning_rate == "auto" else train.learning_rate,
    )


def _batch_size(rows: int) -> int:
    """Return the largest power of two that leaves a pass `FEWEST_STEPS` steps, between the bounds."""
    largest = 2 ** floor(log2(max(rows / FEWEST_STEPS, 1)))
    return int(min(max(largest, SMALLEST_BATCH), LARGEST_BATCH))


def doubts(pace: Pace, order: Literal["time", "shuffled"], labels: Mapping[str, float]) -> Iterator[str]:
    """Yield what makes this training doubtful: few steps, and objectives with few labels of their rarer class (`labels`)."""
    times = pace.over(order)
    steps = times * ceil(pace.rows / pace.batch_size)
    if steps < FEW_STEPS:
        how = f"{times} over {pace.rows:,} rows in batches of {pace.batch_size:,}"
        yield (
            f"found {steps:,} training steps ({how}), expected {FEW_STEPS} or more: a net learns little in so few."
            " Fix: more days in split.train, or more passes"
        )
    if scarce := [f"{name} {count:,.0f}" for name, count in labels.items() if count < FEW_POSITIVES]:
        yield (
            f"found few labels to learn from, {', '.join(scarce)} (of yes or no: the rarer), expected {FEW_POSITIVES} or more."
            " Fix: more days in split.train, or leave these objectives out"
        )
