"""Confidence intervals by resampling users. The user is the cluster, since the impressions of one user resemble each other.

A bootstrap replicate draws as many users as there are, with repetition. It is stored as the number of times that each user was drawn, so no
row is ever copied. A metric is a function of these user weights. The same weights serve every metric, slice and run, which makes
differences paired (Efron & Tibshirani 1993; Field & Welsh 2007 for clusters).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from threading import Lock
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from recsys.evaluation.inputs.rows import CountArray, FloatArray, IntArray

Method = Literal["bootstrap", "influence"]

# Shapes: R replicates, U users, N rows, M sums.
CACHED_BYTES = 256 << 20  # larger draws than this (1,000 replicates of 268 k users) are drawn again for each pass
BLOCK_BYTES = 4 << 20  # of one [replicates, rows] intermediate: it fits in the last-level cache, which halves the time of exact replicates
PRODUCT_USERS = 2048
EXACT_FLOAT32 = 1 << 24
MIN_USERS = 20  # effective users for an interval
MIN_DEFINED = 0.95  # share of the replicates that must be defined for an interval
ROUNDING = 1e-9  # of a mean that is 0 or 1
ALIKE = "no interval: every user is at the same end of the scale"


@dataclass(frozen=True)
class Undefined:
    """A metric that has no value on these rows, and the reason."""

    reason: str


@dataclass(frozen=True)
class Sums:
    """A metric that is a function of sums over users: `combine` maps [..., M] to [...].

    Replicates are then one matrix product. `method` "influence" marks sums of a first-order expansion. `rests_on`: see `effective_users`.
    """

    per_user_UM: FloatArray
    combine: Callable[[FloatArray], FloatArray]
    coverage: float = 1.0
    method: Method = "bootstrap"
    rests_on: tuple[FloatArray, ...] = ()

    def value(self) -> float:
        return float(self.combine(self.per_user_UM.sum(axis=0)))


@dataclass(frozen=True)
class Weighted:
    """A metric that is not a function of sums: `of_weights` maps user weights [R, U] to its values [R].

    `width` is the number of columns of its widest intermediate. It decides into how many blocks the replicates are cut.
    """

    of_weights: Callable[[CountArray], FloatArray]
    users: int
    width: int
    coverage: float = 1.0
    method: Method = "bootstrap"
    rests_on: tuple[FloatArray, ...] = ()

    def value(self) -> float:
        return float(self.of_weights(np.ones((1, self.users), np.int32))[0])


Estimate = Sums | Weighted


@dataclass(frozen=True)
class Exact:
    """A number that describes these rows and estimates nothing. Its `reason` says so in place of an interval."""

    number: float
    reason: str
    coverage: float = 1.0

    def value(self) -> float:
        return self.number


class UserDraws:
    """The number of times that each of `users` users is drawn in each of `replicates` resamples. It is a pure function of the seed."""

    def __init__(self, users: int, replicates: int, seed: int) -> None:
        self.users, self.replicates, self.seed = users, replicates, seed
        self._cached: list[NDArray[np.uint8]] | None = None
        self._caching = Lock()

    def blocks(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the draws in blocks of replicates, [r, U]. Every call yields the same draws."""
        with self._caching:
            if self._cached is None and self.replicates * self.users <= CACHED_BYTES:
                self._cached = list(self._draw())
        yield from self._draw() if self._cached is None else self._cached

    def _draw(self) -> Iterator[NDArray[np.uint8]]:
        """Draw the blocks as 8-bit counts. A count of 256 or more has probability below 1e-500; 255 users or fewer cannot reach it."""
        rng = np.random.default_rng(self.seed)
        size = max(1, min(128, BLOCK_BYTES // max(1, self.users)))
        for start in range(0, self.replicates, size):
            block_RU = np.empty((min(size, self.replicates - start), self.users), np.uint8)
            for weights_U in block_RU:
                weights_U[:] = np.bincount(rng.integers(0, self.users, self.users, np.int32), minlength=self.users)
            yield block_RU


def replicate(estimates: Sequence[Estimate], draws: UserDraws, users_U: IntArray) -> list[FloatArray]:
    """Return the R bootstrap values of each estimate, NaN where the estimate is undefined in a replicate.

    All estimates are over the same users; `users_U` holds their numbers in `draws`. Estimates made of sums share one matrix product.
    """
    return replicate_runs([estimates], draws, users_U)[0]


def replicate_runs(estimates_by_run: Sequence[Sequence[Estimate]], draws: UserDraws, users_U: IntArray) -> list[list[FloatArray]]:
    """Return what `replicate` does for each run's estimates, with one walk over the draws.

    Each run has a matrix product of its own. So runs with equal estimates get equal bits, and the difference of a run to its twin is 0.
    """
    sums_by_run = [_sums_of(estimates, len(users_U)) for estimates in estimates_by_run]
    parts: list[list[list[FloatArray]]] = [[[] for _ in estimates] for estimates in estimates_by_run]
    everyone, any_weighted = len(users_U) == draws.users, any(isinstance(e, Weighted) for estimates in estimates_by_run for e in estimates)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for block_RU in draws.blocks():
            weights_RU = block_RU if everyone else np.take(block_RU, users_U, axis=1)
            counts_RU = weights_RU.astype(np.int32) if any_weighted else np.empty((0, 0), np.int32)
            for estimates, values, sums_RM in zip(estimates_by_run, parts, products(weights_RU, sums_by_run), strict=True):
                first = 0
                for estimate, found in zip(estimates, values, strict=True):
                    if isinstance(estimate, Weighted):
                        found.extend(_in_blocks(estimate, counts_RU))
                    else:
                        last = first + estimate.per_user_UM.shape[1]
                        found.append(estimate.combine(sums_RM[:, first:last]))
                        first = last
    joined = [[np.concatenate(found) for found in values] for values in parts]
    return [[np.where(np.isfinite(values_R), values_R, np.nan) for values_R in of_run] for of_run in joined]


def _sums_of(estimates: Sequence[Estimate], users: int) -> FloatArray:
    """Return the sums per user of the estimates that are made of sums, side by side, [U, M]."""
    return np.concatenate([np.zeros((users, 0)), *(e.per_user_UM for e in estimates if isinstance(e, Sums))], axis=1)


def whole_product(weights_RU: NDArray[np.integer], whole_UM: NDArray[np.float32], *, largest: int) -> FloatArray:
    """Return `weights_RU @ whole_UM`, [R, M], exactly. The table holds whole numbers ≥ 0, and no sum exceeds `largest`.

    Up to 2²⁴ float32 holds every whole number, and its products take half the time.
    """
    if largest > EXACT_FLOAT32:
        return products(weights_RU, [whole_UM])[0]
    found_RM = np.zeros((len(weights_RU), whole_UM.shape[1]), np.float32)
    for start in range(0, weights_RU.shape[1], PRODUCT_USERS):
        some = slice(start, start + PRODUCT_USERS)
        found_RM += weights_RU[:, some].astype(np.float32) @ whole_UM[some]
    return found_RM.astype(np.float64)


def products(weights_RU: NDArray[np.integer], tables: Sequence[NDArray[np.floating]]) -> list[FloatArray]:
    """Return `weights_RU @ table` for each table [U, M], over blocks of users.

    So both factors become float64 within the cache, in half the time, and the weights once for all tables.
    """
    found = [np.zeros((len(weights_RU), table_UM.shape[1])) for table_UM in tables]
    if not any(product_RM.shape[1] for product_RM in found):
        return found
    for start in range(0, weights_RU.shape[1], PRODUCT_USERS):
        some = slice(start, start + PRODUCT_USERS)
        weights = weights_RU[:, some].astype(np.float64)
        for product_RM, table_UM in zip(found, tables, strict=True):
            product_RM += weights @ table_UM[some].astype(np.float64, copy=False)
    return found


def _in_blocks(estimate: Weighted, weights_RU: CountArray) -> Iterator[FloatArray]:
    size = max(1, BLOCK_BYTES // (4 * max(1, estimate.width)))
    for start in range(0, len(weights_RU), size):
        yield estimate.of_weights(weights_RU[start : start + size])


class Interval(NamedTuple):
    """Bounds, or the reason why there are none."""

    low: float | None
    high: float | None
    reason: str | None = None


def effective_number(weight_U: IntArray | FloatArray) -> float:
    """Return how many users with equally many rows would carry as much information as these: (Σ n)² / Σ n².

    Source: Kish 1965; for clusters Carter, Schnepel & Steigerwald, Review of Economics and Statistics 2017. It is 1 where one user has all
    rows.
    """
    return float(weight_U.sum() ** 2 / np.square(weight_U, dtype=np.float64).sum())


def effective_users(estimate: Estimate, rows_U: IntArray) -> float:
    """Return the effective number of users that an estimate rests on.

    A mean over some of the rows rests on its own weight of each user, and what contrasts unlike labels on the users with the rarer ones
    too: 3,000 rows with 4 positives say no more about AUC than these 4. So an estimate names one or more weights of each user,
    `rests_on`, of which that of the fewest effective users counts; without any, the user's number of rows.
    """
    return min(effective_number(weight_U) for weight_U in estimate.rests_on or (rows_U,))


def too_few(users: float) -> str:
    """Return the reason why so many effective users give no interval. Rounded up: two users are two, whatever rows they have."""
    return f"too few users ({min(MIN_USERS - 1, ceil(users))})"


def all_at_one_end(replicates_R: FloatArray) -> bool:
    """Return whether all replicates are 0, or all are 1, as where every user is perfect: they say nothing of users who are not.

    An interval of no width would say that there are none. Elsewhere such an interval may be right: where all predictions tie, AUC is 1/2
    whoever the users are.
    """
    defined_R = replicates_R[~np.isnan(replicates_R)]
    return len(defined_R) > 0 and any(np.abs(defined_R - end).max() <= ROUNDING for end in (0.0, 1.0))


def least_replicates(confidence: float) -> int:
    """Return how many replicates have one outside an interval: 20 at 0.95. Of fewer its bounds are the outermost, at any confidence."""
    return round(1 / (1 - confidence))


def interval(
    replicates_R: FloatArray, value: float, *, confidence: float, centred: bool = False, effective_users: float | None = None
) -> Interval:
    """Return the `percentile_interval` of the replicates, or the reason why there is none.

    There are no bounds if there are fewer replicates than `least_replicates`, fewer than MIN_USERS effective users, or too few replicates
    that are defined. So few users say little of others, and the outermost of their replicates would cover too seldom.
    """
    if len(replicates_R) == 0:
        return Interval(None, None, "no interval: no replicates")
    if len(replicates_R) < (least := least_replicates(confidence)):
        return Interval(None, None, f"no interval: {len(replicates_R):,} replicates, expected {least:,} or more at {confidence:.10g}")
    if effective_users is not None and effective_users < MIN_USERS:
        return Interval(None, None, too_few(effective_users))
    missing = int(np.isnan(replicates_R).sum())
    if missing > (1 - MIN_DEFINED) * len(replicates_R):
        return Interval(None, None, f"no interval: {missing:,} of {len(replicates_R):,} replicates are undefined (too few users)")
    return percentile_interval(replicates_R, value, confidence=confidence, centred=centred, effective_users=effective_users)


def percentile_interval(
    replicates_R: FloatArray, value: float, *, confidence: float, centred: bool = False, effective_users: float | None = None
) -> Interval:
    """Return the percentile interval of the defined replicates.

    With `effective_users` G, return the expanded percentile interval (Hesterberg, The American Statistician 2015, section 4.3). It corrects
    for replicates of few users, which vary too little. Its quantiles lie as far out as those of Student's t with G − 1 degrees of freedom,
    times √(G / (G − 1)). Where a few users have most of the rows, the plain interval covers too seldom (docs/bootstrap-coverage.md). With
    many users of similar size, both intervals are the same.

    `centred` shifts the replicates so that their median is the value. A metric such as ECE needs this shift: resampling adds noise to each
    absolute deviation, so that all replicates can lie above the value that they belong to.
    """
    tail = expanded_tail((1 - confidence) / 2, effective_users)
    low, middle, high = _quantiles(replicates_R, [tail, 0.5, 1 - tail])
    shift = value - middle if centred else 0.0
    return Interval(float(low + shift), float(high + shift))


def _quantiles(values_R: FloatArray, shares: Sequence[float]) -> FloatArray:
    """Return what np.nanquantile does (NaN where all values are NaN), in a tenth of the time for 1,000 values."""
    ordered_R = np.sort(values_R)  # NaN comes last
    defined = len(ordered_R) - np.count_nonzero(np.isnan(ordered_R))
    if defined == 0:
        return np.full(len(shares), np.nan)
    place = np.asarray(shares) * (defined - 1)
    below = place.astype(np.int64)
    low, high = ordered_R[below], ordered_R[np.minimum(below + 1, defined - 1)]
    quantiles: FloatArray = low + (high - low) * (place - below)
    return quantiles


def expanded_tail(tail: float, effective_users: float | None) -> float:
    """Return the share of the replicates that lies outside the interval on one side, for so few users (None: many)."""
    if effective_users is None:
        return tail
    freedom = effective_users - 1
    return float(ndtr(-stdtrit(freedom, 1 - tail) * np.sqrt(effective_users / freedom)))
