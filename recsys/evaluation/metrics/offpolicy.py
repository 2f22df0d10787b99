"""The value of a policy that did not run, from the log of a policy that did (off-policy evaluation).

The logging policy chose the action of row i with probability π₀ᵢ. The target policy would choose it with probability πᵢ. rᵢ is the label,
wᵢ = πᵢ / π₀ᵢ the importance weight and q̂ the prediction of the label:

- ips: (1/n) Σ w r; unbiased where π₀ is right and positive wherever π is (Horvitz & Thompson 1952; Precup et al., ICML 2000).
- ips_clipped: (1/n) Σ min(w, M) r with M = √n (Ionides 2008); biased towards 0 for labels ≥ 0, and with less variance.
- snips: Σ w r / Σ w (Swaminathan & Joachims, NeurIPS 2015); its bias is of order 1/n. A constant added to the label shifts it by the same
  constant.
- dr: (1/n) Σ [q̂(π) + w (r − q̂(a))] (Dudík et al., ICML 2011), where q̂(π) is the mean of q̂ over the target policy's choices in that
  context. Where a run has no q̂(π), Σ w q̂(a) / Σ w takes the place of its mean: the baseline form. The baseline form equals dr where q̂ is
  the same for all rows. Otherwise it is a control variate with a bias of order 1/n; a good q̂ then no longer makes up for wrong
  propensities.
- ess: (Σ w)² / Σ w² (Kish 1965), the number of the target policy's own impressions that would carry as much information.
- max_weight: the largest w. Both ess and max_weight describe the rows at hand, and have no interval.

Estimates rest on the users who hold the weight: where these are few, there is no interval, however many rows have next to none.

Each row counts as a decision of its own. For a page of several items, the estimate is therefore the mean over its places. This estimate
assumes that the label at one place does not depend on the items at the other places (Li et al., KDD 2018: the item-position model).

Shapes: N rows, U users, G lists.
"""

from collections.abc import Callable

import numpy as np

from recsys.evaluation.inputs.rows import FloatArray, Rows
from recsys.evaluation.intervals.bootstrap import Exact, Sums, Undefined

_DESCRIBES = "no interval: it describes these rows' weights"


def ips(rows: Rows) -> Sums | Undefined:
    return _mean(rows, lambda weight_N: weight_N)


def ips_clipped(rows: Rows) -> Sums | Undefined:
    return _mean(rows, lambda weight_N: np.minimum(weight_N, np.sqrt(len(weight_N))))


def snips(rows: Rows) -> Sums | Undefined:
    weight_N = _weights(rows)
    if isinstance(weight_N, Undefined):
        return weight_N
    sums_UM = rows.per_user(weight_N * rows.label_N, weight_N)
    return Sums(sums_UM, lambda sums: sums[..., 0] / sums[..., 1], rests_on=_of_users(rows, weight_N))


def dr(rows: Rows) -> Sums | Undefined:
    """Compute dr. It is undefined where a row has no prediction, and in the baseline form where all weights are 0."""
    weight_N = _weights(rows, may_be_zero=rows.policy_N is not None)
    if isinstance(weight_N, Undefined):
        return weight_N
    if np.isnan(rows.prediction_N).any():
        return Undefined("no prediction of the label")
    residual_N = weight_N * (rows.label_N - rows.prediction_N)
    if rows.policy_N is not None:
        sums_UM = rows.per_user(rows.policy_N + residual_N, np.ones(len(rows)))
        return Sums(sums_UM, lambda sums: sums[..., 0] / sums[..., 1], rests_on=_of_users(rows, weight_N))
    sums_UM = rows.per_user(weight_N * rows.prediction_N, weight_N, residual_N, np.ones(len(rows)))
    return Sums(sums_UM, lambda sums: sums[..., 0] / sums[..., 1] + sums[..., 2] / sums[..., 3], rests_on=_of_users(rows, weight_N))


def ess(rows: Rows) -> Exact | Undefined:
    weight_N = _weights(rows)
    if isinstance(weight_N, Undefined):
        return weight_N
    scaled_N = weight_N / weight_N.max()  # squares of weights beyond 1e154 would overflow
    return Exact(float(scaled_N.sum() ** 2 / np.square(scaled_N).sum()), _DESCRIBES)


def max_weight(rows: Rows) -> Exact | Undefined:
    weight_N = _weights(rows)
    return weight_N if isinstance(weight_N, Undefined) else Exact(float(weight_N.max()), _DESCRIBES)


def _weights(rows: Rows, *, may_be_zero: bool = False) -> FloatArray | Undefined:
    if len(rows) == 0:
        return Undefined("no row with a known label")
    if rows.importance_N is None:
        return Undefined("no propensities of a target policy")
    if not (may_be_zero or rows.importance_N.any()):
        return Undefined("the target policy chooses none of the logged actions")
    return rows.importance_N


def _mean(rows: Rows, of_weight: Callable[[FloatArray], FloatArray]) -> Sums | Undefined:
    """Return (1/n) Σ f(w) r, where f is `of_weight`."""
    weight_N = _weights(rows)
    if isinstance(weight_N, Undefined):
        return weight_N
    weight_N = of_weight(weight_N)
    sums_UM = rows.per_user(weight_N * rows.label_N, np.ones(len(rows)))
    return Sums(sums_UM, lambda sums: sums[..., 0] / sums[..., 1], rests_on=_of_users(rows, weight_N))


def _of_users(rows: Rows, weight_N: FloatArray) -> tuple[FloatArray, ...]:
    """Return the weight of each user, on which an estimate rests; none where all weights are 0."""
    most = weight_N.max()
    return (rows.per_user(weight_N / most)[:, 0],) if most > 0 else ()
