"""Experts whose outputs have one scale; each picks its inputs. Shape letters: N experts, B rows, D input, H width."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from recsys.nn.linear import StackedLinear, StackedMLP
from recsys.nn.normalisation import StackedBatchNorm


class FeatureGate(nn.Module):
    """The gate v ⊙ 2σ((v A_n) B_n), A [D, R], B [R, D]. It picks the parts of the input that each expert reads (Wang et al., HoME, 2024).

    B starts at zero, so every gate starts at exactly 1: a fresh expert reads the input as it is.
    """

    def __init__(self, num: int, d_in: int, rank: int) -> None:
        super().__init__()
        self.down = StackedLinear(num, d_in, rank, gain=1.0, bias=False)
        self.up = StackedLinear(num, rank, d_in, gain=0.0, bias=False)

    def forward(self, x_NBD: Tensor) -> Tensor:
        gated_NBD: Tensor = x_NBD * (2 * self.up(self.down(x_NBD)).sigmoid())
        return gated_NBD


class NormalisedExperts(nn.Module):
    """N nets, swish(batch norm(net(feature gate(x_n)))), [N, B, D] → [N, B, H] (Wang et al., HoME, 2024).

    With ReLU, the experts' outputs differed so much in scale that gates chose by scale, and over 90 % of some experts' outputs were zero.
    With normalisation and swish the outputs are comparable, and no expert is silent. The layers below the last one are ReLU layers.
    """

    def __init__(self, num: int, d_in: int, hidden: Sequence[int], rank: int) -> None:
        super().__init__()
        *below, width = hidden
        self.gate = FeatureGate(num, d_in, rank)
        self.below = StackedMLP(num, d_in, below)
        self.last = StackedLinear(num, self.below.d_out, width, gain=1.0, bias=False)  # no bias: the normalisation has a shift
        self.norm = StackedBatchNorm(num, width)

    @property
    def last_weight(self) -> nn.Parameter:
        """The weight of the layer that the normalisation reads."""
        return self.last.weight

    def forward(self, x_NBD: Tensor) -> Tensor:
        return F.silu(self.norm(self.last(self.below(self.gate(x_NBD)))))
