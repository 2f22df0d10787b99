"""Inputs scaled by the context, and towers scaled by the user, the item and its author.

Shape letters: B rows, D width of the inputs, X of what the towers read, K objectives, H width of a tower's layer.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from recsys.config.architectures import PEPNetOptions
from recsys.models.architecture import Architecture, Look, Priors, Setting, Shared
from recsys.nn.dropout import Dropout
from recsys.nn.gate_unit import GateUnit
from recsys.nn.input_parts import InputParts, learned_only
from recsys.nn.linear import StackedLinear, stacked, unstacked


class PEPNet(Architecture):
    """Chang et al. (PEPNet, KDD 2023, arXiv 2302.01115), with `GateUnit` as their Gate NU and sg as the stop-gradient.

    EPNet: E' = E ⊙ GateNU(context ⊕ sg(E)), where E are the inputs below the shared hidden layer. That layer reads E' and gives x.
    PPNet: objective k's tower is h_k^0 = x, h_k^l = ReLU(h_k^{l−1} W_k^l + b_k^l) ⊙ δ_k^l. One unit per layer gives the gates of all
    objectives, [δ_1^l … δ_K^l] = GateNU(prior ⊕ sg(E')).
    The paper embeds every feature, so its gate scales them all. Here numbers and the attended history stand beside the embeddings. Each of
    their entries is scaled like an embedding of width one. The linear path and the cross layer are not part of the architecture and read E.
    The prior is the features of the user, the item and its author, with ids where the features have them. The context stands for the
    paper's domain. Without such features the gates read the inputs alone. The widths of the towers are `hidden`, then `model.d_tower`.
    `shared` is x, the last activation that all objectives read. Balancing acts on the weights of the frame's layer that makes x.
    """

    owns_towers = True
    reads_priors = True

    def __init__(self, options: PEPNetOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        num, d_inputs = setting.num_objectives, setting.d_inputs
        widths = (setting.d_in, *options.hidden, setting.d_tower)
        self.input_gate = GateUnit(setting.d_context + d_inputs, options.d_gate, d_inputs)
        self.layer_gates = nn.ModuleList(GateUnit(setting.d_entity + d_inputs, options.d_gate, num * width) for width in widths[1:])
        self.layers = nn.ModuleList(StackedLinear(num, a, b) for a, b in pairwise(widths))
        self.dropout = Dropout(setting.dropout, rows_dim=1)
        self.num_objectives = num
        self.d_out = setting.d_tower

    def axes(self) -> dict[str, str]:
        return {r"layers\..*": "k", r"layer_gates\..*\.out\..*": "* * k.*"}

    def from_inputs(self, inputs: InputParts, hidden: Callable[[InputParts], Tensor], priors: Priors | None = None) -> Shared:
        assert priors is not None, "PEPNet reads priors"
        inputs_BD = inputs.whole().squeeze(0)
        input_gate_BD = self.input_gate(torch.cat([priors.context_BC, inputs_BD.detach()], dim=1))
        scaled_BD = inputs_BD * input_gate_BD
        read_BD = torch.cat([priors.entity_BP, scaled_BD.detach()], dim=1)
        gates_BKH = [torch.unflatten(gate(read_BD), 1, (self.num_objectives, -1)) for gate in self.layer_gates]
        read_B1X = hidden(learned_only(scaled_BD.unsqueeze(0)))
        shared_BX = read_B1X.squeeze(1)
        show = {"gate scale": _scales(input_gate_BD, gates_BKH)}
        return Shared(self._towers(shared_BX, gates_BKH), shared=shared_BX, read_BTD=read_B1X, show=show)

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        """Run without a shared hidden layer: the towers read E' itself."""
        return self.from_inputs(learned_only(stacked(inputs_BTD)), lambda scaled: unstacked(scaled.whole()), priors)

    def _towers(self, shared_BX: Tensor, gates_BKH: Sequence[Tensor]) -> Tensor:
        """Apply each objective's layers, each scaled by its gate; return [B, K, d_out]."""
        tower_KBH = shared_BX.expand(self.num_objectives, -1, -1)
        for place, (layer, gate_BKH) in enumerate(zip(self.layers, gates_BKH, strict=True)):
            if place > 0:
                tower_KBH = self.dropout(tower_KBH)  # the frame has the dropout after the last layer
            tower_KBH = layer(tower_KBH).relu() * gate_BKH.transpose(0, 1)
        return unstacked(tower_KBH)


def _scales(input_gate_BD: Tensor, gates_BKH: Sequence[Tensor]) -> Look:
    """Return the mean scale of the inputs, the same for all objectives, and of each layer of each objective's tower."""
    layers = [gate_BKH.detach().float().mean((0, 2)) for gate_BKH in gates_BKH]
    inputs_K = input_gate_BD.detach().float().mean().expand(len(layers[0]))
    return Look(torch.stack([inputs_K, *layers], dim=1), ("inputs", *(f"layer {n}" for n in range(1, len(layers) + 1))))
