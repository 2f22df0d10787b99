"""Target attention over a user's last impressions: what the past says about this candidate.

Shape letters: B rows, T tables, L history, C width of a history entry, D width of the candidate's features, A attention.
"""

import torch
from torch import Tensor, nn

from recsys.nn.linear import StackedLinear, stacked, unstacked


def is_past(lengths_B: Tensor, length: int) -> Tensor:
    """[B, L] bool: which of the `length` entries, newest first, are there."""
    return torch.arange(length, device=lengths_B.device) < lengths_B[:, None]


def mean_of_past(entries_BLC: Tensor, lengths_B: Tensor) -> Tensor:
    """[B, L, C] → [B, C]: the mean over the entries that are there; zero for an empty history."""
    there_BL1 = is_past(lengths_B, entries_BLC.shape[1]).unsqueeze(-1)
    return (entries_BLC * there_BL1).sum(1) / lengths_B.clamp(min=1).unsqueeze(-1)


class TargetAttention(nn.Module):
    """softmax(q·k / √A) over the history, with keys, values and the query linear maps, as in deep interest nets (Zhou et al., KDD 2018).

    A learned null entry takes the weight that no past impression deserves, and all of it when the history is empty.
    Keys and values are never formed: q·(W_k e) = (W_kᵀq)·e and Σ a (W_v e) = W_v Σ a e, which costs one map a row
    instead of one an entry. Both are products element by element: as matrix products they are one tiny product a row, which takes
    2.6 ms where this takes 0.9 (512 rows of 10 × 30, forward and backward).
    """

    def __init__(self, num_tables: int, d_query: int, d_entry: int, d_attention: int) -> None:
        super().__init__()
        self.query = StackedLinear(num_tables, d_query, d_attention, gain=1.0)
        self.key = StackedLinear(num_tables, d_attention, d_entry, gain=(d_attention / max(d_entry, 1)) ** 0.5, bias=False)
        self.value = StackedLinear(num_tables, d_entry, d_attention, gain=1.0, bias=False)
        self.null_key = nn.Parameter(torch.zeros(num_tables, d_attention))
        self.null_value = nn.Parameter(torch.zeros(num_tables, d_attention))
        self.scale: float = d_attention**-0.5

    def weights(self, features_BTD: Tensor, entries_BTLC: Tensor, lengths_B: Tensor) -> Tensor:
        """[B, T, 1 + L], rows sum to 1: the null entry's weight, then the history's, newest first."""
        query_TBA = self.query(stacked(features_BTD))
        probe_BTC = unstacked(self.key(query_TBA))
        past_BTL = (entries_BTLC * probe_BTC.unsqueeze(2)).sum(-1)
        null_BT1 = unstacked(torch.bmm(query_TBA, self.null_key.unsqueeze(-1)))
        there_B1L = is_past(lengths_B, entries_BTLC.shape[2])[:, None]
        logits = torch.cat([null_BT1, past_BTL.masked_fill(~there_B1L, float("-inf"))], dim=-1)
        return (logits * self.scale).softmax(dim=-1)

    def forward(self, features_BTD: Tensor, entries_BTLC: Tensor, lengths_B: Tensor) -> Tensor:
        """→ [B, T, A]. Entries beyond `lengths_B` have no part in it; they must be finite."""
        weights = self.weights(features_BTD, entries_BTLC, lengths_B)
        attended_BTC = (weights[..., 1:, None] * entries_BTLC).sum(2)
        attended_BTA = unstacked(self.value(stacked(attended_BTC)))
        return attended_BTA + weights[..., :1] * self.null_value.to(weights.dtype)
