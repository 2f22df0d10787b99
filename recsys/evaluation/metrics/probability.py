"""Metrics of how good a prediction is as a probability, or as an expected value: likelihood and calibration."""

from statistics import NormalDist

import numpy as np
import pandas as pd

from recsys.evaluation.inputs.rows import FloatArray, IntArray, Order, Rows
from recsys.evaluation.intervals.bootstrap import Estimate, Sums, Undefined
from recsys.evaluation.metrics import ranked_probability

CLIP = 1e-12  # a predicted probability is kept this far from 0 and 1, so that a certain mistake costs 27.6 nats, not infinity
BINS = 15  # Guo et al., ICML 2017, section 5


def not_a_probability(rows: Rows) -> str | None:
    """Return the reason why these predictions have no likelihood, or None."""
    if len(rows) == 0:
        return "no rows with a known label"
    outside = np.count_nonzero((rows.prediction_N < 0) | (rows.prediction_N > 1))
    return f"not a probability: {outside:,} of {len(rows):,} predictions lie outside [0, 1]" if outside else None


def log_loss(rows: Rows) -> Estimate | Undefined:
    """Compute the mean negative log likelihood in nats, of a binary label or an ordinal level. Probabilities are clipped at 1e-12."""
    return ranked_probability.mean_of(rows, _surprise_of_level) if rows.levels else _log_loss_per(rows, 1.0)


def _surprise_of_level(rows: Rows, probability_NL: FloatArray) -> FloatArray:
    of_label_N = np.take_along_axis(probability_NL, rows.label_level[:, None], axis=1)[:, 0]
    surprise_N: FloatArray = -np.log(np.clip(of_label_N, CLIP, 1 - CLIP))
    return surprise_N


def normalized_entropy(rows: Rows) -> Estimate | Undefined:
    """Compute log loss divided by the log loss of always predicting the training rate (He et al., ADKDD 2014, section 3, eq. 1).

    The denominator is the entropy of the training rate. Below 1, the model knows more than the rate.
    """
    if rows.train_mean is None:
        return Undefined("the training rate is not known")
    if not 0 < rows.train_mean < 1:
        return Undefined(f"the training rate {rows.train_mean:g} has no entropy")
    rate = rows.train_mean
    return _log_loss_per(rows, float(-rate * np.log(rate) - (1 - rate) * np.log1p(-rate)))


def _log_loss_per(rows: Rows, unit: float) -> Estimate | Undefined:
    if reason := not_a_probability(rows):
        return Undefined(reason)
    probability_N = np.clip(rows.prediction_N, CLIP, 1 - CLIP)
    loss_N = -np.where(rows.label_N > 0, np.log(probability_N), np.log1p(-probability_N))
    return Sums(rows.per_user(loss_N, np.ones(len(rows))), lambda sums: sums[..., 0] / sums[..., 1] / unit)


def calibration(rows: Rows) -> Estimate | Undefined:
    """Compute Σ prediction / Σ label: 1 is right, 1.2 predicts a fifth too much."""
    if len(rows) == 0:
        return Undefined("no rows with a known label")
    if rows.label_N.sum() <= 0:
        return Undefined("the labels do not sum to a positive number")
    return Sums(rows.per_user(rows.prediction_N, rows.label_N), lambda sums: sums[..., 0] / sums[..., 1])


def ece(rows: Rows) -> Estimate | Undefined:
    """Compute the expected calibration error: mean |predicted − observed| over 15 bins of equal mass, weighted by their rows.

    The bins stay as they are in the replicates. ECE is an average of absolute values, so it is biased upwards on few rows (Kumar et al.,
    NeurIPS 2019, section 4). A replicate is biased more than the value itself.
    """
    if reason := not_a_probability(rows):
        return Undefined(reason)
    bin_N = equal_mass_bins(rows.by_prediction, BINS)
    excess_UB = np.bincount(rows.user_N * BINS + bin_N, rows.prediction_N - rows.label_N, rows.users * BINS).reshape(-1, BINS)
    sums_UM = np.column_stack([excess_UB, np.bincount(rows.user_N, minlength=rows.users)])
    return Sums(sums_UM, lambda sums: np.abs(sums[..., :-1]).sum(axis=-1) / sums[..., -1])


def equal_mass_bins(order: Order, bins: int) -> IntArray:
    """Return the bin of each row, 0 … bins − 1. Bins are as equal in rows as ties allow, for tied predictions share a bin."""
    return (order.mid_rank * bins / max(1, len(order.rows_N))).astype(np.int64)


def calibration_curve(
    label: FloatArray, prediction: FloatArray, *, bins: int = BINS, confidence: float = 0.95, by: FloatArray | None = None
) -> pd.DataFrame:
    """Compute mean prediction and mean label in bins of equal mass, in ascending order. Rows without a label (NaN) are left out.

    The columns are `mean_predicted`, `mean_observed`, `n`, and `low` and `high` for the mean label. The interval is Wilson's where all
    labels are 0 or 1 (Wilson 1927), else mean ± z standard errors, null for a bin of one row. Rows count as independent. Where predictions
    tie, fewer than `bins` rows are returned. With `by`, the bins are made from `by` instead of `prediction`, so that predictions before and
    after calibration are compared on the same rows. Raises ValueError where the arrays differ in length, where a prediction of a known
    label is not finite, or where `bins` is below 1.
    """
    label_N, prediction_N = np.asarray(label, np.float64), np.asarray(prediction, np.float64)
    by_N = prediction_N if by is None else np.asarray(by, np.float64)
    if label_N.shape != prediction_N.shape or label_N.ndim != 1 or by_N.shape != label_N.shape:
        raise ValueError(f"label {label_N.shape} and prediction {prediction_N.shape} must be one-dimensional and of one length")
    if bins < 1:
        raise ValueError(f"bins is {bins}, must be at least 1")
    known_N = ~np.isnan(label_N)
    label_N, prediction_N, by_N = label_N[known_N], prediction_N[known_N], by_N[known_N]
    if not np.isfinite(prediction_N).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(prediction_N)):,} predictions with a known label are not finite")
    _, bin_N, n_B = np.unique(equal_mass_bins(Order.of(by_N), bins), return_inverse=True, return_counts=True)
    predicted_B = np.bincount(bin_N, prediction_N) / n_B
    observed_B = np.bincount(bin_N, label_N) / n_B
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    if np.isin(label_N, (0.0, 1.0)).all():
        middle_B = (observed_B + z**2 / (2 * n_B)) / (1 + z**2 / n_B)
        half_B = z / (1 + z**2 / n_B) * np.sqrt(observed_B * (1 - observed_B) / n_B + z**2 / (4 * n_B**2))
    else:
        middle_B = observed_B
        squares_B = np.bincount(bin_N, (label_N - observed_B[bin_N]) ** 2)
        half_B = z * np.sqrt(np.divide(squares_B, n_B * (n_B - 1), out=np.full(len(n_B), np.nan), where=n_B > 1))
    return pd.DataFrame(
        {"mean_predicted": predicted_B, "mean_observed": observed_B, "n": n_B, "low": middle_B - half_B, "high": middle_B + half_B}
    )
