"""N linear layers of one shape as one batched product: experts, towers, and other nets that each objective owns.

Shape letters: N layers, B rows, D input width, H output width. N comes first, because a product over contiguous layers costs 24 ms where
the same product over [B, N, D] costs 62 ms (bf16, forward and backward, 4,096 rows, 8 layers of 256 × 128).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from recsys.nn.dropout import Dropout

RELU_GAIN = 2.0**0.5  # keeps the variance through a ReLU (He et al., ICCV 2015)
_FEW_COLUMNS = 32  # of a gate, say: with 5 or 6 columns a third of the rows had digits that depend on their place, with 24 none


class StackedWeights(nn.Module):
    """The weights [N, D, H] and biases [N, 1, H] of N linear maps. They start uniform with variance gain² / D, and at zero."""

    def __init__(self, num: int, d_in: int, d_out: int, *, gain: float = RELU_GAIN, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num, d_in, d_out))
        self.bias = nn.Parameter(torch.zeros(num, 1, d_out)) if bias else None
        bound = gain * (3.0 / max(d_in, 1)) ** 0.5
        with torch.no_grad():
            self.weight.uniform_(-bound, bound)


class StackedLinear(StackedWeights):
    """N linear maps y_n = x_n W_n + b_n, [N, B, D] → [N, B, H]."""

    def forward(self, x_NBD: Tensor) -> Tensor:
        return product(x_NBD, self.weight, self.bias)


class OutputLinear(StackedLinear):
    """A stacked linear layer outside autocast: the terms of a logit need more than bf16's three digits."""

    def forward(self, x_NBD: Tensor) -> Tensor:
        return product_outside_autocast(x_NBD, self.weight, self.bias)


def product(x_NBD: Tensor, weight_NDH: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x_n W_n + b_n, [N, B, D] → [N, B, H]. The bias is [N, 1, H] or [N, B, H].

    Without gradients few columns are computed as (Wᵀ xᵀ)ᵀ: of xW, a row's last digits would depend on its place in a large batch. So
    predictions of thousands of rows do not depend on their order. With gradients, xW is the faster one.
    """
    if torch.is_grad_enabled() or weight_NDH.shape[-1] > _FEW_COLUMNS:
        return _plain_product(x_NBD, weight_NDH, bias)
    return _by_transposes(x_NBD, weight_NDH, bias).contiguous()


def product_outside_autocast(x_NBD: Tensor, weight_NDH: Tensor, bias_N1H: Tensor | None = None) -> Tensor:
    """Return what `product` does, outside autocast. Without gradients any number of columns is computed as few are, and is a view."""
    with torch.autocast(x_NBD.device.type, enabled=False):
        x_NBD = x_NBD.to(weight_NDH.dtype)
        return (_plain_product if torch.is_grad_enabled() else _by_transposes)(x_NBD, weight_NDH, bias_N1H)


def _by_transposes(x_NBD: Tensor, weight_NDH: Tensor, bias: Tensor | None) -> Tensor:
    """Return xW + b as the transposed view of Wᵀ xᵀ + bᵀ."""
    return _plain_product(weight_NDH.transpose(1, 2), x_NBD.transpose(1, 2), None if bias is None else bias.transpose(1, 2)).transpose(1, 2)


def _plain_product(left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
    """Return left · right + bias, layer by layer: one call, so that autocast casts the bias too."""
    return torch.bmm(left, right) if bias is None else torch.baddbmm(bias, left, right)


class StackedMLP(nn.Module):
    """N nets of one shape, [N, B, D] → [N, B, d_out]; each layer is linear, ReLU, dropout. Without layers the output is the input."""

    def __init__(
        self, num: int, d_in: int, hidden: Sequence[int], *, dropout: float = 0.0, first: type[StackedWeights] = StackedLinear
    ) -> None:
        """`first` is the kind of the first layer. The net takes what that layer reads, for a StackedLinear [N, B, D]."""
        super().__init__()
        widths = [d_in, *hidden]
        self.layers = nn.ModuleList((StackedLinear if place else first)(num, a, b) for place, (a, b) in enumerate(pairwise(widths)))
        self.dropout = Dropout(dropout, rows_dim=1)
        self.d_out = widths[-1]

    @property
    def last_weight(self) -> nn.Parameter:
        """The weight of the layer that gives the output. Raises IndexError where there is no layer."""
        return cast(StackedWeights, self.layers[-1]).weight

    def forward(self, x_NBD: Tensor) -> Tensor:
        for layer in self.layers:
            x_NBD = self.dropout(layer(x_NBD).relu())
        return x_NBD


def stacked(x_BND: Tensor) -> Tensor:
    """Move the nets first, [B, N, D] → [N, B, D], contiguous; nothing is copied where N is 1."""
    return x_BND.transpose(0, 1).contiguous()


def unstacked(x_NBD: Tensor) -> Tensor:
    """Move the rows first, [N, B, D] → [B, N, D], as a view."""
    return x_NBD.transpose(0, 1)
