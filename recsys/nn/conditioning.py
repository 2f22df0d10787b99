"""One net for all tasks, which is told the task that it works for.

Shape letters: K tasks, Z width of a task's descriptor, M 1 (what no task has touched yet) or K, B rows, D input, H output width.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from recsys.nn.linear import StackedLinear


class TaskLinear(nn.Module, ABC):
    """A linear layer in two steps: the product that all tasks share, then the descriptor's effect on that product."""

    @abstractmethod
    def __init__(self, d_in: int, d_task: int, d_out: int) -> None:
        super().__init__()

    @abstractmethod
    def common(self, x_MBD: Tensor) -> Tensor:
        """Return [M, B, H], the same map for every task. As long as all tasks have the same input, it is a single product."""

    @property
    @abstractmethod
    def common_weight(self) -> nn.Parameter:
        """The weight of the shared product. It may also hold the descriptor's weights, which that product does not read."""

    @abstractmethod
    def told(self, common_MBH: Tensor, tasks_KZ: Tensor) -> Tensor:
        """Return [K, B, H], the product after the effect of each task's descriptor."""


class ConcatLinear(TaskLinear):
    """The map [x; z_k] W + b.

    As [x; z_k] W = x W_x + z_k W_z, x is multiplied once and z_k once per batch, and nothing is concatenated.
    """

    def __init__(self, d_in: int, d_task: int, d_out: int) -> None:
        super().__init__(d_in, d_task, d_out)
        self.joint = StackedLinear(1, d_in + d_task, d_out)
        self.d_in = d_in

    @property
    def common_weight(self) -> nn.Parameter:
        return self.joint.weight

    def common(self, x_MBD: Tensor) -> Tensor:
        assert self.joint.bias is not None
        product_1XH = torch.baddbmm(self.joint.bias, x_MBD.flatten(0, 1).unsqueeze(0), self.joint.weight[:, : self.d_in])
        return torch.unflatten(product_1XH.squeeze(0), 0, x_MBD.shape[:2])

    def told(self, common_MBH: Tensor, tasks_KZ: Tensor) -> Tensor:
        shifts_KH = tasks_KZ @ self.joint.weight[0, self.d_in :]
        return common_MBH + shifts_KH.unsqueeze(1)


class AddLinear(TaskLinear):
    """The map x W + b + z_k V. V starts at zero, so all tasks start as one net."""

    def __init__(self, d_in: int, d_task: int, d_out: int) -> None:
        super().__init__(d_in, d_task, d_out)
        self.linear = StackedLinear(1, d_in, d_out)
        self.shift = StackedLinear(1, d_task, d_out, gain=0.0, bias=False)

    @property
    def common_weight(self) -> nn.Parameter:
        return self.linear.weight

    def common(self, x_MBD: Tensor) -> Tensor:
        return _same_for_all(self.linear, x_MBD)

    def told(self, common_MBH: Tensor, tasks_KZ: Tensor) -> Tensor:
        return common_MBH + _of_tasks(self.shift, tasks_KZ)


class FiLMLinear(TaskLinear):
    """The map γ(z_k) ⊙ (x W + b) + β(z_k), γ(z) = 1 + z Γ, β(z) = z V (Perez et al., AAAI 2018, eq. 1–2). Γ and V start at zero.

    As in the paper, the effect of the task lies between the linear map and the ReLU. Also as in the paper, γ is learned as its difference
    from 1. Decay may pull this difference to zero.
    """

    def __init__(self, d_in: int, d_task: int, d_out: int) -> None:
        super().__init__(d_in, d_task, d_out)
        self.linear = StackedLinear(1, d_in, d_out)
        self.scale = StackedLinear(1, d_task, d_out, gain=0.0, bias=False)
        self.shift = StackedLinear(1, d_task, d_out, gain=0.0, bias=False)

    @property
    def common_weight(self) -> nn.Parameter:
        return self.linear.weight

    def common(self, x_MBD: Tensor) -> Tensor:
        return _same_for_all(self.linear, x_MBD)

    def told(self, common_MBH: Tensor, tasks_KZ: Tensor) -> Tensor:
        return common_MBH * (1.0 + _of_tasks(self.scale, tasks_KZ)) + _of_tasks(self.shift, tasks_KZ)


class ConditionedMLP(nn.Module):
    """A net whose layers are a linear map, the task's effect and a ReLU; it runs for all tasks at once."""

    def __init__(self, layer: type[TaskLinear], d_in: int, d_task: int, hidden: Sequence[int]) -> None:
        super().__init__()
        widths = [d_in, *hidden]
        self.layers = nn.ModuleList(layer(a, d_task, b) for a, b in pairwise(widths))
        self.d_out = widths[-1]

    @property
    def common_weight(self) -> nn.Parameter:
        """The weight of the first layer's shared product."""
        return self._layers()[0].common_weight

    def common(self, x_BD: Tensor) -> Tensor:
        """Return the first layer's product, [B, H]: the last activation that is the same for all tasks."""
        return self._layers()[0].common(x_BD.unsqueeze(0)).squeeze(0)

    def forward(self, common_BH: Tensor, tasks_KZ: Tensor) -> Tensor:
        """Compute the rest of the net from the result of `common`, [K, B, d_out]."""
        first, *rest = self._layers()
        nets_KBH = first.told(common_BH.unsqueeze(0), tasks_KZ).relu()
        for layer in rest:
            nets_KBH = layer.told(layer.common(nets_KBH), tasks_KZ).relu()
        return nets_KBH

    def _layers(self) -> list[TaskLinear]:
        return [cast(TaskLinear, layer) for layer in self.layers]


def _same_for_all(linear: StackedLinear, x_MBD: Tensor) -> Tensor:
    """Apply the same map for every task: the tasks' rows become rows of one product."""
    product_XH: Tensor = linear(x_MBD.flatten(0, 1).unsqueeze(0)).squeeze(0)
    return torch.unflatten(product_XH, 0, x_MBD.shape[:2])


def _of_tasks(linear: StackedLinear, tasks_KZ: Tensor) -> Tensor:
    """Return [K, 1, H], one vector per task, the same for all rows."""
    product_KH: Tensor = linear(tasks_KZ.unsqueeze(0)).squeeze(0)
    return product_KH.unsqueeze(1)
