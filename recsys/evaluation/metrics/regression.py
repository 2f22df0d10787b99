"""Metrics of how far a prediction is from a number, in the label's own unit."""

import numpy as np

from recsys.evaluation.inputs.rows import Rows
from recsys.evaluation.intervals.bootstrap import Estimate, Sums, Undefined
from recsys.evaluation.metrics.concordance import is_uncommon
from recsys.evaluation.metrics.ranking import contrast


def rmse(rows: Rows) -> Estimate | Undefined:
    """Compute the root of the mean squared error."""
    if len(rows) == 0:
        return Undefined("no rows with a known label")
    squared_N = (rows.prediction_N - rows.label_N) ** 2
    return Sums(rows.per_user(squared_N, np.ones(len(rows))), lambda sums: np.sqrt(sums[..., 0] / sums[..., 1]))


def mae(rows: Rows) -> Estimate | Undefined:
    """Compute the mean absolute error."""
    if len(rows) == 0:
        return Undefined("no rows with a known label")
    absolute_N = np.abs(rows.prediction_N - rows.label_N)
    return Sums(rows.per_user(absolute_N, np.ones(len(rows))), lambda sums: sums[..., 0] / sums[..., 1])


def r2(rows: Rows) -> Estimate | Undefined:
    """Compute 1 − squared error / squared deviation of the labels from their own mean. It is below 0 where that mean does better."""
    if len(rows) == 0:
        return Undefined("no rows with a known label")
    if np.ptp(rows.label_N) == 0:
        return Undefined("all labels are equal")
    centred_N = rows.label_N - rows.label_N.mean()  # without centring, Σy² − (Σy)² / n cancels for labels far from 0
    squared_N = (rows.prediction_N - rows.label_N) ** 2
    sums_UM = rows.per_user(squared_N, centred_N**2, centred_N, np.ones(len(rows)))
    estimate = Sums(sums_UM, lambda sums: 1 - sums[..., 0] / (sums[..., 1] - sums[..., 2] ** 2 / sums[..., 3]))
    return contrast(estimate, rows, is_uncommon(rows))
