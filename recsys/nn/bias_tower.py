"""The effect of an impression's place on what the user does, apart from the video's merit.

Shape letters: B rows, K objectives. Codes [B, 2] hold position and device; 0 is missing.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys.process_group import own_draws


def without_position(codes_B2: Tensor) -> Tensor:
    """Return the codes with the position missing, as when ranking: no position has been given yet."""
    position_B, device_B = codes_B2.unbind(1)
    return torch.stack([torch.zeros_like(position_B), device_B], dim=1)


def drop_codes(codes_B2: Tensor, rate: float) -> Tensor:
    """Set each code to missing with probability `rate`, independently for a row's two codes.

    So the model learns missing values, alone and together.
    """
    draws_B2 = own_draws(partial(torch.rand, device=codes_B2.device), codes_B2.shape, 0)
    return codes_B2.masked_fill(draws_B2 < rate, 0)


class BiasTower(nn.Module):
    """The shallow tower of Zhao et al. (RecSys 2019, §4.3) for the objectives that see the position: position + device + both together.

    With two categorical inputs a tower cannot express more than a table. So the tower consists of three tables, which start at zero. An
    axis without known codes has no table. Look for a monotone curve in `curve()`. Where the logging policy orders by relevance without any
    randomness, position and relevance cannot be told apart, by this tower or any other.
    """

    def __init__(self, positions: int, devices: int, sees_position_K: Tensor) -> None:
        assert positions or devices, "found neither positions nor devices, expected one of them"
        super().__init__()
        self.shape = (positions + 1, devices + 1)
        sizes = {"position": self.shape[0], "device": self.shape[1], "together": self.shape[0] * self.shape[1]}
        there = {"position": positions > 0, "device": devices > 0, "together": positions > 0 and devices > 0}
        self.tables = nn.ParameterDict({name: torch.zeros(sizes[name], len(sees_position_K)) for name in sizes if there[name]})
        self.register_buffer("mask_K", sees_position_K.float(), persistent=False)
        self.mask_K: Tensor

    def forward(self, codes_B2: Tensor) -> Tensor:
        """Return [B, K], the amount added to each output; it is zero for objectives that do not see the position."""
        position_B, device_B = codes_B2.unbind(1)
        places = {"position": position_B, "device": device_B, "together": position_B * self.shape[1] + device_B}
        terms = [F.embedding(places[name], table) for name, table in self.tables.items()]
        return torch.stack(terms).sum(0) * self.mask_K

    @torch.no_grad()
    def curve(self) -> Tensor:
        """Return [positions + 1, devices + 1, K], the amount added to each output. Entry 0 of an axis is the missing value."""
        codes = torch.cartesian_prod(*(torch.arange(size, device=self.mask_K.device) for size in self.shape))
        return torch.unflatten(self(codes), 0, self.shape)
