"""Nets side by side, looked at net by net. Shape letters: N nets, D input width, H output width of a layer."""

from typing import cast

import torch
from torch import Tensor, nn

from recsys.nn.experts import Experts
from recsys.nn.linear import StackedLinear


def weights_by_net(nets: Experts) -> list[Tensor]:
    """Each layer's weights as [N, D, H], views: the first layers of all nets lie side by side in one wide matrix."""
    first_DNH = torch.unflatten(nets.first.weight.squeeze(0), 1, (nets.num, -1))
    return [first_DNH.transpose(0, 1), *(layer.weight for layer in _rest(nets))]


def biases_by_net(nets: Experts) -> list[Tensor]:
    """Each layer's biases as [N, H], views."""
    assert nets.first.bias is not None
    first_NH = torch.unflatten(nets.first.bias.flatten(), 0, (nets.num, -1))
    return [first_NH, *(cast(Tensor, layer.bias).squeeze(1) for layer in _rest(nets))]


def last_weight(first: Experts, rest: nn.ModuleList) -> nn.Parameter:
    """Of the last layer of nets whose layers above the first stand in `rest`."""
    return cast(StackedLinear, rest[-1]).weight if len(rest) else first.last_weight


@torch.no_grad()
def start_equal(nets: Experts) -> None:
    """Gives every net the numbers of the first.

    A distance between two nets means something only where their units mean the same; nets that start apart have their
    units in different orders, and pulling them together would pull at whatever chance has put side by side.
    """
    for part_N in [*weights_by_net(nets), *biases_by_net(nets)]:
        part_N.copy_(part_N[:1].clone().expand_as(part_N))


def _rest(nets: Experts) -> list[StackedLinear]:
    return [cast(StackedLinear, layer) for layer in nets.rest.layers]
