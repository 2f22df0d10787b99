"""A shared net, from which each objective picks features by attention masks."""

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from recsys.config.architectures import MTANOptions
from recsys.models.architecture import Architecture, Look, Priors, Setting, Shared
from recsys.models.looks import numbered
from recsys.nn.linear import StackedLinear, unstacked
from recsys.nn.masks import AttentionMasks


class MTAN(Architecture):
    """The multi-task attention network (Liu et al., CVPR 2019, eq. 1–2), on layers instead of convolution blocks:

        p_l = ReLU(p_{l−1} W_l + b_l),   a_lk = σ(ReLU([p_l; â_{l−1,k}] U_lk + c_lk) V_lk + d_lk),   â_lk = a_lk ⊙ p_l,

    with p_0 = x, no â_0, and output_k = â_Lk. A block here is one layer. So the mask reads the same features that it masks (the paper's u
    and p in one). The paper's map f matches the resolution of â to the next block's; it is not needed here. The masks' hidden layer has
    `d_mask` units. Balancing acts on the last shared layer, W_L.
    """

    def __init__(self, options: MTANOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        num = setting.num_objectives
        self.layers = nn.ModuleList(StackedLinear(1, a, b) for a, b in pairwise([setting.d_in, *options.hidden]))
        attended = [0, *options.hidden[:-1]]
        self.masks = nn.ModuleList(
            AttentionMasks(num, width + before, options.d_mask, width) for width, before in zip(options.hidden, attended, strict=True)
        )
        self.num_objectives = num
        self.d_out = options.hidden[-1]

    def axes(self) -> dict[str, str]:
        return {r"masks\..*": "k"}

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        shared_BH = inputs_BTD.squeeze(1)
        attended: list[Tensor] = []  # the masked features of the last layer, [K, B, H]
        means_K: list[Tensor] = []
        for layer, mask in zip(self.layers, self.masks, strict=True):
            shared_BH = layer(shared_BH.unsqueeze(0)).squeeze(0).relu()
            masks_KBH = mask(torch.cat([shared_BH.expand(self.num_objectives, -1, -1), *attended], dim=-1))
            attended = [masks_KBH * shared_BH]
            means_K.append(masks_KBH.detach().float().mean(dim=(1, 2)))
        look = Look(torch.stack(means_K, dim=1), numbered("layer", len(means_K)))
        made_by = (cast(StackedLinear, self.layers[-1]).weight,)
        return Shared(unstacked(attended[0]), shared=shared_BH, made_by=made_by, show={"mean attention": look})
