"""Probabilities of an ordinal objective's levels that fit its calibrated expected level. Shapes: N rows, L levels."""

from collections.abc import Sequence

import numpy as np

from recsys.calibration.maps import CLIP, FloatArray

_HALVINGS = 64
_REACH = 100.0  # largest tilt times the smallest gap: moves all but 1e-12 of the mass across a level of probability 1e-12


def tilted(probability_NL: FloatArray, levels: Sequence[float], mean_N: FloatArray) -> FloatArray:
    """Return the distributions with these means that are nearest by KL divergence (Csiszár 1975).

    They are P(level) ∝ p(level) · exp(θ · level), with one θ per row. `mean_N` lies within the levels. NaN rows come back as NaN. θ is
    found by bisection, since the mean rises with it. Probabilities below 1e-12 count as 1e-12, so that every mean can be reached.
    """
    level_L = np.asarray(levels, np.float64)
    log_NL = np.log(np.maximum(probability_NL, CLIP))
    reach = _REACH / np.diff(level_L).min()
    low_N, high_N = np.full(len(mean_N), -reach), np.full(len(mean_N), reach)
    for _ in range(_HALVINGS):
        tilt_N = (low_N + high_N) / 2
        is_below_N = _weights(log_NL, level_L, tilt_N) @ level_L < mean_N
        low_N, high_N = np.where(is_below_N, tilt_N, low_N), np.where(is_below_N, high_N, tilt_N)
    tilted_NL = _weights(log_NL, level_L, (low_N + high_N) / 2)
    return np.where(np.isnan(mean_N)[:, None], np.nan, tilted_NL)


def _weights(log_NL: FloatArray, level_L: FloatArray, tilt_N: FloatArray) -> FloatArray:
    tilted_NL = log_NL + tilt_N[:, None] * level_L
    weight_NL = np.exp(tilted_NL - tilted_NL.max(axis=1, keepdims=True))
    return np.asarray(weight_NL / weight_NL.sum(axis=1, keepdims=True))
