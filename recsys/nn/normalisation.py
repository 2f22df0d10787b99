"""Batch normalisation of nets side by side. Shape letters: N nets, B rows, H width."""

import torch
from torch import Tensor, nn

from recsys.process_group import num_rows, shared_batch, total

EPSILON = 1e-5
MOMENTUM = 0.1  # weight of a batch in the running statistics, once ten batches have been seen


class StackedBatchNorm(nn.Module):
    """Batch norm, [N, B, H] → the same: each number of each net standardised over rows, scaled, shifted (Ioffe and Szegedy, ICML 2015).

    Training uses the batch's own mean and variance; otherwise the running ones are used. The running statistics are the plain mean over
    batches until ten batches have been seen, and an exponential mean from then on. So a net that is evaluated after a few steps does not
    use the statistics that it started with. A batch of a single row has no variance. Such a batch is standardised by the running
    statistics, also in training, and leaves them unchanged.
    """

    def __init__(self, num: int, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(num, 1, width))
        self.shift = nn.Parameter(torch.zeros(num, 1, width))
        self.register_buffer("running_mean", torch.zeros(num, 1, width))
        self.register_buffer("running_variance", torch.ones(num, 1, width))
        self.register_buffer("batches", torch.zeros(()))
        self.running_mean: Tensor
        self.running_variance: Tensor
        self.batches: Tensor

    def forward(self, x_NBH: Tensor) -> Tensor:
        x_NBH = x_NBH.to(self.scale.dtype)  # a mean over rows needs more than bf16's three digits
        rows = num_rows(x_NBH.shape[1])
        if self.training and rows > 1:
            variance, mean = _moments(x_NBH, rows)
            self._follow(mean.detach(), variance.detach() * rows / (rows - 1))
        else:
            mean, variance = self.running_mean, self.running_variance
        factor = self.scale * (variance + EPSILON).rsqrt()
        return torch.addcmul(self.shift - mean * factor, x_NBH, factor)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics. `variance` is unbiased, as the running one stands for rows that were not in the batch."""
        self.batches += 1
        weight = (1 / self.batches).clamp(min=MOMENTUM)
        self.running_mean.lerp_(mean, weight)
        self.running_variance.lerp_(variance, weight)


def _moments(x_NBH: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Return the variance and the mean over the rows of the whole batch, [N, 1, H] each."""
    if shared_batch() is None:
        return torch.var_mean(x_NBH, dim=1, keepdim=True, correction=0)
    mean = total(x_NBH.sum(1, keepdim=True)) / rows
    return total((x_NBH - mean).square().sum(1, keepdim=True)) / rows, mean
