"""What the place of an impression adds to its engagement, apart from the video's merit.

Shape letters: B rows, K objectives. Codes [B, 2] hold position and device; 0 is missing.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def without_position(codes_B2: Tensor) -> Tensor:
    """The same impressions with the position missing, as when ranking: no place has been given yet."""
    position_B, device_B = codes_B2.unbind(1)
    return torch.stack([torch.zeros_like(position_B), device_B], dim=1)


def drop_position(codes_B2: Tensor, rate: float) -> Tensor:
    """Each row's position, and only it, missing with probability `rate`: so that the missing value is learned."""
    dropped_B1 = torch.rand(len(codes_B2), 1, device=codes_B2.device) < rate
    return torch.where(dropped_B1, without_position(codes_B2), codes_B2)


class BiasTower(nn.Module):
    """The shallow tower of Zhao et al. (RecSys 2019, §4.3): one logit a position × device, for the objectives that see it.

    With two categorical inputs a tower cannot say more than a table, so it is one; starts at zero. A monotone curve of
    `curve()` is what to look for. Where the logging policy orders by relevance without any chance, position and
    relevance cannot be told apart, by this tower or any other.
    """

    def __init__(self, positions: int, devices: int, sees_position_K: Tensor) -> None:
        super().__init__()
        self.shape = (positions + 1, devices + 1)
        self.table = nn.Parameter(torch.zeros((positions + 1) * (devices + 1), len(sees_position_K)))
        self.register_buffer("mask_K", sees_position_K.to(self.table.dtype), persistent=False)
        self.mask_K: Tensor

    def forward(self, codes_B2: Tensor) -> Tensor:
        """[B, K], zero for objectives that do not see the position."""
        position_B, device_B = codes_B2.unbind(1)
        return F.embedding(position_B * self.shape[1] + device_B, self.table) * self.mask_K

    def curve(self) -> Tensor:
        """[positions + 1, devices + 1, K]: what is added to each output; entry 0 of an axis is the missing value."""
        return torch.unflatten(self.table.detach() * self.mask_K, 0, self.shape)
