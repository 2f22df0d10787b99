"""Which rows a training learns in what order, and how large its steps are: pure functions of the options and the place."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from recsys.config import Train
from recsys.encoding import Sampling, Thinning
from recsys.objectives import Objective

Phase = Literal["choose", "refit"]

_EXPONENTS = {"uniform": 0.0, "proportional": 1.0}
_WARM_UP = 0.02  # of the planned steps: AdamW's second moments are noise before they have seen some batches


@dataclass(frozen=True)
class Round:
    """One walk over some days, each row once in an order drawn from (seed, `number`).

    With `train.sampling` as many steps, each on rows of one objective drawn likewise.
    """

    days: tuple[str, ...]
    number: int  # pass over these days, from 0
    predicted_first: bool  # whether the days are predicted before they are learned (a progressive row)


def rounds(train: Train, days: Sequence[str]) -> list[Round]:
    """`shuffled`: every round holds all days. `time`: day after day, the rows of a day shuffled (the day is the unit of time)."""
    if train.order == "shuffled":
        return [Round(tuple(days), number, predicted_first=False) for number in range(train.passes)]
    return [Round((day,), number, predicted_first=number == 0) for day in days for number in range(train.day_passes)]


def thinning(train: Train, objectives: Sequence[Objective], seed: int) -> Thinning | None:
    """Of training batches; a share of 1 is a thinning like any other, that keeps all."""
    if train.negatives is None:
        return None
    place = [objective.name for objective in objectives].index(train.negatives.objective)
    return Thinning(place, train.negatives.keep, seed)


def sampling(train: Train, objectives: Sequence[Objective]) -> Sampling | None:
    """Of training batches; an objective that counts for nothing is never drawn. None: every row with all its labels."""
    if train.sampling == "joint":
        return None
    exponent = _EXPONENTS[train.sampling] if isinstance(train.sampling, str) else train.sampling
    return Sampling(exponent, tuple(k for k, objective in enumerate(objectives) if objective.loss_weight > 0))


def learning_rate_share(train: Train, step: int, steps: int) -> float:
    """The share of the full learning rate at `step` (from 0) of `steps` planned ones.

    Shuffled: a linear warm-up over the first 2 %, then, with `schedule = "cosine"`, half a cosine down to zero at the last planned
    step, reached or not. In time order the log has no planned end: constant.
    """
    if train.order == "time":
        return 1.0
    share = min(1.0, (step + 1) / math.ceil(_WARM_UP * steps))
    if train.schedule == "cosine":
        share *= 0.5 * (1.0 + math.cos(math.pi * step / steps))
    return share
