"""Products of features. Shape letters: B rows, T tables, D input width, R rank, C outputs per table."""

from torch import Tensor, nn

from recsys.nn.linear import OutputLinear, StackedLinear, stacked, unstacked


class LowRankCross(nn.Module):
    """One low-rank cross layer, x ⊙ (U V x + b) + x (Wang et al., DCN V2, WWW 2021, eq. 2), and a linear map to outputs.

    The map starts at zero. So the layer adds nothing at first, and learns what the net beside it lacks.
    """

    def __init__(self, num_tables: int, d_in: int, rank: int, d_out: int) -> None:
        super().__init__()
        self.num_tables = num_tables
        self.down = StackedLinear(num_tables, d_in, rank, gain=1.0, bias=False)
        self.up = StackedLinear(num_tables, rank, d_in, gain=1.0)
        self.out = OutputLinear(num_tables, d_in, d_out, gain=0.0, bias=False)

    def cross(self, x_TBD: Tensor) -> Tensor:
        products_TBD: Tensor = x_TBD * self.up(self.down(x_TBD))
        return products_TBD + x_TBD

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return [B, T, C]."""
        return unstacked(self.out(self.cross(stacked(x_BTD))))
