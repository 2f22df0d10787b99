"""One level of experts that belong to owners or to all. Shape letters: B rows, D input, H output, K owners, N a gate's experts, E all."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from recsys.nn.experts import OwnAndSharedExperts, mix, mix_own
from recsys.nn.gates import Gates, OwnGates


class Extracted(NamedTuple):
    """The results of one level."""

    own_BKH: Tensor
    shared_BH: Tensor | None  # what the shared experts of the next level read; None where there is no next level
    experts_EBH: Tensor  # all outputs of experts, the owners' first
    gates_BKN: Tensor  # over an owner's own experts, then the shared ones


class ExtractionLevel(nn.Module):
    """Customized gate control; where another level follows, progressive extraction (Tang et al., RecSys 2020, §4.1 and §4.2).

    g_k(x_k) = softmax(W_k x_k) over owner k's M experts and the S shared ones, o_k = Σ g_k f. With `shared_gate` the shared path has a gate
    too, softmax(W_s x_s). It mixes *all* K·M + S experts of the level.
    """

    def __init__(self, experts: OwnAndSharedExperts, d_in: int, *, shared_gate: bool, dropout: float, top_k: int | None) -> None:
        super().__init__()
        self.experts = experts
        per_owner = experts.num_own + experts.num_shared
        self.gates = OwnGates(d_in, experts.num_owners, per_owner, dropout=dropout, top_k=top_k)
        self.shared_gate = Gates(d_in, 1, experts.num, dropout=dropout, top_k=top_k) if shared_gate else None

    def forward(self, own_KBD: Tensor, shared_1BD: Tensor) -> Extracted:
        """Run the level on every owner's input and on the shared path's input."""
        experts_EBH = self.experts(own_KBD, shared_1BD)
        own_KMBH, shared_SBH = self.experts.split(experts_EBH)
        gates_BKN = self.gates(own_KBD)
        own_gates_BKM, shared_gates_BKS = torch.split(gates_BKN, [self.experts.num_own, self.experts.num_shared], dim=-1)
        own_BKH = mix_own(own_gates_BKM, own_KMBH)
        if self.experts.num_shared:
            own_BKH = own_BKH + mix(shared_gates_BKS, shared_SBH)
        shared_BH = None if self.shared_gate is None else mix(self.shared_gate(shared_1BD.squeeze(0)), experts_EBH).squeeze(1)
        return Extracted(own_BKH, shared_BH, experts_EBH, gates_BKN)
