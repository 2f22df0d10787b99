"""A pool of experts as one batched product. Shape letters: B rows, D input, N experts, H width of an expert."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys.nn.linear import StackedLinear, StackedMLP, stacked


class Experts(nn.Module):
    """N ReLU nets on the same input, [B, D] → [N, B, H] (Ma et al., KDD 2018, eq. 6: the f_i).

    Their first layers are one wide product, as all of them read the same input.
    """

    def __init__(self, num: int, d_in: int, hidden: Sequence[int]) -> None:
        super().__init__()
        first, *rest = hidden
        self.num = num
        self.first = StackedLinear(1, d_in, num * first)
        self.rest = StackedMLP(num, first, rest)
        self.d_out = self.rest.d_out

    def forward(self, x_BD: Tensor) -> Tensor:
        wide_BH: Tensor = self.first(x_BD.unsqueeze(0)).squeeze(0).relu()
        experts_NBH: Tensor = self.rest(stacked(torch.unflatten(wide_BH, 1, (self.num, -1))))
        return experts_NBH


def mix(gates_BKN: Tensor, experts_NBH: Tensor) -> Tensor:
    """Σ_n g_kn · f_n (Ma et al., KDD 2018, eq. 6), [B, K, H]."""
    return gates_BKN @ experts_NBH.transpose(0, 1)
