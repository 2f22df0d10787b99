"""Nothing is shared: K nets side by side, each with its own embedding table."""

from torch import Tensor

from recsys.config.architectures import SingleTaskOptions
from recsys.models.architecture import Architecture, Priors, Setting, Shared
from recsys.nn.linear import StackedMLP, stacked, unstacked


class SingleTask(Architecture):
    """The baseline that multi-task learning has to beat: K models trained in one pass. No model sees another objective's labels.

    Early stopping chooses for each model separately (training/apart.py).
    """

    shares_nothing = True

    def __init__(self, options: SingleTaskOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.net = StackedMLP(setting.num_objectives, setting.d_in, options.hidden)
        self.d_out = self.net.d_out

    @classmethod
    def num_tables(cls, num_objectives: int) -> int:
        return num_objectives

    def axes(self) -> dict[str, str]:
        return {r"net\..*": "k"}

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        return Shared(unstacked(self.net(stacked(inputs_BTD))))
