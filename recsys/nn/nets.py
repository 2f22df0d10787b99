"""The weights and biases of nets side by side, net by net. Shape letters: N nets, D input width, H output width of a layer."""

from typing import cast

import torch
from torch import Tensor, nn

from recsys.nn.experts import Experts
from recsys.nn.linear import StackedLinear


def weights_by_net(nets: Experts) -> list[Tensor]:
    """Return each layer's weights as views [N, D, H]. The first layers of all nets lie side by side in one wide matrix."""
    first_DNH = torch.unflatten(nets.first.weight.squeeze(0), 1, (nets.num, -1))
    return [first_DNH.transpose(0, 1), *(layer.weight for layer in _rest(nets))]


def biases_by_net(nets: Experts) -> list[Tensor]:
    """Return each layer's biases as views [N, H]."""
    assert nets.first.bias is not None
    first_NH = torch.unflatten(nets.first.bias.flatten(), 0, (nets.num, -1))
    return [first_NH, *(cast(Tensor, layer.bias).squeeze(1) for layer in _rest(nets))]


def last_weight(first: Experts, rest: nn.ModuleList) -> nn.Parameter:
    """Return the weight of the last layer of nets whose layers above the first are in `rest`."""
    return cast(StackedLinear, rest[-1]).weight if len(rest) else first.last_weight


@torch.no_grad()
def start_equal(nets: Experts) -> None:
    """Give every net the numbers of the first net.

    A distance between two nets has a meaning only where their units mean the same. Nets that start apart have their units in different
    orders. Pulling them together would pull at units that chance has put side by side.
    """
    for part_N in [*weights_by_net(nets), *biases_by_net(nets)]:
        part_N.copy_(part_N[:1].clone().expand_as(part_N))


def _rest(nets: Experts) -> list[StackedLinear]:
    return [cast(StackedLinear, layer) for layer in nets.rest.layers]
