"""Cross-stitch between subspaces of layers, and a learned mixture of layers."""

from typing import cast

import torch
from torch import Tensor, nn

from recsys.config.architectures import SluiceOptions
from recsys.models.architecture import Architecture, Look, Priors, Setting, Shared
from recsys.models.looks import by_layer, numbered
from recsys.nn.experts import Experts
from recsys.nn.linear import StackedLinear, unstacked
from recsys.nn.nets import last_weight, weights_by_net
from recsys.nn.penalties import overlap_of_subspaces
from recsys.nn.stitch import CrossStitch, LayerMixture


class Sluice(Architecture):
    """Latent multi-task architecture learning (Ruder et al., AAAI 2019); a layer's output has G subspaces, h_lk = [h_lk1; …; h_lkG]:

        h̃_lkg = Σ_{j,f} α_l,(k,g)(j,f) h_ljf,   h_{l+1,k} = ReLU(h̃_lk W_lk + b_lk),   output_k = Σ_l β_kl h̃_lk,

    with the penalty orthogonality · Σ_{l,k} Σ_{g<f} ‖W_lkgᵀ W_lkf‖²_F on the columns of each subspace. α and β are free numbers. α starts
    at `own` for the subspace itself and evenly for all others, β at 1/L. With G = 1 and β on the last layer it is `cross_stitch`. Balancing
    acts on the last layers' weights.
    """

    def __init__(self, options: SluiceOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        num = setting.num_objectives
        self.first = Experts(num, setting.d_in, [options.hidden])
        self.rest = nn.ModuleList(StackedLinear(num, options.hidden, options.hidden) for _ in range(options.layers - 1))
        self.stitches = nn.ModuleList(CrossStitch(num, options.own, options.subspaces) for _ in range(options.layers))
        self.layers = LayerMixture(num, options.layers)
        self.options = options
        self.objectives = setting.objectives
        self.d_out = options.hidden

    def axes(self) -> dict[str, str]:
        own = {r"first\..*": "* * k.*", r"rest\..*": "k", r"layers\.mixture": "k"}
        return own | {r"stitches\..*": "k.* k.*"}

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        nets_KBH: Tensor = self.first(inputs_BTD.squeeze(1))
        *between, last = self.stitches
        mixed = []
        for stitch, layer in zip(between, self.rest, strict=True):
            mixed.append(stitch(nets_KBH))
            nets_KBH = layer(mixed[-1]).relu()
        mixed.append(last(nets_KBH))
        outputs_KBH = self.layers(torch.stack(mixed, dim=1))
        made_by = (last_weight(self.first, self.rest),)
        return Shared(unstacked(outputs_KBH), shared=nets_KBH, made_by=made_by, penalty=self._penalty(), show=self._show())

    def _penalty(self) -> Tensor | None:
        subspaces, strength = self.options.subspaces, self.options.orthogonality
        if not self.training or subspaces == 1 or strength == 0:
            return None
        weights = [*weights_by_net(self.first), *(cast(StackedLinear, layer).weight for layer in self.rest)]
        return strength * torch.stack([overlap_of_subspaces(weight_KDH, subspaces) for weight_KDH in weights]).sum()

    def _show(self) -> dict[str, Look]:
        between_nets = [cast(CrossStitch, stitch).between_nets() for stitch in self.stitches]
        layers = Look(self.layers.mixture.detach().float().clone(), numbered("layer", len(between_nets)))
        return by_layer("α", between_nets, self.objectives) | {"β": layers}
