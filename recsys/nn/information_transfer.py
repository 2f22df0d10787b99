"""Information that one net hands to another.

Shape letters: B rows, K nets, R of them receiving at a time, H width, P two parts: own, received.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recsys.nn.linear import StackedLinear


@dataclass(frozen=True)
class Step:
    """Nets that receive at the same time, and the net that each receives from."""

    receivers: tuple[int, ...]
    sources: tuple[int, ...]


class InformationTransfer(nn.Module):
    """The adaptive information transfer unit of Xi et al. (AITM, KDD 2021).

    Net t receives p = ReLU(G_t z_{t−1} + b_t); q_t is its own output. The two are combined as z_t = Σ_{u ∈ {q_t, p}} w_u h_1(u), with w =
    softmax over the two of ⟨h_2(u), h_3(u)⟩ / √H. A net that receives nothing keeps z_t = q_t. Each receiver has its own G. The linear maps
    h are the same for all nets, as in the authors' code.
    """

    def __init__(self, steps: Sequence[Step], width: int) -> None:
        """Build the maps. `steps` must be in an order in which every source is done before it is read."""
        super().__init__()
        self.steps = tuple(steps)
        self.handed = nn.ModuleList(StackedLinear(len(step.receivers), width, width) for step in steps)
        self.maps = StackedLinear(3, width, width, gain=1.0, bias=False) if self.steps else None  # h_1, h_2, h_3
        self.scale: float = width**-0.5

    def forward(self, own_KBH: Tensor) -> tuple[Tensor, Tensor]:
        """Return z [K, B, H] and the weight w of the received part [K, B]; this is 0 where a net receives nothing."""
        own, found = own_KBH.unbind(0), list(own_KBH.unbind(0))
        received = [torch.zeros_like(own_KBH[0, :, 0], dtype=torch.float32)] * len(own)
        for step, hand in zip(self.steps, self.handed, strict=True):
            handed_RBH = hand(torch.stack([found[k] for k in step.sources])).relu()
            mixed_RBH, weights_PRB = self._attend(torch.stack([torch.stack([own[k] for k in step.receivers]), handed_RBH]))
            for row, k in enumerate(step.receivers):
                found[k] = mixed_RBH[row].to(own_KBH.dtype)
                received[k] = weights_PRB[1, row].float()
        return torch.stack(found), torch.stack(received)

    def _attend(self, parts_PRBH: Tensor) -> tuple[Tensor, Tensor]:
        assert self.maps is not None
        mapped = self.maps(parts_PRBH.flatten(0, 2).expand(3, -1, -1))
        values, keys, queries = torch.unflatten(mapped, 1, parts_PRBH.shape[:3])
        logits_PRB = (keys * queries).sum(-1) * self.scale
        # Over its last axis: over the first one, the last few numbers of an array are computed by another function.
        weights_PRB = logits_PRB.movedim(0, -1).softmax(dim=-1).movedim(-1, 0)
        return (weights_PRB.unsqueeze(-1) * values).sum(0), weights_PRB
