"""Softmax gates over pools of experts as one product. Shape letters: B rows, D input, K gates, N experts of a gate."""

import torch
from torch import Tensor, nn

from recsys.nn.linear import StackedLinear, unstacked


def gate_weights(logits: Tensor, *, dropout: float, top_k: int | None) -> Tensor:
    """Softmax over the last axis, the experts. `dropout` is the probability that an expert is lost (0 outside training).

    The dropout is Zhao et al.'s remedy for polarised gates (RecSys 2019, §5.4): an expert's utilisation is set to 0 and the rest
    re-normalised, here independently by row, gate and expert. A gate that would lose all its experts keeps all.
    `top_k`: only the k largest of those that are left are used, and re-normalised likewise (Shazeer et al., ICLR 2017).
    """
    if dropout > 0:
        dropped = torch.rand_like(logits, dtype=torch.float32) < dropout
        dropped &= ~dropped.all(dim=-1, keepdim=True)
        logits = logits.masked_fill(dropped, float("-inf"))  # before the softmax, which re-normalises
    if top_k is not None and top_k < logits.shape[-1]:
        kept = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, logits.topk(top_k, dim=-1).indices, True)
        logits = logits.masked_fill(~kept, float("-inf"))
    return logits.softmax(dim=-1)


class Gates(nn.Module):
    """g_k(x) = softmax(W_k x), no bias (Zhao et al., RecSys 2019, eq. 3), with dropout of experts in training."""

    def __init__(self, d_in: int, num_gates: int, num_experts: int, *, dropout: float = 0.0, top_k: int | None = None) -> None:
        super().__init__()
        self.linear = StackedLinear(1, d_in, num_gates * num_experts, gain=1.0, bias=False)
        self.shape = (num_gates, num_experts)
        self.dropout = dropout
        self.top_k = top_k

    def forward(self, x_BD: Tensor) -> Tensor:
        """[B, K, N], rows sum to 1."""
        logits_BKN = torch.unflatten(self.linear(x_BD.unsqueeze(0)).squeeze(0), 1, self.shape)
        return gate_weights(logits_BKN, dropout=self.dropout if self.training else 0.0, top_k=self.top_k)


class OwnGates(nn.Module):
    """g_k(x_k) = softmax(W_k x_k): the same gates, each with an input of its own."""

    def __init__(self, d_in: int, num_gates: int, num_experts: int, *, dropout: float = 0.0, top_k: int | None = None) -> None:
        super().__init__()
        self.linear = StackedLinear(num_gates, d_in, num_experts, gain=1.0, bias=False)
        self.dropout = dropout
        self.top_k = top_k

    def forward(self, x_KBD: Tensor) -> Tensor:
        """[B, K, N], rows sum to 1."""
        return gate_weights(unstacked(self.linear(x_KBD)), dropout=self.dropout if self.training else 0.0, top_k=self.top_k)


class SelfGates(nn.Module):
    """How much of its own experts an owner takes besides what its gate gives it (Wang et al., HoME, 2024).

    σ(w_k x_k) for a single expert, softmax(W_k x_k) over several.
    """

    def __init__(self, d_in: int, num_gates: int, num_experts: int) -> None:
        super().__init__()
        self.linear = StackedLinear(num_gates, d_in, num_experts, gain=1.0, bias=False)
        self.alone = num_experts == 1

    def forward(self, x_KBD: Tensor) -> Tensor:
        """[B, K, N], between 0 and 1."""
        logits_BKN = unstacked(self.linear(x_KBD))
        return logits_BKN.sigmoid() if self.alone else logits_BKN.softmax(dim=-1)
