"""Which rows a training learns in what order, and how large its steps are: pure functions of the options and the place."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from recsys.config import Train
from recsys.days import ordinal
from recsys.encoding import Period, Sampling, Thinning
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
    known: Period  # labels are learned that become known in it
    earlier: tuple[str, ...] = ()  # days that are done, whose labels of that period are learned too


def rounds(train: Train, days: Sequence[str], following: Mapping[str, str | None], earlier: Sequence[str] = ()) -> list[Round]:
    """`shuffled`: every round holds all days. `time`: day after day, the rows of a day shuffled (the day is the unit of time).

    No label is learned before it is known: `following` says of each day which one is predicted next, with what has been learned by then
    (None: none is). In time order the round of a day learns what becomes known from the end of the round before it up to the start
    of the next day, on its own rows and, with `train.late = "next_day"`, on those of earlier days. `earlier`: the days of the phase
    before, where this one goes on from it.
    """
    if train.order == "shuffled":
        known = Period(until=_ordinal(following[days[-1]]))
        return [Round(tuple(days), number, predicted_first=False, known=known) for number in range(train.passes)]
    found, done = [], tuple(earlier)
    since = _ordinal(following[done[-1]]) if done else 0
    for day in days:
        assert since is not None, f"{day} comes after the last day"
        until = _ordinal(following[day])
        late = done if train.late == "next_day" else ()
        found += [Round((day,), number, number == 0, Period(since, until), late) for number in range(train.day_passes)]
        since, done = until, (*done, day)
    return found


def learned(train: Train, days: Sequence[str], following: Mapping[str, str | None]) -> list[Period]:
    """Of each of the first days of a training, which labels have been learned when the last of them is done."""
    if train.order == "time" and train.late == "drop":
        return own_periods(days, following)
    return [Period(until=_ordinal(following[days[-1]]))] * len(days)


def own_periods(days: Sequence[str], following: Mapping[str, str | None]) -> list[Period]:
    """Of each day, which of its labels are known before the next one is predicted."""
    return [Period(until=_ordinal(following[day])) for day in days]


def _ordinal(day: str | None) -> int | None:
    return None if day is None else ordinal(day)


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
