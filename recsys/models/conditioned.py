"""One net that is told the task: the common part of concat_task, add_task and film.

Shape letters: B rows, T tables, K objectives.
"""

from collections.abc import Hashable, Sequence
from typing import ClassVar

from torch import Tensor

from recsys.config.architectures import AddTaskOptions, ConcatTaskOptions, FiLMOptions
from recsys.models.architecture import Architecture, Priors, Setting, Shared
from recsys.models.descriptor import TaskDescriptors, task_descriptors
from recsys.nn.conditioning import ConditionedMLP, TaskLinear
from recsys.nn.linear import unstacked


class TaskConditioned(Architecture):
    """A net h_k = net(x, z_k) whose weights are all shared by all objectives; `layer` says how each layer is told the task.

    `shared` is the first layer's product with x. From there on every objective has its own activations. Balancing acts on that layer's
    weights (in concat_task they also hold the descriptor's rows).
    """

    layer: ClassVar[type[TaskLinear]]

    def __init__(self, options: ConcatTaskOptions | AddTaskOptions | FiLMOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        descriptors = task_descriptors(options.descriptor, setting)
        self.register_buffer("descriptors_KZ", descriptors.values_KZ)  # saved: base rates are those of the training days
        self.descriptors_KZ: Tensor
        self.columns = descriptors.columns
        self.objectives = tuple(objective.name for objective in setting.objectives)
        self.net = ConditionedMLP(self.layer, setting.d_in, descriptors.values_KZ.shape[1], options.hidden)
        self.d_out = self.net.d_out

    def axis_names(self) -> dict[str, Sequence[Hashable]]:
        return {"z": self.columns or self.objectives}

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        common_BH = self.net.common(inputs_BTD.squeeze(1))
        nets_KBH = self.net(common_BH, self.descriptors_KZ)
        show = TaskDescriptors(self.descriptors_KZ, self.columns).look()
        return Shared(unstacked(nets_KBH), shared=common_BH, made_by=(self.net.common_weight,), show=show)
