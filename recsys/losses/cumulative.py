"""Cumulative logits: one output and ascending thresholds give a probability for each of L levels.

McCullagh (JRSS B 1980), the proportional-odds model: thresholds θ_1 < … < θ_C cut the line on which the output o lies into C + 1 levels,

    P(above level c) = σ(o − θ_c),   P(level l) = σ(o − θ_l) − σ(o − θ_{l+1}),   θ_0 = −∞, θ_L = ∞.

Thresholds are learned as the first one and the logs of the gaps between neighbours, so that they stay in order.

Shape letters: `…` any axes in front, C thresholds, L = C + 1 levels; T tables of thresholds.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

_NARROW = -10.0  # log of a gap


def parameters_at(rates_L: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the parameters [C] of the thresholds at which an output of 0 gives these probabilities, each above 0."""
    until_C, beyond_C = np.cumsum(rates_L)[:-1], np.cumsum(rates_L[::-1])[::-1][1:]
    thresholds_C = np.log(until_C) - np.log(beyond_C)
    return np.concatenate([thresholds_C[:1], np.log(np.diff(thresholds_C))])


def log_probabilities(outputs: Tensor, parameters: Tensor, is_level: Tensor, tables: Tensor | None = None) -> Tensor:
    """Return log P of each level, [..., L], from outputs [...] and thresholds' parameters [..., C]. Where not `is_level` it is −∞.

    `is_level` [..., L] is true for the first level and for some that follow it without a gap. The axes in front broadcast. With `tables`,
    parameters are [T, C] and levels [T, L], and `tables` of the outputs' shape are the places in them that each output uses.

    σ(a) − σ(b) = σ(a) · σ(−b) · (1 − exp(−(a − b))): this avoids the difference of two numbers near 1. The last factor depends only on
    the gap.
    """
    parameters = parameters.to(outputs.dtype)
    thresholds, widths = _thresholds(parameters), _log_widths(parameters, is_level)
    if tables is not None:
        thresholds, widths, is_level = (_at(tables, each) for each in (thresholds, widths, is_level))
    above = outputs[..., None] - thresholds
    over = F.pad(F.logsigmoid(above), (1, 0))
    under = F.pad(F.logsigmoid(-above).masked_fill(~is_level[..., 1:], 0.0), (0, 1))
    return (over + under + widths).masked_fill(~is_level, -torch.inf)


def log_probability(outputs: Tensor, tables: Tensor, levels: Tensor, parameters_TC: Tensor, is_level_TL: Tensor) -> Tensor:
    """Return what `log_probabilities` says of one level for each output, by the thresholds of the output's table.

    Outputs, tables and levels have one shape. Only the two thresholds around the level are read, so the cost does not grow with the number
    of levels.
    """
    parameters_TC = parameters_TC.to(outputs.dtype)
    thresholds_TC = _thresholds(parameters_TC)
    lower_TL = F.pad(thresholds_TC, (1, 0), value=-torch.inf)
    upper_TL = F.pad(thresholds_TC.masked_fill(~is_level_TL[:, 1:], torch.inf), (0, 1), value=torch.inf)
    places_N = (tables * is_level_TL.shape[1] + levels).flatten()
    lower, upper, width = (
        table_TL.flatten().index_select(0, places_N).view_as(outputs)
        for table_TL in (lower_TL, upper_TL, _log_widths(parameters_TC, is_level_TL))
    )
    return F.logsigmoid(outputs - lower) + F.logsigmoid(upper - outputs) + width


def cross_entropy(probabilities: Tensor, log_probabilities: Tensor) -> Tensor:
    """Return −Σ_l P_l · log Q_l, [...], from two tensors [..., L]. A level that does not exist (log Q = −∞) counts as 0."""
    return -(probabilities * log_probabilities.masked_fill(log_probabilities.isneginf(), 0.0)).sum(-1)


def _at(tables: Tensor, of_each_T: Tensor) -> Tensor:
    """Return the rows of [T, …] at these places: by index_select, because the gradient of indexing is not deterministic on CUDA."""
    return of_each_T.index_select(0, tables.flatten()).view(*tables.shape, of_each_T.shape[1])


def _thresholds(parameters: Tensor) -> Tensor:
    """Return the running sums of the first threshold and the gaps: as a product, because CUDA's cumsum is not deterministic."""
    steps = torch.cat([parameters[..., :1], parameters[..., 1:].exp()], -1)
    return (steps[..., :, None] * torch.ones(steps.shape[-1], steps.shape[-1], dtype=steps.dtype, device=steps.device).triu()).sum(-2)


def _log_widths(parameters: Tensor, is_level: Tensor) -> Tensor:
    """Return log(1 − exp(−gap)) of the gap between a level's two thresholds, [..., L]; 0 for the first and the last level."""
    return F.pad(log1mexp_of_exp(parameters[..., 1:]).masked_fill(~is_level[..., 2:], 0.0), (1, 1))


def log1mexp_of_exp(log_gaps: Tensor) -> Tensor:
    """Compute log(1 − exp(−gap)) of gap = exp(log_gap).

    Where the gap is small, the result is log_gap − gap/2, which is finite even where exp(log_gap) is 0.
    """
    wide = (-torch.expm1(-log_gaps.clamp(min=_NARROW).exp())).log()
    return torch.where(log_gaps < _NARROW, log_gaps - log_gaps.exp() / 2, wide)
