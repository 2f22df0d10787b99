"""Nothing shared: K nets side by side, each with an embedding table of its own."""

from collections.abc import Sequence

from torch import Tensor

from recsys.config import SingleTaskOptions
from recsys.models.sharing import Shared, Sharing
from recsys.nn.linear import StackedMLP, stacked, unstacked
from recsys.objectives import Objective


class SingleTask(Sharing):
    """The baseline that multi-task learning has to beat: K models trained in one pass, none of which sees another's labels."""

    def __init__(self, options: SingleTaskOptions, d_in: int, objectives: Sequence[Objective]) -> None:
        super().__init__(options, d_in, objectives)
        self.net = StackedMLP(len(objectives), d_in, options.hidden)
        self.d_out = self.net.d_out

    @classmethod
    def num_tables(cls, num_objectives: int) -> int:
        return num_objectives

    def forward(self, inputs_BTD: Tensor) -> Shared:
        return Shared(unstacked(self.net(stacked(inputs_BTD))))
