"""Softmax gates over pools of experts as one product. Shape letters: B rows, D input, K gates, N experts of a gate."""

from functools import partial

import torch
from torch import Tensor, nn

from recsys.nn.linear import StackedLinear, unstacked
from recsys.process_group import own_draws


def gate_weights(logits: Tensor, dropped: Tensor | None, *, top_k: int | None) -> Tensor:
    """Compute the softmax over the last axis, the experts.

    `dropped` are the experts that a gate loses in training. It is Zhao et al.'s remedy for polarised gates (RecSys 2019, §5.4): the
    utilisation of a lost expert is set to 0 and the rest is re-normalised. Here each row, gate and expert has an independent draw. A gate
    that would lose all its experts keeps all.
    `top_k`: only the k largest of the remaining weights are used, re-normalised in the same way (Shazeer et al., ICLR 2017). Of a single
    one the re-normalised weight would be 1 whatever the gate says, and no gate would learn: it keeps its weight among all (Fedus et al.,
    Switch transformers, JMLR 2022, eq. 2).
    """
    if dropped is not None:
        dropped = dropped & ~dropped.all(dim=-1, keepdim=True)
        logits = logits.masked_fill(dropped, float("-inf"))  # before the softmax, which re-normalises
    if top_k is not None and top_k < logits.shape[-1]:
        kept = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, logits.topk(top_k, dim=-1).indices, True)
        if top_k == 1:
            return logits.softmax(dim=-1).masked_fill(~kept, 0.0)
        logits = logits.masked_fill(~kept, float("-inf"))
    return logits.softmax(dim=-1)


def _drawn(logits: Tensor, rate: float, *, rows_dim: int) -> Tensor:
    """Draw the experts that are lost, in the order of the logits' axes, wherever these lie in memory."""
    return own_draws(partial(torch.rand, device=logits.device), logits.shape, rows_dim) < rate


class Gates(nn.Module):
    """Gates g_k(x) = softmax(W_k x) without bias (Zhao et al., RecSys 2019, eq. 3), with dropout of experts in training."""

    def __init__(self, d_in: int, num_gates: int, num_experts: int, *, dropout: float = 0.0, top_k: int | None = None) -> None:
        super().__init__()
        self.linear = StackedLinear(1, d_in, num_gates * num_experts, gain=1.0, bias=False)
        self.shape = (num_gates, num_experts)
        self.dropout = dropout
        self.top_k = top_k

    def forward(self, x_BD: Tensor) -> Tensor:
        """Return [B, K, N], which sums to 1 over the experts, unless `top_k` is 1."""
        logits_BKN = torch.unflatten(self.linear(x_BD.unsqueeze(0)).squeeze(0), 1, self.shape)
        dropped_BKN = _drawn(logits_BKN, self.dropout, rows_dim=0) if self.training and self.dropout > 0 else None
        return gate_weights(logits_BKN, dropped_BKN, top_k=self.top_k)


class OwnGates(nn.Module):
    """Gates g_k(x_k) = softmax(W_k x_k): as `Gates`, but each gate has its own input."""

    def __init__(self, d_in: int, num_gates: int, num_experts: int, *, dropout: float = 0.0, top_k: int | None = None) -> None:
        super().__init__()
        self.linear = StackedLinear(num_gates, d_in, num_experts, gain=1.0, bias=False)
        self.dropout = dropout
        self.top_k = top_k

    def forward(self, x_KBD: Tensor) -> Tensor:
        """Return [B, K, N], which sums to 1 over the experts, unless `top_k` is 1."""
        logits_KBN = self.linear(x_KBD)
        dropped_KBN = _drawn(logits_KBN, self.dropout, rows_dim=1) if self.training and self.dropout > 0 else None
        return gate_weights(unstacked(logits_KBN), None if dropped_KBN is None else unstacked(dropped_KBN), top_k=self.top_k)


class SelfGates(nn.Module):
    """Gates that give an owner more of its own experts, besides what its softmax gate gives (Wang et al., HoME, 2024).

    The gate is σ(w_k x_k) for a single expert and softmax(W_k x_k) over several.
    """

    def __init__(self, d_in: int, num_gates: int, num_experts: int) -> None:
        super().__init__()
        self.linear = StackedLinear(num_gates, d_in, num_experts, gain=1.0, bias=False)
        self.alone = num_experts == 1

    def forward(self, x_KBD: Tensor) -> Tensor:
        """Return [B, K, N], between 0 and 1."""
        logits_BKN = unstacked(self.linear(x_KBD))
        return logits_BKN.sigmoid() if self.alone else logits_BKN.softmax(dim=-1)
