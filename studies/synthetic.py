"""Two regression tasks of a known relation: the synthetic data of Ma et al. (KDD 2018, §3.2).

    w_1 = c u_1,  w_2 = c (p u_1 + √(1 − p²) u_2),  x ~ N(0, I),
    y_k = w_kᵀx + Σ_i sin(α_i w_kᵀx + β_i) + ε_k

with orthogonal unit vectors u. c, m, α and β are **not disclosed by the paper**. Ours are fitted to its Fig. 2 (correlation of the labels
against p, read off the plot): c = .3, m = 2, α = (10, 20), β = (0, 1). Its "N(0, 0.01)" is read as a variance.

Shape letters: S seeds, B rows, D inputs, K = 2 tasks, M sinusoids.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

NUM_TASKS, D_INPUT = 2, 100
SCALE = 0.3
ALPHA, BETA = (10.0, 20.0), (0.0, 1.0)
NOISE_STD = 0.1

FIGURE_2 = {0.4: 0.05, 0.5: 0.07, 0.6: 0.10, 0.7: 0.13, 0.8: 0.19, 0.9: 0.30, 0.95: 0.45, 0.98: 0.65, 1.0: 1.0}  # read off, ± .01


class Rows(NamedTuple):
    """Inputs and labels of every seed."""

    x_SBD: Tensor
    y_SBK: Tensor


class Synthetic:
    """The two tasks of each seed and an endless stream of their rows. A seed's rows do not depend on the other seeds."""

    def __init__(self, cosine: float, seeds: Sequence[int], *, stream: int = 0) -> None:
        """Draw the tasks. `cosine` is p, their relation. `stream` names different rows of the same tasks, such as held-out ones."""
        if not 0.0 <= cosine <= 1.0:
            raise ValueError(f"found a task cosine of {cosine:g}, expected 0 to 1")
        self.w_SDK = torch.stack([_task_weights(cosine, seed) for seed in seeds])
        self.generators = [torch.Generator().manual_seed(_number(seed, stream + 1)) for seed in seeds]

    def rows(self, num: int) -> Rows:
        """Draw the next `num` rows of each seed."""
        x_SBD = torch.stack([torch.randn(num, D_INPUT, generator=generator) for generator in self.generators])
        noise_SBK = torch.stack([torch.randn(num, NUM_TASKS, generator=generator) for generator in self.generators])
        return Rows(x_SBD, expected_labels(x_SBD @ self.w_SDK) + NOISE_STD * noise_SBK)


def expected_labels(z: Tensor) -> Tensor:
    """Return E[y | z] for z = wᵀx, elementwise."""
    return z + sum(torch.sin(alpha * z + beta) for alpha, beta in zip(ALPHA, BETA, strict=True))


def label_correlation(cosine: float) -> float:
    """Compute the correlation of the two labels, in closed form.

    z is normal, so every term is a value of its characteristic function.
    """
    return _covariance(cosine) / (_covariance(1.0) + NOISE_STD**2)


def _covariance(cosine: float) -> float:
    """Compute Cov(E[y_1 | z_1], E[y_2 | z_2]) for normal z of variance c² and correlation p."""
    variance = SCALE**2
    alpha_M, beta_M = np.array(ALPHA), np.array(BETA)
    decay_M = np.exp(-0.5 * variance * alpha_M**2)  # E cos(α z)
    linear = cosine * variance * (1.0 + 2.0 * float(np.sum(alpha_M * np.cos(beta_M) * decay_M)))
    squares_MM = alpha_M[:, None] ** 2 + alpha_M**2
    products_MM = 2.0 * cosine * np.outer(alpha_M, alpha_M)
    same_MM = np.cos(beta_M[:, None] - beta_M) * np.exp(-0.5 * variance * (squares_MM - products_MM))
    opposite_MM = np.cos(beta_M[:, None] + beta_M) * np.exp(-0.5 * variance * (squares_MM + products_MM))
    mean = float(np.sum(np.sin(beta_M) * decay_M))
    return linear + 0.5 * float(np.sum(same_MM - opposite_MM)) - mean**2


def _task_weights(cosine: float, seed: int) -> Tensor:
    """Return [D, K]. The plane depends on the seed alone, so a seed has the same first task at every cosine."""
    plane_D2 = torch.linalg.qr(torch.randn(D_INPUT, NUM_TASKS, generator=torch.Generator().manual_seed(_number(seed, 0))))[0]
    directions_2K = torch.tensor([[1.0, cosine], [0.0, (1.0 - cosine**2) ** 0.5]])
    weights_DK: Tensor = SCALE * plane_D2 @ directions_2K
    return weights_DK


def _number(seed: int, stream: int) -> int:
    """Return a seed for torch, made from two numbers, far from the seeds of neighbouring numbers."""
    return int(np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0] >> 1)
