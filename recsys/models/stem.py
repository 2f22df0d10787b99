"""Shared and own embedding tables: every objective reads all experts, and changes only the shared ones and its own.

Shape letters: B rows, K objectives, M own experts of each, E all experts, H width of an expert.
"""

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from recsys.config.architectures import STEMOptions
from recsys.models.architecture import Architecture, Priors, Setting, Shared
from recsys.models.looks import gate_look, numbered
from recsys.nn.experts import OwnAndSharedExperts, mix, mix_own
from recsys.nn.gates import OwnGates
from recsys.nn.linear import StackedMLP, stacked


class STEM(Architecture):
    """Su et al. (AAAI 2024): shared and task-specific embeddings, all forward, own backward.

    x_0 is read from the table of all objectives, x_k from objective k's own table. s(x_0) are the shared experts, f_k(x_k) the own ones.
    o_k = softmax(W_k (x_0 + x_k)) · [sg(f_1) … f_k … sg(f_K), s]: the gate mixes the experts of all objectives. But sg, the stop-gradient,
    keeps objective k's loss from the experts and tables of the others. So one vector need not average a user's taste for one signal with
    the taste for another, and yet each taste helps where it can.
    The gates are linear (the authors' code has hidden layers in them), and there is one level (the authors' code can stack several).
    `shared` are the outputs of the shared experts. Balancing acts on their last weights. Below them lies the shared table. Apart from what
    the gates read of this table, nothing else is changed by two objectives.
    """

    def __init__(self, options: STEMOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        nets = partial(StackedMLP, d_in=setting.d_in, hidden=options.hidden)
        num = setting.num_objectives
        self.experts = OwnAndSharedExperts(num, options.own_experts, options.shared_experts, nets)
        self.gates = OwnGates(setting.d_in, num, self.experts.num, dropout=options.expert_dropout, top_k=options.top_k)
        own = [name for objective in setting.objectives for name in numbered(objective.name, options.own_experts)]
        self.names = (*own, *numbered("shared", options.shared_experts))
        self.d_out = options.hidden[-1]

    def axes(self) -> dict[str, str]:
        return {r"experts\.own\..*": "k.*", r"gates\..*": f"k * {self.experts.num_own}k+*"}

    def own_below(self) -> Iterable[nn.Parameter]:
        return self.experts.own.parameters()

    @classmethod
    def num_tables(cls, num_objectives: int) -> int:
        return 1 + num_objectives

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        shared_1BD, own_KBD = torch.split(stacked(inputs_BTD), [1, inputs_BTD.shape[1] - 1])
        own_KMBH, shared_SBH = self.experts.split(self.experts(own_KBD, shared_1BD))
        gates_BKE = self.gates(own_KBD + shared_1BD)
        outputs_BKH = _all_forward_own_backward(gates_BKE, own_KMBH, shared_SBH)
        show = {"gates": gate_look(gates_BKE, self.names)}
        return Shared(outputs_BKH, shared=shared_SBH, made_by=self.experts.shared_weights, own=(own_KBD,), show=show)


def _all_forward_own_backward(gates_BKE: Tensor, own_KMBH: Tensor, shared_SBH: Tensor) -> Tensor:
    """Return every gate's mixture of all experts, [B, K, H], with gradients into its own experts and the shared ones."""
    num, num_own = own_KMBH.shape[:2]
    own_gates_BKE, shared_gates_BKS = torch.split(gates_BKE, [num * num_own, len(shared_SBH)], dim=-1)
    gates_BKKM = torch.unflatten(own_gates_BKE, -1, (num, num_own))
    own_gates_BKM = gates_BKKM.diagonal(dim1=1, dim2=2).transpose(1, 2)
    others_KK1 = 1 - torch.eye(num, dtype=gates_BKE.dtype, device=gates_BKE.device).unsqueeze(-1)
    others_BKH = mix((gates_BKKM * others_KK1).flatten(2), own_KMBH.detach().flatten(0, 1))
    return others_BKH + mix_own(own_gates_BKM, own_KMBH) + mix(shared_gates_BKS, shared_SBH)
