"""The rows that a training learns, their order, and the size of its steps: pure functions of the options and the place."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from recsys.config import Train
from recsys.days import ordinal
from recsys.encoding import Period, Sampling, Thinning
from recsys.objectives import Objective
from recsys.training.pace import Pace

Phase = Literal["choose", "refit"]

_EXPONENTS = {"uniform": 0.0, "proportional": 1.0}
_WARM_UP = 0.02  # share of the planned steps; AdamW's second moments are noise before they have seen some batches


@dataclass(frozen=True)
class Round:
    """One walk over some days, each row once, in an order drawn from (seed, `number`).

    With `train.sampling` a round has as many steps, and each step learns rows of one objective, drawn in the same way.
    """

    days: tuple[str, ...]
    number: int  # pass over these days, from 0
    known: Period  # the labels that become known in this period are learned
    earlier: tuple[str, ...] = ()  # days that are done; their labels that become known in this period are learned too


def rounds(pace: Pace, days: Sequence[str], following: Mapping[str, str | None]) -> list[Round]:
    """Return the rounds of a phase in shuffled order, as many as `pace` says. Every round holds all days.

    No label is learned before it is known. `following` gives, for each day, the next day that is predicted with what has been learned by
    then (None: there is none).
    """
    known = Period(until=_ordinal(following[days[-1]]))
    return [Round(tuple(days), number, known) for number in range(pace.passes)]


def day_rounds(train: Train, pace: Pace, day: str, last: str, late: Sequence[str]) -> list[Round]:
    """Return the rounds of a day in time order, as many as `pace` says.

    The day is the unit of time. Its rounds learn the labels that become known from the end of the `last` day that was learned (empty: there
    is none) up to the end of this one. They learn them on the day's own rows and, with `train.late = "next_day"`, on the rows of the
    `late` days, which are done and have labels that become known later.
    """
    known = Period(ordinal(last) + 1 if last else 0, ordinal(day) + 1)
    earlier = tuple(late) if train.late == "next_day" else ()
    return [Round((day,), number, known, earlier) for number in range(pace.day_passes)]


def learned(train: Train, days: Sequence[str], following: Mapping[str, str | None]) -> list[Period]:
    """Return, for each of the first days of a training, the period of the labels that have been learned when the last day is done."""
    if train.order == "time" and train.late == "drop":
        return own_periods(days, following)
    return [Period(until=_ordinal(following[days[-1]]))] * len(days)


def own_periods(days: Sequence[str], following: Mapping[str, str | None]) -> list[Period]:
    """Return, for each day, the period of its labels that are known before the next day is predicted."""
    return [Period(until=_ordinal(following[day])) for day in days]


def _ordinal(day: str | None) -> int | None:
    return None if day is None else ordinal(day)


def thinning(train: Train, objectives: Sequence[Objective], seed: int) -> Thinning | None:
    """Return the thinning of training batches; None without `train.negatives`. A share of 1 is a thinning too, which keeps all rows."""
    if train.negatives is None:
        return None
    place = [objective.name for objective in objectives].index(train.negatives.objective)
    return Thinning(place, train.negatives.keep, seed)


def sampling(train: Train, objectives: Sequence[Objective]) -> Sampling | None:
    """Return the sampling of training batches. It never draws an objective with `loss_weight` 0. None: every row with all its labels."""
    if train.sampling == "joint":
        return None
    exponent = _EXPONENTS[train.sampling] if isinstance(train.sampling, str) else train.sampling
    return Sampling(exponent, tuple(k for k, objective in enumerate(objectives) if objective.loss_weight > 0))


def learning_rate_share(train: Train, step: int, steps: int) -> float:
    """Return the share of the full learning rate at `step` (from 0) of `steps` planned ones.

    Shuffled: a linear warm-up over the first 2 % of the steps. With `schedule = "cosine"` the share is multiplied by half a cosine, which
    falls to zero at the last planned step, whether this step is reached or not. In time order the log has no planned end, so the share is
    constant.
    """
    if train.order == "time":
        return 1.0
    share = min(1.0, (step + 1) / math.ceil(_WARM_UP * steps))
    if train.schedule == "cosine":
        share *= 0.5 * (1.0 + math.cos(math.pi * step / steps))
    return share
