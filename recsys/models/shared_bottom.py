"""One net under all towers."""

from collections.abc import Sequence

from torch import Tensor

from recsys.config import SharedBottomOptions
from recsys.models.sharing import Shared, Sharing
from recsys.nn.linear import StackedMLP
from recsys.objectives import Objective


class SharedBottom(Sharing):
    """Hard parameter sharing (Caruana, Machine Learning 1997): every tower reads the same layer."""

    def __init__(self, options: SharedBottomOptions, d_in: int, objectives: Sequence[Objective]) -> None:
        super().__init__(options, d_in, objectives)
        self.net = StackedMLP(1, d_in, options.hidden)
        self.num_objectives = len(objectives)
        self.d_out = self.net.d_out

    def forward(self, inputs_BTD: Tensor) -> Shared:
        bottom_BH = self.net(inputs_BTD.transpose(0, 1)).squeeze(0)
        return Shared(bottom_BH.unsqueeze(1).expand(-1, self.num_objectives, -1), shared=bottom_BH)
