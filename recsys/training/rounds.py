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
    predicted_first: bool  # whether the days are predicted before they are learned (a progressive row)
    known: Period  # the labels that become known in this period are learned
    earlier: tuple[str, ...] = ()  # days that are done; their labels that become known in this period are learned too


def rounds(train: Train, pace: Pace, days: Sequence[str], following: Mapping[str, str | None], earlier: Sequence[str] = ()) -> list[Round]:
    """Return the rounds of a phase, as many as `pace` says.

    `shuffled`: every round holds all days. `time`: day after day, with the rows of a day shuffled. In time order the day is the unit of
    time. No label is learned before it is known. `following` gives, for each day, the next day that is predicted with what has been learned
    by then (None: there is none). In time order the round of a day learns the labels that become known from the end of the previous round
    up to the start of the next day. It learns them on its own rows and, with `train.late = "next_day"`, on the rows of earlier days.
    `earlier` holds the days of the phase before, where this phase goes on from it.
    """
    if train.order == "shuffled":
        known = Period(until=_ordinal(following[days[-1]]))
        return [Round(tuple(days), number, predicted_first=False, known=known) for number in range(pace.passes)]
    found, done = [], tuple(earlier)
    since = _ordinal(following[done[-1]]) if done else 0
    for day in days:
        assert since is not None, f"{day} comes after the last day"
        until = _ordinal(following[day])
        late = done if train.late == "next_day" else ()
        found += [Round((day,), number, number == 0, Period(since, until), late) for number in range(pace.day_passes)]
        since, done = until, (*done, day)
    return found


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
