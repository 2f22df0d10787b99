"""The monotone maps, and how each is fitted to predictions and labels. Shapes: N rows, U distinct predictions, B bins or blocks."""

from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import optimize, special

from recsys.options import Options

FloatArray = NDArray[np.float64]

MOST_BINS = 50  # in `fit_expected`
BIN_ROWS = 20  # at least, per bin: the mean of a few labels from a long tail says little
CLIP = 1e-12  # a probability is kept this far from 0 and 1 before its logit is taken


class Isotonic(Options):
    """A map that is linear between its knots and constant beyond them. NaN stays NaN."""

    kind: Literal["isotonic"] = "isotonic"
    predicted: tuple[float, ...] = Field(min_length=1)  # ascending
    calibrated: tuple[float, ...]  # not descending

    @model_validator(mode="after")
    def _is_monotone(self) -> "Isotonic":
        if len(self.predicted) != len(self.calibrated):
            raise ValueError(f"found {len(self.predicted)} predicted and {len(self.calibrated)} calibrated knots, expected as many")
        if any(a >= b for a, b in pairwise(self.predicted)) or any(a > b for a, b in pairwise(self.calibrated)):
            raise ValueError("found knots that descend, expected ascending ones")
        return self

    def __call__(self, predicted_N: FloatArray) -> FloatArray:
        return np.asarray(np.interp(predicted_N, self.predicted, self.calibrated), np.float64)


class Platt(Options):
    """The map σ(slope · logit(p) + intercept). NaN stays NaN."""

    kind: Literal["platt"] = "platt"
    slope: float = Field(ge=0)
    intercept: float

    def __call__(self, predicted_N: FloatArray) -> FloatArray:
        return np.asarray(special.expit(self.slope * _logit(predicted_N) + self.intercept), np.float64)


def fit_isotonic(predicted_N: FloatArray, label_N: FloatArray, *, low: float = -np.inf, high: float = np.inf) -> Isotonic:
    """Fit the non-decreasing function of the prediction with the least squared error (Zadrozny & Elkan, KDD 2002; pool adjacent violators).

    Rows of one prediction count as one point with their mean label. Each pooled block gives two knots, its first and its last prediction,
    as in scikit-learn's `IsotonicRegression`. There is one departure: a block whose mean label is an end of the scale (`low`, `high`)
    counts one more row, with its neighbour's value. A few rows cannot support the claims "never" and "always". Where such a claim fails, it
    costs an infinite log loss. Such a claim also decides a product of probabilities alone.
    """
    predicted_U, place_N = np.unique(predicted_N, return_inverse=True)
    rows_U = np.bincount(place_N).astype(np.float64)
    found = optimize.isotonic_regression(np.bincount(place_N, label_N) / rows_U, weights=rows_U)
    starts_B, ends_B = found.blocks[:-1], found.blocks[1:] - 1
    value_B = _off_the_ends(found.x[starts_B], np.add.reduceat(rows_U, starts_B), low, high)
    knots_K = np.column_stack([predicted_U[starts_B], predicted_U[ends_B]]).ravel()
    value_K = np.repeat(value_B, 2)
    is_first_K = np.append(True, knots_K[1:] > knots_K[:-1])  # a block of one prediction has one knot
    return Isotonic(predicted=tuple(knots_K[is_first_K].tolist()), calibrated=tuple(value_K[is_first_K].tolist()))


