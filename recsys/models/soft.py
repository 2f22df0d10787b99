"""Soft parameter sharing: one net per objective, and a penalty that pulls the nets together."""

from torch import Tensor

from recsys.config.architectures import SoftOptions
from recsys.models.architecture import Architecture, Priors, Setting, Shared
from recsys.nn.experts import Experts
from recsys.nn.linear import unstacked
from recsys.nn.nets import biases_by_net, start_equal, weights_by_net
from recsys.nn.penalties import distance_to_mean


class Soft(Architecture):
    """Nets h_k = net_k(x), with the penalty ½ · strength · Σ_k ‖W_k − W̄‖². W_k are all weights and biases of net k, W̄ is their mean.

    Duong et al. (ACL 2015) tie two parsers in this way; with K nets the mean stands for the other parser. The nets start equal. Otherwise
    the penalty would pull at units that have nothing to do with one another. `strength` 0 gives `gated_independent` with one-hot
    descriptors; ∞ gives `shared_bottom`. All that the objectives read in common is the input, so there is nothing for balancing to act on.
    """

    def __init__(self, options: SoftOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.nets = Experts(setting.num_objectives, setting.d_in, options.hidden)
        start_equal(self.nets)
        self.strength = options.strength
        self.d_out = self.nets.d_out

    def axes(self) -> dict[str, str]:
        return {r"nets\.first\..*": "* * k.*", r"nets\.rest\..*": "k"}

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        nets_KBH = self.nets(inputs_BTD.squeeze(1))
        return Shared(unstacked(nets_KBH), penalty=self._penalty() if self.training else None)

    def _penalty(self) -> Tensor:
        return self.strength * distance_to_mean([*weights_by_net(self.nets), *biases_by_net(self.nets)])
