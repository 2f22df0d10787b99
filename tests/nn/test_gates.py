import itertools

import pytest
import torch
from torch import nn

from recsys.nn.gates import Gates, OwnGates, SelfGates, gate_weights

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


@pytest.mark.parametrize("dropout", [0.0, RATE])
@pytest.mark.parametrize("top_k", [2, N])
def test_only_the_k_largest_share_what_there_is(top_k, dropout):
    gates = Gates(D, K, N, dropout=dropout, top_k=top_k)
    gates_BKN = gates(torch.randn(B, D))
    used_BK = (gates_BKN > 0).sum(-1)
    torch.testing.assert_close(gates_BKN.sum(-1), torch.ones(B, K))
    assert used_BK.min() >= 1
    assert used_BK.max() == top_k
    assert dropout or (used_BK == top_k).all()


@pytest.mark.parametrize("dropout", [0.0, RATE])
def test_a_single_one_keeps_its_weight_and_so_the_gate_learns(dropout):
    gates = Gates(D, K, N, dropout=dropout, top_k=1)
    x_BD = torch.randn(500, D)
    torch.manual_seed(1)
    found_BKN = gates(x_BD)
    gates.top_k = None
    torch.manual_seed(1)
    largest_BK1 = gates(x_BD).amax(-1, keepdim=True)
    assert ((found_BKN > 0).sum(-1) == 1).all()
    torch.testing.assert_close(found_BKN.sum(-1, keepdim=True), largest_BK1)
    (found_BKN * torch.randn(N)).sum().backward()
    assert gates.linear.weight.grad.abs().min() > 0


def test_the_k_largest_keep_their_ratios(gates):
    logits = torch.tensor([[1.0, 3.0, -2.0, 2.0]])
    expected = torch.tensor([[0.0, 3.0, 0.0, 2.0]]).exp() * torch.tensor([[0, 1, 0, 1]])
    torch.testing.assert_close(gate_weights(logits, None, top_k=2), expected / expected.sum())


def test_of_all_experts_the_n_largest_are_all(gates):
    x_BD = torch.randn(50, D)
    dense_BKN = gates.eval()(x_BD)
    for top_k in (N, N + 1):
        gates.top_k = top_k
        assert torch.equal(gates(x_BD), dense_BKN)


def test_what_is_not_used_gets_no_gradient_and_what_is_a_finite_one():
    logits = torch.randn(500, N, requires_grad=True)
    weights = gate_weights(logits, None, top_k=2)
    weights.square().sum().backward()
    assert logits.grad.isfinite().all()
    assert torch.equal(logits.grad != 0, weights > 0)


def test_gates_with_inputs_of_their_own_are_a_loop_over_gates():
    gates = OwnGates(D, K, N, dropout=RATE, top_k=2).eval()
    x_KBD = torch.randn(K, 50, D)
    for k in range(K):
        logits_BN = x_KBD[k] @ gates.linear.weight[k]
        kept_BN = logits_BN >= logits_BN.topk(2).values[:, -1:]
        expected_BN = logits_BN.exp() * kept_BN
        torch.testing.assert_close(gates(x_KBD)[:, k], expected_BN / expected_BN.sum(1, keepdim=True))
    lost_BKN = gates.train()(torch.randn(K, B, D)) == 0
    assert lost_BKN.float().mean() > 1 / 3  # more than the top 2 of 3 alone would


def test_a_self_gate_over_one_expert_opens_and_closes_and_over_several_chooses():
    x_KBD = torch.randn(K, 50, D)
    one, several = SelfGates(D, K, 1), SelfGates(D, K, N)
    for k in range(K):
        torch.testing.assert_close(one(x_KBD)[:, k], (x_KBD[k] @ one.linear.weight[k]).sigmoid())
        torch.testing.assert_close(several(x_KBD)[:, k], (x_KBD[k] @ several.linear.weight[k]).softmax(1))
