"""Attention masks on features that all tasks share. Shape letters: K tasks, B rows, D width of what a mask reads, H of what it masks."""

import torch
from torch import Tensor, nn

from recsys.nn.linear import StackedLinear, StackedMLP


class AttentionMasks(nn.Module):
    """One mask per task, a_k = σ(ReLU(r_k U_k + c_k) V_k + d_k), [K, B, D] → [K, B, H] in (0, 1).

    This is eq. 2 of Liu et al. (CVPR 2019), with linear maps instead of their 1 × 1 convolutions g and h, and without their batch norm.
    """

    def __init__(self, num: int, d_read: int, d_mask: int, d_out: int) -> None:
        super().__init__()
        self.read = StackedMLP(num, d_read, (d_mask,))
        self.mask = StackedLinear(num, d_mask, d_out, gain=1.0)

    def forward(self, read_KBD: Tensor) -> Tensor:
        logits_KBH: Tensor = self.mask(self.read(read_KBD))
        return torch.sigmoid(logits_KBH)
