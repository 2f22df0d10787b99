"""Nets that share only their input, gated by the task."""

from collections.abc import Hashable, Sequence

from torch import Tensor

from recsys.config.architectures import GatedIndependentOptions
from recsys.models.architecture import Architecture, Priors, Setting, Shared
from recsys.models.descriptor import TaskDescriptors, task_descriptors
from recsys.nn.experts import Experts
from recsys.nn.linear import unstacked
from recsys.nn.stitch import combine


class GatedIndependent(Architecture):
    """Mixtures h_k = Σ_j z_kj net_j(x) of as many nets as z has entries (CS330, lecture 2: multiplicative gating of independent nets).

    With one-hot descriptors h_k = net_k(x): K nets on one embedding table. This is `single_task`, except for the table and the hidden
    layer. With metadata there is one net per kind of label, one per group, and one for the base rate. Balancing then acts on the nets' last
    weights.
    """

    def __init__(self, options: GatedIndependentOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        descriptors = task_descriptors(options.descriptor, setting)
        self.one_net_each = options.descriptor == "one_hot"
        self.register_buffer("descriptors_KZ", descriptors.values_KZ)  # saved: base rates are those of the training days
        self.descriptors_KZ: Tensor
        self.columns = descriptors.columns
        self.objectives = tuple(objective.name for objective in setting.objectives)
        self.nets = Experts(descriptors.values_KZ.shape[1], setting.d_in, options.hidden)
        self.d_out = self.nets.d_out

    def axes(self) -> dict[str, str]:
        return {r"nets\.first\..*": "* * z.*", r"nets\.rest\..*": "z"}

    def axis_names(self) -> dict[str, Sequence[Hashable]]:
        return {"z": self.columns or self.objectives}

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        nets_ZBH: Tensor = self.nets(inputs_BTD.squeeze(1))
        if self.one_net_each:
            return Shared(unstacked(nets_ZBH))  # no product: the descriptors are the identity
        show = TaskDescriptors(self.descriptors_KZ, self.columns).look()
        outputs_BKH = unstacked(combine(self.descriptors_KZ, nets_ZBH))
        return Shared(outputs_BKH, shared=nets_ZBH, made_by=(self.nets.last_weight,), show=show)
