import itertools

import pytest
import torch
from torch import nn

from recsys.nn.gates import Gates

B, D, K, N, RATE = 20_000, 4, 2, 3, 0.4


@pytest.fixture
def gates():
    torch.manual_seed(0)
    return Gates(D, K, N, dropout=RATE)


def test_each_gate_is_a_softmax_without_bias(gates):
    x_BD = torch.randn(7, D)
    for k in range(K):
        own = slice(N * k, N * k + N)
        torch.testing.assert_close(gates.eval()(x_BD)[:, k], (x_BD @ gates.linear.weight[0][:, own]).softmax(-1))
    assert gates.linear.bias is None


def test_dropped_experts_leave_a_distribution(gates):
    gates_BKN = gates(torch.randn(B, D))
    torch.testing.assert_close(gates_BKN.sum(-1), torch.ones(B, K))
    assert gates_BKN.isfinite().all()
    dropped = gates_BKN == 0
    assert not dropped.all(-1).any()
    # P(dropped) = p, less the case that all would be: p − p^N
    assert abs(dropped.float().mean().item() - (RATE - RATE**N)) < 0.005
    # rows, gates and experts on their own: both gates lose expert 0 as often as chance has it
    both = (dropped[:, 0, 0] & dropped[:, 1, 0]).float().mean().item()
    assert abs(both - (RATE - RATE**N) ** 2) < 0.01


def test_expected_utilisation_is_that_over_all_masks(gates):
    """Every set of dropped experts, by its probability, the rest of the softmax re-normalised; losing all is losing none."""
    x_1D = torch.randn(1, D)
    whole_KN = gates.eval()(x_1D)[0].detach()
    expected_KN = torch.zeros(K, N)
    for mask in itertools.product([0.0, 1.0], repeat=N):
        kept = torch.tensor(mask) if any(mask) else torch.ones(N)
        probability = RATE ** (N - sum(mask)) * (1 - RATE) ** sum(mask)
        expected_KN += probability * whole_KN * kept / (whole_KN * kept).sum(-1, keepdim=True)
    drawn_KN = gates.train()(x_1D.expand(B, D)).mean(0)
    torch.testing.assert_close(drawn_KN, expected_KN, rtol=0, atol=0.01)


def test_a_single_expert_is_never_dropped():
    gates = Gates(D, K, 1, dropout=0.9)
    assert torch.equal(gates(torch.randn(100, D)), torch.ones(100, K, 1))


def test_no_dropout_at_serving(gates):
    x_BD = torch.randn(50, D)
    assert torch.equal(gates.eval()(x_BD), gates(x_BD))


def test_gradients_of_dropped_rows_are_finite(gates):
    gates(torch.randn(500, D)).square().sum().backward()
    assert isinstance(gates.linear.weight, nn.Parameter)
    assert gates.linear.weight.grad.isfinite().all()
