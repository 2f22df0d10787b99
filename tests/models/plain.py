"""Plain-loop pieces that architectures are compared with, one net and one gate at a time."""

from itertools import chain

import torch
from torch import nn


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter drawn anew, so that none is at a start where it says nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return module


def net(stack, n, x_BD):
    """The n-th of the ReLU nets of a StackedMLP."""
    for layer in stack.layers:
        x_BD = (x_BD @ layer.weight[n] + layer.bias[n]).relu()
    return x_BD


def gate(linear, k, x_BD):
    """The k-th softmax gate of a StackedLinear."""
    return (x_BD @ linear.weight[k]).softmax(-1)


def mixture(gate_BN, experts):
    """Σ_n g_n f_n over a list of experts [B, H]."""
    assert gate_BN.shape[1] == len(experts)
    return sum(gate_BN[:, n, None] * expert for n, expert in enumerate(experts))


def own_and_shared(experts, own_inputs, shared_input):
    """A list of lists, each owner's experts, and a list of the shared ones."""
    own = [[net(experts.own, k * experts.num_own + m, x_BD) for m in range(experts.num_own)] for k, x_BD in enumerate(own_inputs)]
    return own, [net(experts.shared, s, shared_input) for s in range(experts.num_shared)]


def extracted(level, own_inputs, shared_input):
    """Tang et al. (RecSys 2020), §4.1 and §4.2: each owner's output, and the shared path's where it has a gate."""
    own, shared = own_and_shared(level.experts, own_inputs, shared_input)
    outputs = [mixture(gate(level.gates.linear, k, own_inputs[k]), own[k] + shared) for k in range(len(own))]
    if level.shared_gate is None:
        return outputs, None
    return outputs, mixture(gate(level.shared_gate.linear, 0, shared_input), [*chain(*own), *shared])
