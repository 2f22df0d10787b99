"""Pools of experts as batched products. Shape letters: B rows, D input, H width of an expert, N experts; K owners of M experts each."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from recsys.nn.linear import StackedLinear, StackedMLP, stacked


class Experts(nn.Module):
    """N ReLU nets on the same input, [B, D] → [N, B, H] (Ma et al., KDD 2018, eq. 6: the f_i).

    Their first layers are one wide product, as all of them read the same input.
    """

    def __init__(self, num: int, d_in: int, hidden: Sequence[int]) -> None:
        super().__init__()
        first, *rest = hidden
        self.num = num
        self.first = StackedLinear(1, d_in, num * first)
        self.rest = StackedMLP(num, first, rest)
        self.d_out = self.rest.d_out

    @property
    def last_weight(self) -> nn.Parameter:
        """The weight of the layer that gives the output: one tensor for all experts."""
        return self.rest.last_weight if len(self.rest.layers) else self.first.weight

    def forward(self, x_BD: Tensor) -> Tensor:
        wide_BH: Tensor = self.first(x_BD.unsqueeze(0)).squeeze(0).relu()
        experts_NBH: Tensor = self.rest(stacked(torch.unflatten(wide_BH, 1, (self.num, -1))))
        return experts_NBH


class OwnAndSharedExperts(nn.Module):
    """M experts for each of K owners, each owner with its own input, and S experts that all owners share, with one more input.

    The output is [K·M + S, B, H]: the first owner's experts first, the shared ones last (Tang et al., RecSys 2020, §4.1).
    """

    def __init__(self, num_owners: int, own: int, shared: int, nets: Callable[[int], nn.Module]) -> None:
        """Build the experts by `nets(n)`: n nets of one shape, [n, B, D] → [n, B, H]. `shared` may be 0."""
        super().__init__()
        self.num_owners, self.num_own, self.num_shared = num_owners, own, shared
        self.own = nets(num_owners * own)
        self.shared = nets(shared) if shared else None

    @property
    def num(self) -> int:
        return self.num_owners * self.num_own + self.num_shared

    @property
    def shared_weights(self) -> tuple[nn.Parameter, ...]:
        """The weights that give the shared experts' outputs; empty without shared experts."""
        return () if self.shared is None else (cast(StackedMLP, self.shared).last_weight,)

    def forward(self, own_KBD: Tensor, shared_1BD: Tensor) -> Tensor:
        own_NBH: Tensor = self.own(for_each(own_KBD, self.num_own))
        if self.shared is None:
            return own_NBH
        return torch.cat([own_NBH, self.shared(for_each(shared_1BD, self.num_shared))])

    def split(self, experts_NBH: Tensor) -> tuple[Tensor, Tensor]:
        """Return the owners' experts [K, M, B, H] and the shared ones [S, B, H], as views."""
        own_NBH, shared_SBH = torch.split(experts_NBH, [self.num_owners * self.num_own, self.num_shared])
        return torch.unflatten(own_NBH, 0, (self.num_owners, self.num_own)), shared_SBH


def for_each(x_KBD: Tensor, num: int) -> Tensor:
    """Repeat each input `num` times in a row, as its owner's experts read it: [K, B, D] → [K·num, B, D]."""
    return x_KBD.unsqueeze(1).expand(-1, num, -1, -1).flatten(0, 1)


def mix(gates_BKN: Tensor, experts_NBH: Tensor) -> Tensor:
    """Compute Σ_n g_kn · f_n (Ma et al., KDD 2018, eq. 6), [B, K, H]."""
    return gates_BKN @ experts_NBH.transpose(0, 1)


def mix_own(gates_BKM: Tensor, own_KMBH: Tensor) -> Tensor:
    """Compute Σ_m g_km · f_km, [B, K, H]: each owner's mixture of the experts that only this owner reads.

    The products are taken element by element. As matrix products they would be B·K products of a row of M numbers.
    """
    mixed_KBH = (gates_BKM.permute(1, 2, 0).unsqueeze(-1) * own_KMBH).sum(1)
    return mixed_KBH.transpose(0, 1)
