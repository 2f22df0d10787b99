"""95 % intervals over seeds: the bootstrap's where a statistic has no formula, Wilson's for a share."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

RESAMPLES = 10_000
FloatArray = NDArray[np.float64]
Statistic = Literal["median", "mean", "deviation"]
STATISTICS: dict[Statistic, Callable[[FloatArray, int], FloatArray]] = {
    "median": lambda values, axis: np.asarray(np.median(values, axis=axis)),
    "mean": lambda values, axis: np.asarray(np.mean(values, axis=axis)),
    "deviation": lambda values, axis: np.asarray(np.std(values, axis=axis, ddof=1)),
}


class Interval(NamedTuple):
    """An estimate and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(statistic: Statistic, *samples: ArrayLike) -> Interval:
    """Compute the percentile bootstrap interval over seeds (Efron & Tibshirani 1993, ch. 13). The resamples are always the same.

    Two samples must be of the same seeds in one order. Then the estimate is the difference of their statistics, and they are resampled
    together.
    """
    arrays = [np.asarray(sample, dtype=np.float64) for sample in samples]

    def estimate(first: FloatArray, *second: FloatArray, axis: int = -1) -> FloatArray:
        of = STATISTICS[statistic]
        return of(first, axis) - of(second[0], axis) if second else of(first, axis)

    found = stats.bootstrap(arrays, estimate, n_resamples=RESAMPLES, paired=len(arrays) > 1, method="percentile", rng=0).confidence_interval
    return Interval(float(estimate(*arrays)), float(found.low), float(found.high))


def share(count: int, num: int) -> Interval:
    """Compute Wilson's score interval of a share (Wilson 1927). It is sensible also for a share of 0 or 1."""
    found = stats.binomtest(count, num).proportion_ci(method="wilson")
    return Interval(count / num, float(found.low), float(found.high))
