"""Piecewise linear encoding of numbers. Shape letters: B rows, D numbers, E edges, T bins."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys.encoding.layout import NUM_QUANTILES

_TIE = 1e-6  # scores that are not further apart count as equal; their bin would be a division by next to nothing


class PiecewiseLinear(nn.Module):
    """Cut each number into bins, and say per bin how much of it lies below the number (Gorishniy et al., NeurIPS 2022, §3.2, eq. 1).

    A bin [low, high) gives 0 for a number below it, 1 for one above it, and (x − low) / (high − low) within it. So a linear map of a
    number and its bins may bend at each edge. The paper's outer bins go on beyond the training rows; here they end, because the number
    itself is an input beside its bins. A bin without width (many equal numbers) always gives 0.
    The edges are saved with the weights, because the weights belong to them.
    """

    def __init__(self, quantiles: Sequence[Sequence[float]], num_bins: int) -> None:
        """Place `num_bins` bins (0, or a power of two up to 32) with equally many training rows, by each number's `Layout.quantiles`.

        A number without quantiles has no bins.
        """
        super().__init__()
        columns = [column for column, values in enumerate(quantiles) if values] if num_bins else []
        step = (NUM_QUANTILES - 1) // max(num_bins, 1)
        edges = torch.tensor([quantiles[column][::step] for column in columns], dtype=torch.float32)
        self.register_buffer("columns_D", torch.tensor(columns, dtype=torch.int64), persistent=False)
        self.register_buffer("edges_DE", edges.view(len(columns), num_bins + 1))
        self.columns_D: Tensor
        self.edges_DE: Tensor
        self.d_out = len(columns) * num_bins

    def forward(self, x_BD: Tensor) -> Tensor:
        """Return [B, D·T]: the bins of the first number that has some, the lowest first, then those of the next."""
        lows_DT, widths_DT = self.edges_DE[:, :-1], self.edges_DE.diff(dim=1)
        slopes_DT = torch.where(widths_DT > _TIE, 1 / widths_DT, 0.0)
        return ((x_BD.index_select(1, self.columns_D).unsqueeze(-1) - lows_DT) * slopes_DT).clamp(0.0, 1.0).flatten(1)
