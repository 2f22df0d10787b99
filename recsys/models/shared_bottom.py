"""One net under all towers."""

from torch import Tensor

from recsys.config.architectures import SharedBottomOptions
from recsys.models.architecture import Architecture, Priors, Setting, Shared
from recsys.nn.linear import StackedMLP


class SharedBottom(Architecture):
    """Hard parameter sharing (Caruana, Machine Learning 1997): every tower reads the same layer."""

    def __init__(self, options: SharedBottomOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.net = StackedMLP(1, setting.d_in, options.hidden)
        self.num_objectives = setting.num_objectives
        self.d_out = self.net.d_out

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        bottom_BH = self.net(inputs_BTD.transpose(0, 1)).squeeze(0)
        return Shared(bottom_BH.unsqueeze(1).expand(-1, self.num_objectives, -1), shared=bottom_BH, made_by=(self.net.last_weight,))
