"""Nets that read one another's activations, by learned weights."""

from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from recsys.config.architectures import CrossStitchOptions
from recsys.models.architecture import Architecture, Priors, Setting, Shared
from recsys.models.looks import by_layer
from recsys.nn.experts import Experts
from recsys.nn.linear import StackedLinear, unstacked
from recsys.nn.nets import last_weight
from recsys.nn.stitch import CrossStitch


class CrossStitchNets(Architecture):
    """Mixtures h̃_lk = Σ_j S_l,kj h_lj after each layer l, h_{l+1,k} = ReLU(h̃_lk W_lk + b_lk) (Misra et al., CVPR 2016, eq. 1).

    S_l [K, K] holds one number per pair of objectives and layer, the same for all units. Its diagonal starts at `own`, the rest of a row at
    (1 − own) / (K − 1). S = I gives `gated_independent` with one-hot descriptors. Balancing acts on the last layers' weights, as every
    objective reads each of their outputs through the last S.
    """

    def __init__(self, options: CrossStitchOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        num = setting.num_objectives
        self.first = Experts(num, setting.d_in, options.hidden[:1])
        self.rest = nn.ModuleList(StackedLinear(num, a, b) for a, b in pairwise(options.hidden))
        self.stitches = nn.ModuleList(CrossStitch(num, options.own) for _ in options.hidden)
        self.objectives = setting.objectives
        self.d_out = options.hidden[-1]

    def axes(self) -> dict[str, str]:
        return {r"first\..*": "* * k.*", r"rest\..*": "k", r"stitches\..*": "k k"}

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        nets_KBH: Tensor = self.first(inputs_BTD.squeeze(1))
        *between, last = self.stitches
        for stitch, layer in zip(between, self.rest, strict=True):
            nets_KBH = layer(stitch(nets_KBH)).relu()
        show = by_layer("cross-stitch", [cast(CrossStitch, stitch).between_nets() for stitch in self.stitches], self.objectives)
        return Shared(unstacked(last(nets_KBH)), shared=nets_KBH, made_by=(last_weight(self.first, self.rest),), show=show)
