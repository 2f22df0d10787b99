"""The noise of training seeds: how much a mean over seeds varies, in addition to the noise of the test users.

Shapes: P points (architectures, configs), each trained with the same S seeds, K numbers per point, R replicates over users.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from recsys.evaluation.inputs.rows import FloatArray

SHARED_REFERENCE = 0.5  # correlation of two differences to one reference run in a seed, where the noise of every run is as large


@dataclass(frozen=True)
class SeedNoise:
    """Between-seed covariance of K numbers of one run, pooled over all points.

    It is pooled because two or three seeds cannot tell the covariance of one point from that of another. `freedom` is the degrees of
    freedom of the estimate.
    """

    covariance_KK: FloatArray
    freedom: float
    seeds: int

    @classmethod
    def of(cls, value_PSK: ArrayLike, *, correlation: float = 0.0) -> "SeedNoise | None":
        """Estimate the noise from the deviations from each point's mean. Returns None with one seed, which says nothing about the noise.

        `correlation` is that of two points' deviations in one seed. Correlated points say less about the noise than as many independent
        ones. So the degrees of freedom are divided by 1 + (P − 1) · correlation².
        """
        value_PSK = np.asarray(value_PSK, np.float64)
        points, seeds, numbers = value_PSK.shape
        if points == 0 or seeds < 2:
            return None
        deviation_JK = (value_PSK - value_PSK.mean(axis=1, keepdims=True)).reshape(points * seeds, numbers)
        free = points * (seeds - 1)
        return cls(deviation_JK.T @ deviation_JK / free, free / (1 + (points - 1) * correlation**2), seeds)

    @property
    def variance(self) -> FloatArray:
        """The variance of a mean over the seeds, [K]."""
        return np.diag(self.covariance_KK) / self.seeds

    def half_width(self, user_variance_K: ArrayLike, *, confidence: float, users: ArrayLike = np.inf) -> FloatArray:
        """Return half the width of the interval of a mean over seeds.

        The variance of the mean over replicates of users is `user_variance_K`; the variance over seeds is added to it. The interval is
        Student's, with the degrees of freedom of the sum (Satterthwaite 1946). Replicates of G effective `users` have G − 1, and vary too
        little by (G − 1) / G, as in `bootstrap.percentile_interval`.
        """
        inverse_K = 1 / np.asarray(users, np.float64)
        user_variance_K = np.asarray(user_variance_K, np.float64) / (1 - inverse_K)
        total_K = user_variance_K + self.variance
        with np.errstate(divide="ignore", invalid="ignore"):
            freedom_K = total_K**2 / (user_variance_K**2 * inverse_K / (1 - inverse_K) + self.variance**2 / self.freedom)
        quantile_K = stdtrit(np.where(np.isnan(freedom_K), np.inf, freedom_K), (1 + confidence) / 2)
        half_K: FloatArray = quantile_K * np.sqrt(total_K)
        return half_K

    def added_to(self, replicates_RPK: FloatArray, *, seed: int) -> FloatArray:
        """Add the noise of seeds to replicates of means over seeds, on top of the noise of users.

        The result is a pure function of `seed`. Each point's draw is normal with the pooled covariance. In each replicate, all draws are
        multiplied by one drawn scale, as in Student's t.
        """
        rng = np.random.default_rng(seed)
        size_K, axes_KK = np.linalg.eigh(self.covariance_KK / self.seeds)
        factor_KK = axes_KK * np.sqrt(np.maximum(size_K, 0.0))
        scale_R = np.sqrt(self.freedom / rng.chisquare(self.freedom, len(replicates_RPK)))
        noise_RPK: FloatArray = scale_R[:, None, None] * (rng.standard_normal(replicates_RPK.shape) @ factor_KK.T)
        return replicates_RPK + noise_RPK


def half_widths(
    value_PSK: ArrayLike, user_variance_PK: ArrayLike = 0.0, *, confidence: float, users: ArrayLike = np.inf, correlation: float = 0.0
) -> FloatArray:
    """Return half the width of the interval of each mean over seeds, [P, K] or [K], as the two methods of `SeedNoise` compute it.

    With one seed all are NaN.
    """
    noise = SeedNoise.of(value_PSK, correlation=correlation)
    if noise is None:
        return np.full(np.broadcast_shapes(np.shape(user_variance_PK), np.shape(value_PSK)[2:]), np.nan)
    return noise.half_width(user_variance_PK, confidence=confidence, users=users)
