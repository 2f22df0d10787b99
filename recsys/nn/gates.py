"""All softmax gates over one pool of experts as one product. Shape letters: B rows, D input, K gates, N experts."""

import torch
from torch import Tensor, nn

from recsys.nn.linear import StackedLinear


class Gates(nn.Module):
    """g_k(x) = softmax(W_k x), no bias (Zhao et al., RecSys 2019, eq. 3), with dropout of experts in training.

    The dropout is Zhao's remedy for polarised gates: with probability `dropout` an expert's utilisation is set to 0 and
    the rest re-normalised, here independently by row, gate and expert. A gate that would lose all its experts keeps all.
    """

    def __init__(self, d_in: int, num_gates: int, num_experts: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear = StackedLinear(1, d_in, num_gates * num_experts, gain=1.0, bias=False)
        self.shape = (num_gates, num_experts)
        self.dropout = dropout

    def forward(self, x_BD: Tensor) -> Tensor:
        """[B, K, N], rows sum to 1."""
        logits_BKN = torch.unflatten(self.linear(x_BD.unsqueeze(0)).squeeze(0), 1, self.shape)
        if self.training and self.dropout > 0:
            dropped = torch.rand_like(logits_BKN, dtype=torch.float32) < self.dropout
            dropped &= ~dropped.all(dim=-1, keepdim=True)
            logits_BKN = logits_BKN.masked_fill(dropped, float("-inf"))  # before the softmax, which re-normalises
        return logits_BKN.softmax(dim=-1)
