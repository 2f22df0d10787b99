"""Metrics of the predicted probabilities of an ordinal label's levels. Shapes: N rows, L levels."""

from collections.abc import Callable

import numpy as np

from recsys.evaluation.inputs.rows import FloatArray, Rows
from recsys.evaluation.intervals.bootstrap import Estimate, Sums, Undefined

TOLERANCE = 1e-3  # by how much the sum of a row's probabilities may miss 1: a file may have rounded them


def rps(rows: Rows) -> Estimate | Undefined:
    """Compute the ranked probability score: the mean over thresholds of (P(y ≤ level) − [y ≤ level])², 0 … 1 (Epstein 1969; Murphy 1971).

    The sum is divided by L − 1 as in Epstein, so that scales of different lengths compare. A probability on a level next to the label costs
    less than one far away. Log loss does not see this difference.
    """
    return mean_of(rows, _ranked)


def _ranked(rows: Rows, probability_NL: FloatArray) -> FloatArray:
    below_NT = np.cumsum(probability_NL[:, :-1], axis=1)
    below_NT -= rows.label_level[:, None] <= np.arange(below_NT.shape[1])
    ranked_N: FloatArray = np.square(below_NT, out=below_NT).mean(axis=1)
    return ranked_N


def mean_of(rows: Rows, of_rows: Callable[[Rows, FloatArray], FloatArray]) -> Estimate | Undefined:
    """Average a function of labels and level probabilities over the rows. Undefined where a run gives no such probabilities."""
    if len(rows) == 0:
        return Undefined("no rows with a known label")
    if rows.probability_NL is None:
        return Undefined("the run gives no probabilities of levels")
    wrong_N = (rows.probability_NL < 0).any(axis=1) | (np.abs(rows.probability_NL.sum(axis=1) - 1) > TOLERANCE)
    if wrong := int(np.count_nonzero(wrong_N)):
        return Undefined(f"not probabilities: in {wrong:,} of {len(rows):,} rows the levels' are below 0 or do not sum to 1")
    return Sums(rows.per_user(of_rows(rows, rows.probability_NL), np.ones(len(rows))), lambda sums: sums[..., 0] / sums[..., 1])
