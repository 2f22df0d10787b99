"""From estimates to numbers: values, replicates, paired differences, intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recsys.evaluation.inputs.rows import FloatArray, IntArray, Rows
from recsys.evaluation.intervals.bootstrap import (
    MIN_USERS,
    Estimate,
    Exact,
    Interval,
    Method,
    Sums,
    Undefined,
    UserDraws,
    effective_number,
    interval,
    replicate,
    too_few,
)
from recsys.evaluation.metrics import Metric


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
        return self.value is not None and self.reason is None and (self.effective_users is None or self.effective_users >= MIN_USERS)

    def interval(self, *, confidence: float, centred: bool) -> Interval:
        if self.value is None or self.replicates_R is None:
            return Interval(None, None, self.reason)
        return interval(self.replicates_R, self.value, confidence=confidence, centred=centred, effective_users=self.effective_users)


def measure(metrics: Sequence[Metric], rows: Rows, draws: UserDraws, users_U: IntArray) -> list[Measured]:
    """Compute each metric on these rows with its replicates. `users_U` are the users of the rows by their numbers in `draws`."""
    with np.errstate(over="ignore", invalid="ignore"):
        measured = [_value(metric.estimate(rows)) for metric in metrics]
    resampled = [i for i, (_, estimate) in enumerate(measured) if estimate is not None]
    if draws.replicates == 0 or not resampled:
        return [found for found, _ in measured]
    if len(users_U) < 2:
        return [found if estimate is None else replace(found, reason=too_few(len(users_U))) for found, estimate in measured]
    replicates = iter(replicate([estimate for _, estimate in measured if estimate is not None], draws, users_U))
    rows_U = np.bincount(rows.user_N, minlength=rows.users)
    return [
        found
        if estimate is None
        else replace(found, method=estimate.method, replicates_R=next(replicates), effective_users=_effective(estimate, rows_U))
        for found, estimate in measured
    ]


def _effective(estimate: Estimate, rows_U: IntArray) -> float:
    """Return the effective number of users behind the value. It is small where few users have both classes, or a list that counts."""
    weight_U = estimate.weight_U if isinstance(estimate, Sums) else None
    return effective_number(rows_U if weight_U is None else weight_U)


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
        reason=this.reason,
        effective_users=this.effective_users,
    )


def _value(estimate: Estimate | Exact | Undefined) -> tuple[Measured, Estimate | None]:
    if isinstance(estimate, Undefined):
        return Measured(None, reason=estimate.reason), None
    value = estimate.value()
    if not np.isfinite(value):
        return Measured(None, reason="the value is beyond the range of a 64-bit float"), None
    if isinstance(estimate, Exact):
        return Measured(value, coverage=estimate.coverage, reason=estimate.reason), None
    return Measured(value, coverage=estimate.coverage), estimate
