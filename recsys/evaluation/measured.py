"""From estimates to numbers: values, replicates, paired differences, intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from recsys.evaluation.inputs.rows import FloatArray, IntArray, Rows
from recsys.evaluation.intervals.bootstrap import (
    ALIKE,
    MIN_USERS,
    Estimate,
    Exact,
    Interval,
    Method,
    Undefined,
    UserDraws,
    all_at_one_end,
    effective_users,
    interval,
    replicate_runs,
    too_few,
)
from recsys.evaluation.metrics import Metric

TOGETHER_USERS = 50_000  # exact replicates of AUC take up to 800 bytes per user, run and thread


@dataclass(frozen=True)
class Measured:
    """A metric of one run, or the difference between two runs. `value` None: undefined, and the `reason` says why.

    `effective_users`: see `bootstrap.interval`.
    """

    value: float | None
    coverage: float = 0.0
    method: Method | None = None
    replicates_R: FloatArray | None = None
    reason: str | None = None
    effective_users: float | None = None

    @property
    def has_enough_users(self) -> bool:
        """Return whether there is a value that rests on enough users for an interval, if it was resampled."""
        is_told = self.value is not None and self.reason in (None, ALIKE)
        return is_told and (self.effective_users is None or self.effective_users >= MIN_USERS)

    def interval(self, *, confidence: float, centred: bool) -> Interval:
        if self.value is None or self.replicates_R is None or self.reason is not None:
            return Interval(None, None, self.reason)
        return interval(self.replicates_R, self.value, confidence=confidence, centred=centred, effective_users=self.effective_users)


def measure(metrics: Sequence[Metric], rows: Rows, draws: UserDraws, users_U: IntArray) -> list[Measured]:
    """Compute each metric on these rows with its replicates. `users_U` are the users of the rows by their numbers in `draws`."""
    return measure_runs(metrics, [rows], draws, users_U)[0]


def measure_runs(metrics: Sequence[Metric], rows_by_run: Sequence[Rows], draws: UserDraws, users_U: IntArray) -> list[list[Measured]]:
    """Compute the metrics of several runs on the same impressions as `measure` does, with one walk over the draws.

    Of many users, one run is done after the other: what all runs need at once would take too much memory.
    """
    if len(users_U) > TOGETHER_USERS and len(rows_by_run) > 1:
        return [measure(metrics, rows, draws, users_U) for rows in rows_by_run]
    with np.errstate(over="ignore", invalid="ignore"):
        by_run = [[_value(metric.estimate(rows)) for metric in metrics] for rows in rows_by_run]
    estimates = [[estimate for _, estimate in of_run if estimate is not None] for of_run in by_run]
    if draws.replicates == 0 or not any(estimates):
        return [[found for found, _ in of_run] for of_run in by_run]
    if len(users_U) < 2:
        reason = too_few(len(users_U))
        return [[found if estimate is None else replace(found, reason=reason) for found, estimate in of_run] for of_run in by_run]
    replicates = chain.from_iterable(replicate_runs(estimates, draws, users_U))
    rows_U = np.bincount(rows_by_run[0].user_N, minlength=rows_by_run[0].users)
    return [
        [found if estimate is None else _resampled(found, estimate, next(replicates), rows_U) for found, estimate in of_run]
        for of_run in by_run
    ]


def _resampled(found: Measured, estimate: Estimate, replicates_R: FloatArray, rows_U: IntArray) -> Measured:
    """Return the value with its replicates.

    Where enough users are all at one end of the scale, there is a reason and no interval.
    """
    users = effective_users(estimate, rows_U)
    reason = ALIKE if users >= MIN_USERS and all_at_one_end(replicates_R) else None
    return replace(found, method=estimate.method, replicates_R=replicates_R, effective_users=users, reason=reason)


def difference(this: Measured, that: Measured, other_run: str) -> Measured:
    """Subtract `that` from `this`, replicate by replicate. The same users were drawn for both."""
    if this.value is None:
        return this
    if that.value is None:
        return Measured(None, reason=f"undefined in {other_run}: {that.reason}")
    paired_R = None
    if this.replicates_R is not None and that.replicates_R is not None:
        paired_R = this.replicates_R - that.replicates_R
    return Measured(
        this.value - that.value,
        coverage=min(this.coverage, that.coverage),
        method=this.method,
        replicates_R=paired_R,
        reason=shared_reason([this, that]),
        effective_users=this.effective_users,
    )


def shared_reason(found: Sequence[Measured]) -> str | None:
    """Return the reason why a number made of all of these has no interval: none where one of them has one."""
    reasons = [each.reason for each in found]
    return None if None in reasons else reasons[0]


def _value(estimate: Estimate | Exact | Undefined) -> tuple[Measured, Estimate | None]:
    if isinstance(estimate, Undefined):
        return Measured(None, reason=estimate.reason), None
    value = estimate.value()
    if not np.isfinite(value):
        return Measured(None, reason="the value is beyond the range of a 64-bit float"), None
    if isinstance(estimate, Exact):
        return Measured(value, coverage=estimate.coverage, reason=estimate.reason), None
    return Measured(value, coverage=estimate.coverage), estimate