def fit_expected(output_N: FloatArray, label_N: FloatArray, weight_N: FloatArray | None = None) -> Isotonic:
    """Fit the expected label ≥ 0 at an output on any scale, by at most MOST_BINS knots. Over these rows, Σ w·map(output) = Σ w·label.

    The fit is isotonic regression over bins of equal weight by output. Rows of one output are in one bin. Each pooled block is one knot at
    its mean output, so that between the outer knots a higher output always has a higher value. Straight lines between the knots miss the
    sum by a little, and one factor on all values corrects it. Raises ValueError where there is no row. Weights are above 0.
    """
    if not len(output_N):
        raise ValueError("found no row to fit an expected label on, expected at least one")
    weight_N = np.ones(len(output_N)) if weight_N is None else weight_N
    output_U, place_N = np.unique(output_N, return_inverse=True)
    weight_U, total_U = (np.asarray(np.bincount(place_N, values_N), np.float64) for values_N in (weight_N, weight_N * label_N))
    middle_U = (np.cumsum(weight_U) - weight_U / 2) / weight_U.sum()
    bin_U = np.floor(middle_U * np.clip(len(output_N) // BIN_ROWS, 1, MOST_BINS))
    bins_B = np.flatnonzero(np.diff(bin_U, prepend=-1.0))  # where each bin begins

    def means(values_U: FloatArray, starts_B: NDArray[np.intp]) -> FloatArray:
        return np.asarray(np.add.reduceat(values_U, starts_B) / np.add.reduceat(weight_U, starts_B), np.float64)

    pooled = optimize.isotonic_regression(means(total_U, bins_B), weights=np.add.reduceat(weight_U, bins_B))
    starts_B = bins_B[pooled.blocks[:-1]]
    ends_B = np.append(starts_B[1:], len(output_U)) - 1
    centre_B = means(weight_U * output_U, starts_B).clip(output_U[starts_B], output_U[ends_B])  # rounding must not merge two knots
    value_B = means(total_U, starts_B)
    said = weight_N @ np.interp(output_N, centre_B, value_B)
    value_B = np.maximum.accumulate(value_B * (total_U.sum() / said if said > 0 else 1.0))
    return Isotonic(predicted=tuple(centre_B.tolist()), calibrated=tuple(value_B.tolist()))


def _off_the_ends(value_B: FloatArray, rows_B: FloatArray, low: float, high: float) -> FloatArray:
    moved_B = value_B.copy()
    if len(value_B) > 1 and value_B[0] <= low:
        moved_B[0] = (rows_B[0] * low + value_B[1]) / (rows_B[0] + 1)
    if len(value_B) > 1 and value_B[-1] >= high:
        moved_B[-1] = (rows_B[-1] * high + value_B[-2]) / (rows_B[-1] + 1)
    return moved_B


def fit_platt(predicted_N: FloatArray, label_N: FloatArray) -> Platt:
    """Fit the logistic regression of the label on the prediction's logit (Platt 1999), with Platt's targets instead of 0 and 1.

    The targets (N₊ + 1) / (N₊ + 2) and 1 / (N₋ + 2) keep the likelihood finite where a threshold separates the labels (Lin, Lin & Weng
    2007). A slope below 0 would reverse the order. The best allowed slope is then 0, which gives all rows the same probability. Predictions
    that do not differ get a slope of 0 too.
    """
    positives = float(label_N.sum())
    negatives = len(label_N) - positives
    target_N = np.where(label_N > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    logit_N = _logit(predicted_N)
    middle, spread = float(logit_N.mean()), float(logit_N.std())
    flat = Platt(slope=0.0, intercept=float(special.logit(target_N.mean())))
    if spread < CLIP:
        return flat
    x_NP = np.column_stack([(logit_N - middle) / spread, np.ones(len(logit_N))])  # standardised, for the optimiser's tolerance

    def loss(weights_P: FloatArray) -> tuple[float, FloatArray]:
        z_N = x_NP @ weights_P
        slope_P = x_NP.T @ (special.expit(z_N) - target_N) / len(z_N)
        return float(np.mean(np.logaddexp(0.0, z_N) - target_N * z_N)), slope_P

    def curvature(weights_P: FloatArray) -> FloatArray:
        p_N = special.expit(x_NP @ weights_P)
        return np.asarray((x_NP * (p_N * (1 - p_N))[:, None]).T @ x_NP / len(p_N))

    start_P = np.array([spread, middle])  # the map that leaves predictions as they are
    found = optimize.minimize(loss, start_P, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-10, "maxiter": 200})
    slope = float(found.x[0]) / spread
    return Platt(slope=slope, intercept=float(found.x[1]) - slope * middle) if slope > 0 else flat


def _logit(predicted_N: FloatArray) -> FloatArray:
    return np.asarray(special.logit(np.clip(predicted_N, CLIP, 1 - CLIP)), np.float64)
