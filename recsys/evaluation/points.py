"""The rows of a sweep from its runs: points as means over seeds, the front, which point dominates which, hypervolume, and the noise.

Shapes: P points, S seeds, K numbers, R replicates. Oriented: times −1 where lower is better.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from recsys import schema
from recsys.errors import DataError
from recsys.evaluation.fronts import (
    BoolArray,
    Dominated,
    beyond_noise,
    dominates,
    front_share,
    hypervolume,
    hypervolume_replicates,
    non_dominated,
)
from recsys.evaluation.inputs.rows import FloatArray
from recsys.evaluation.intervals.bootstrap import MIN_USERS, Interval, interval
from recsys.evaluation.intervals.seeds import SeedNoise
from recsys.evaluation.measured import Measured
from recsys.evaluation.over_seeds import means, relative
from recsys.evaluation.paired import Paired

Ends = tuple[Sequence[float | None], Sequence[float | None]]


@dataclass(frozen=True)
class Points:
    """P points, each trained with the same S seeds. The runs of `paired` come in this order, all seeds of one point after another.

    `question` is what the numbers of `paired` ask (schema.WHO, WHICH or ASKED): they make one front. `seed` draws the noise of seeds in
    the replicates. Intervals are at `confidence`. Raises DataError where a number has no value.
    """

    names: tuple[str, ...]
    seeds: tuple[int, ...]
    paired: Paired
    split: str
    confidence: float
    seed: int
    question: str = schema.ASKED

    def __post_init__(self) -> None:
        problems = [
            f"{judged.metric.name} of {judged.objective} in run {run}: found no value with replicates on {self.split} days"
            f" ({measured.reason}), expected one. Fix: leave the objective out with --objective, or name another --metric"
            for run, numbers in zip(self.paired.runs, self.paired.measured, strict=True)
            for judged, measured in zip(self.paired.judged, numbers, strict=True)
            if measured.value is None or measured.replicates_R is None
        ]
        if problems:
            raise DataError("\n".join(problems))

    @cached_property
    def sign(self) -> FloatArray:
        """The sign that orients each number, [K]: −1 where lower is better, else 1."""
        return np.array([-1.0 if judged.better == schema.LOWER else 1.0 for judged in self.paired.judged])

    @cached_property
    def by_seed(self) -> FloatArray:
        """The value of every run, [P, S, K]."""
        values = [[measured.value for measured in numbers] for numbers in self.paired.measured]
        return np.array(values, np.float64).reshape(len(self.names), len(self.seeds), -1)

    def measured(self, number: int) -> list[tuple[Measured, ...]]:
        """Return one number of every run, [P][S]."""
        of_runs, seeds = [numbers[number] for numbers in self.paired.measured], len(self.seeds)
        return [tuple(of_runs[start : start + seeds]) for start in range(0, len(of_runs), seeds)]

    @cached_property
    def value(self) -> FloatArray:
        """The means over seeds, [P, K]."""
        return np.asarray(self.by_seed.mean(axis=1))

    @cached_property
    def seed_noise(self) -> SeedNoise | None:
        return SeedNoise.of(self.by_seed)

    @cached_property
    def by_user(self) -> FloatArray:
        """The means over seeds in each replicate, [R, P, K]. Their noise is that of the users."""
        numbers = np.array([[_replicates(measured) for measured in numbers] for numbers in self.paired.measured])
        mean_PKR = numbers.reshape(len(self.names), len(self.seeds), *numbers.shape[1:]).mean(axis=1)
        return np.moveaxis(mean_PKR, -1, 0)

    @cached_property
    def replicates(self) -> FloatArray:
        """The means `by_user` with the noise of seeds on top, where that noise is known, [R, P, K]."""
        return self.by_user if self.seed_noise is None else self.seed_noise.added_to(self.by_user, seed=self.seed)

    @cached_property
    def effective_users(self) -> float:
        """The effective number of users behind the number that rests on fewest."""
        found = [m.effective_users for numbers in self.paired.measured for m in numbers if m.effective_users is not None]
        return min(found, default=np.inf)

    @property
    def behind(self) -> str:
        """The verdict on a point that is measured behind another one, and not beyond noise."""
        return schema.NOISE if self.effective_users >= MIN_USERS else schema.UNTOLD

    @cached_property
    def dominated(self) -> Dominated:
        """Return which points dominate which beyond noise; none does where there are too few users for an interval."""
        is_told = self.effective_users >= MIN_USERS
        users = self.effective_users if is_told and np.isfinite(self.effective_users) else None
        found = beyond_noise(self.sign * self.replicates, confidence=self.confidence, effective_users=users)
        return found if is_told else replace(found, clearly_PP=np.zeros_like(found.clearly_PP))

    @cached_property
    def ahead(self) -> BoolArray:
        """Return whether the row's point dominates the column's, as measured, [P, P]."""
        return dominates(self.sign * self.value)

    @cached_property
    def verdicts(self) -> list[str]:
        """The verdict on each point: dominated beyond noise; otherwise on the front or, as measured, behind it."""
        on_front_P = non_dominated(self.sign * self.value)
        return [
            schema.DOMINATED if clearly_P.any() else schema.FRONT if on_front else self.behind
            for clearly_P, on_front in zip(self.dominated.clearly_PP.T, on_front_P, strict=True)
        ]

    def hypervolume(self, ends: Ends) -> tuple[float, Interval]:
        """Compute the hypervolume of the front, as a share of the box between the two `ends`. Each end has one value per number.

        Raises DataError where there is no such box. Replicates have the noise twice, so their volumes are too large. Therefore the interval
        is centred on the value.
        """
        low_K, high_K = (self.sign * np.array([np.nan if v is None else v for v in end], np.float64) for end in ends)
        if bad := [j for j, low, high in zip(self.paired.judged, low_K, high_K, strict=True) if not high > low]:
            raise DataError(
                "\n".join(
                    f"{j.metric.name} of {j.objective}: found no room on {self.split} days between a constant's value and the labels' own,"
                    " expected some. Fix: leave the objective out with --objective, or name another --metric"
                    for j in bad
                )
            )
        size_K, origin_K = high_K - low_K, np.zeros(len(low_K))
        value = hypervolume((self.sign * self.value - low_K) / size_K, origin_K)
        replicates_R = hypervolume_replicates((self.sign * self.replicates - low_K) / size_K, origin_K)
        few = self.effective_users if self.effective_users < MIN_USERS else None  # many users need no wider tail here: noise counts twice
        return value, interval(replicates_R, value, confidence=self.confidence, centred=True, effective_users=few)


def _replicates(measured: Measured) -> FloatArray:
    assert measured.replicates_R is not None, "a number with a value was resampled"
    return measured.replicates_R


def sweep_rows(points: Points, ends: Ends) -> pa.Table:
    """Return all rows of the points, in the form of schema.SWEEP."""
    volume, (low, high, reason) = points.hypervolume(ends)
    rows = [*_values(points), *_front(points), *_noise(points), *_ends(points, ends)]
    rows.append(_row("hypervolume", points, value=volume, low=low, high=high, reason=reason))
    return pa.Table.from_pylist(rows, schema=schema.SWEEP)


def _values(points: Points) -> Iterator[dict[str, Any]]:
    """Yield the numbers of every run and of every point, and each point's difference to the mean of all points."""
    paired, seeds = points.paired, len(points.seeds)
    for k, judged in enumerate(paired.judged):
        shared = {"objective": judged.objective, "metric": judged.metric.name, "better": judged.better, "users": paired.users[k]}
        for m, run in enumerate(paired.runs):
            measured = paired.measured[m][k]
            low, high, reason = measured.interval(confidence=points.confidence, centred=judged.metric.centred)
            name, seed = points.names[m // seeds], points.seeds[m % seeds]
            yield _row("run", points, point=name, run=run, seed=seed, value=measured.value, low=low, high=high, reason=reason, **shared)
        for what, of_points in (("point", means), ("relative", relative)):
            found = of_points(points.measured(k), confidence=points.confidence, centred=judged.metric.centred)
            for name, (value, (low, high, reason)) in zip(points.names, found, strict=True):
                yield _row(what, points, point=name, value=value, low=low, high=high, reason=reason, **shared)


def later_rows(points: Points) -> pa.Table:
    """Return only the numbers, for days that were not used to decide which points are good."""
    return pa.Table.from_pylist(list(_values(points)), schema=schema.SWEEP)


def _front(points: Points) -> Iterator[dict[str, Any]]:
    clearly_PP, share_PP = points.dominated.clearly_PP, points.dominated.share_PP
    shares = front_share(points.sign * points.replicates)
    for p, (name, verdict) in enumerate(zip(points.names, points.verdicts, strict=True)):
        by_P = clearly_PP[:, p] if verdict == schema.DOMINATED else points.ahead[:, p]
        by = schema.BETWEEN_POINTS.join(other for other, is_by in zip(points.names, by_P, strict=True) if is_by)
        yield _row("front", points, point=name, value=float(shares[p]), verdict=verdict, by=by or None)
    for a, b in np.argwhere(points.ahead | clearly_PP):
        verdict = schema.DOMINATED if clearly_PP[a, b] else points.behind
        yield _row("dominates", points, point=points.names[b], by=points.names[a], value=float(share_PP[a, b]), verdict=verdict)


def _noise(points: Points) -> Iterator[dict[str, Any]]:
    """Yield the standard deviations of one run's number over users and over seeds, and of the difference of two points.

    Each deviation is the root of a mean variance. The users of two points are the same, so the deviation of their difference is mostly
    smaller. The deviation of a difference includes the noise of seeds where that noise is known.
    """
    pairs = np.triu_indices(len(points.names), 1)
    for k, judged in enumerate(points.paired.judged):
        found = {"user_sd": np.mean([np.nanvar(_replicates(numbers[k]), ddof=1) for numbers in points.paired.measured])}
        if points.seed_noise is not None:
            found["seed_sd"] = points.seed_noise.covariance_KK[k, k]
        if len(points.names) > 1:
            value_RP = points.replicates[:, :, k]
            found["pair_sd"] = np.nanvar(value_RP[:, pairs[0]] - value_RP[:, pairs[1]], axis=0, ddof=1).mean()
        for what, variance in found.items():
            yield _row(what, points, objective=judged.objective, metric=judged.metric.name, value=float(np.sqrt(variance)))


def _ends(points: Points, ends: Ends) -> Iterator[dict[str, Any]]:
    for what, end in zip(("reference", "perfect"), ends, strict=True):
        for judged, value in zip(points.paired.judged, end, strict=True):
            yield _row(what, points, objective=judged.objective, metric=judged.metric.name, value=value, better=judged.better)


def _row(what: str, points: Points, **others: Any) -> dict[str, Any]:
    return dict.fromkeys(schema.SWEEP.names) | {"question": points.question, "what": what, "split": points.split} | others
