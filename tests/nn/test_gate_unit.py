import torch

from recsys.nn.gate_unit import GateUnit
from tests.models.plain import randomised

B, D = 50, 6


def test_a_fresh_gate_is_one():
    assert torch.equal(GateUnit(D, 5, 4)(torch.randn(B, D)), torch.ones(B, 4))


def test_it_is_twice_a_sigmoid_of_a_net():
    gate, x_BD = randomised(GateUnit(D, 5, 4)), torch.randn(B, D)
    for b in range(B):
        hidden = torch.clamp(x_BD[b] @ gate.hidden.weight[0] + gate.hidden.bias[0, 0], min=0)
        torch.testing.assert_close(gate(x_BD)[b], 2 / (1 + (-(hidden @ gate.out.weight[0] + gate.out.bias[0, 0])).exp()))
