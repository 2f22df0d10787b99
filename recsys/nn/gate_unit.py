"""A gate that scales other activations. Shape letters: B rows, D width of what the gate reads, H of what it scales."""

from torch import Tensor, nn

from recsys.nn.linear import StackedLinear

SCALE = 2.0  # γ: a gate with a logit of 0 is 1


class GateUnit(nn.Module):
    """The gate γ σ(ReLU(x W + b) V + c), γ = 2, [B, D] → [B, H]: the Gate NU of Chang et al. (PEPNet, KDD 2023).

    V starts at zero, so every gate starts at exactly 1.
    """

    def __init__(self, d_in: int, d_hidden: int, d_out: int) -> None:
        super().__init__()
        self.hidden = StackedLinear(1, d_in, d_hidden)
        self.out = StackedLinear(1, d_hidden, d_out, gain=0.0)

    def forward(self, x_BD: Tensor) -> Tensor:
        logits_1BH: Tensor = self.out(self.hidden(x_BD.unsqueeze(0)).relu())
        return SCALE * logits_1BH.squeeze(0).sigmoid()
