"""Means over seeds of one number of several points, and of differences between points, each with its interval.

Sweeps, backtests and studies of affinity stand on these: one formula for the interval over users and seeds (`intervals/seeds.py`). All
runs are judged by the same users, and a difference is taken between two runs of the same seed.

Shapes: P points, each trained with the same S seeds, R replicates over users.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recsys.evaluation.intervals.bootstrap import Interval
from recsys.evaluation.intervals.seeds import SHARED_REFERENCE, half_widths
from recsys.evaluation.measured import Measured, difference, shared_reason

Mean = tuple[float | None, Interval]


def means(measured_PS: Sequence[Sequence[Measured]], *, confidence: float, centred: bool, correlation: float = 0.0) -> list[Mean]:
    """Return the mean over seeds of each point, and its interval over users and seeds: both variances add.

    The variance over seeds is pooled over the points. `correlation` is as in `SeedNoise.of`. With one seed the interval is the one over
    users alone, which says nothing of other trainings. A point that is undefined in a run has no mean, and one of too few users has no
    interval.
    """
    mean_P = [_mean(measured_S) for measured_S in measured_PS]
    found = [(mean.value, mean.interval(confidence=confidence, centred=centred)) for mean in mean_P]
    bounded = [place for place, (_, bounds) in enumerate(found) if bounds.low is not None]
    known = {place: replicates_R for place in bounded if (replicates_R := mean_P[place].replicates_R) is not None}
    value_PSK = np.array([[[run.value] for run in measured_PS[place]] for place in known], np.float64)
    if len(known) == 0 or value_PSK.shape[1] == 1:
        return found
    user_variance_PK = [[np.nanvar(replicates_R, ddof=1)] for replicates_R in known.values()]
    users_PK = [[np.inf if (users := mean_P[place].effective_users) is None else users] for place in known]
    half_PK = half_widths(value_PSK, user_variance_PK, confidence=confidence, users=users_PK, correlation=correlation)
    for place, (value,), (half,) in zip(known, value_PSK.mean(axis=1).tolist(), half_PK.tolist(), strict=True):
        found[place] = (value, Interval(value - half, value + half))
    return found


def gains(
    measured_PS: Sequence[Sequence[Measured]], *, confidence: float, centred: bool, correlation: float = SHARED_REFERENCE
) -> list[Mean]:
    """Return the mean difference of each point but the first to the first one.

    `correlation` is that of two differences in one seed: 0 where the first one is the same run in each seed, and so adds no noise of seeds.
    """
    first_S = measured_PS[0]
    above_PS = [[difference(run, first, "the first point") for run, first in zip(runs, first_S, strict=True)] for runs in measured_PS[1:]]
    return means(above_PS, confidence=confidence, centred=centred, correlation=correlation)


def relative(measured_PS: Sequence[Sequence[Measured]], *, confidence: float, centred: bool) -> list[Mean]:
    """Return the mean difference of each point to the mean of all points, without what users and seeds do to all of them alike.

    The differences of one seed add up to 0. So two of P correlate by −1 / (P − 1), and (P − 1) (S − 1) degrees of freedom are left.
    """
    middle_S = [_mean(of_seed) for of_seed in zip(*measured_PS, strict=True)]
    apart_PS = [[difference(run, middle, "all points") for run, middle in zip(runs, middle_S, strict=True)] for runs in measured_PS]
    correlation = -1 / (len(measured_PS) - 1) if len(measured_PS) > 1 else 0.0
    return means(apart_PS, confidence=confidence, centred=centred, correlation=correlation)


def _mean(runs: Sequence[Measured]) -> Measured:
    """Return the mean of several runs, replicate by replicate; undefined where one of them is."""
    undefined = next((run for run in runs if run.value is None), None)
    if undefined is not None:
        return undefined
    replicates = [run.replicates_R for run in runs if run.replicates_R is not None]
    return replace(
        runs[0],
        value=float(np.mean([run.value for run in runs if run.value is not None])),
        replicates_R=np.mean(replicates, axis=0) if len(replicates) == len(runs) else None,
        reason=shared_reason(runs),
    )
