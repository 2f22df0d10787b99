"""The pace of a training: its batch size, passes and learning rate, as the TOML says them or by the rules for "auto".

The rules are those of docs/training.md. They read `train.order` and a number of rows alone, so they give the same pace on every machine.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil, floor, log2
from typing import Literal

from recsys.config import Train

LARGEST_BATCH, SMALLEST_BATCH = 1024, 64
FEWEST_STEPS = 8  # in a pass: the fewest that were tried
PASSES, DAY_PASSES = 4, 1
LEARNING_RATE = 2e-3  # in shuffled order, where it falls to zero
CONSTANT_RATE = 1e-3  # in time order, where it has no end to fall to
FEW_STEPS, FEW_LABELS = 100, 100  # below so few steps nets were behind trees on clicks and watch time (docs/training.md)


@dataclass(frozen=True)
class Pace:
    """The size of a training's steps, and how often it goes over its rows.

    `passes` over all days count where the order is shuffled, `day_passes` over each day where it is the order of time. `rows` are those of
    the training days, in time order of the warm days alone, because the pace must not change from day to day.
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
        (CONSTANT_RATE if train.order == "time" else LEARNING_RATE) if train.learning_rate == "auto" else train.learning_rate,
    )


def _batch_size(rows: int) -> int:
    """Return the largest power of two that leaves a pass `FEWEST_STEPS` steps, between the bounds."""
    largest = 2 ** floor(log2(max(rows / FEWEST_STEPS, 1)))
    return int(min(max(largest, SMALLEST_BATCH), LARGEST_BATCH))


def doubts(pace: Pace, rows: int, order: Literal["time", "shuffled"], labels: Mapping[str, float]) -> Iterator[str]:
    """Yield warnings about a training: it has few steps, or objectives with few labels to learn from.

    `rows`: those of all training days. `labels`: see `known.to_learn`.
    """
    times = pace.over(order)
    steps = times * ceil(rows / pace.batch_size)
    if steps < FEW_STEPS:
        how = f"{times} over {rows:,} rows in batches of {pace.batch_size:,}"
        yield (
            f"found {steps:,} training steps ({how}), expected {FEW_STEPS} or more: on so few rows nets were behind boosted trees."
            " Fix: more days in split.train"
        )
    if scarce := [f"{name} {count:,.0f}" for name, count in labels.items() if 0 < count < FEW_LABELS]:
        yield (
            f"found few labels to learn from, {', '.join(scarce)} (of yes or no: the rarer), expected {FEW_LABELS} or more."
            " Fix: more days in split.train, or leave these objectives out"
        )
    if order == "shuffled" and (alike := [name for name, count in labels.items() if not count]):  # else `known.alike_on_warm_days` says it
        meanwhile = ", ".join(f"objective.{name}.fusion_weight=0" for name in alike)
        yield (
            f"found one answer in all labels of {', '.join(alike)}, expected yes and no: what a net predicts there is noise, and it moves"
            f" the fused order. Fix: more days in split.train; until there are both, {meanwhile}"
        )
