import torch
from torch import nn

from recsys.nn.normalised_experts import FeatureGate, NormalisedExperts
from tests.models.plain import net, randomised

N, B, D, H, RANK = 3, 20, 6, 4, 2


def test_a_fresh_feature_gate_lets_the_input_through():
    x_NBD = torch.randn(N, B, D)
    assert torch.equal(FeatureGate(N, D, RANK)(x_NBD), x_NBD)


def test_a_feature_gate_is_twice_a_sigmoid_of_a_low_rank_map():
    gate, x_NBD = randomised(FeatureGate(N, D, RANK)), torch.randn(N, B, D)
    for n in range(N):
        matrix_DD = gate.down.weight[n] @ gate.up.weight[n]
        assert torch.linalg.matrix_rank(matrix_DD) == RANK
        torch.testing.assert_close(gate(x_NBD)[n], x_NBD[n] * 2 * (x_NBD[n] @ matrix_DD).sigmoid())


def test_normalised_experts_are_a_loop_over_experts():
    experts, x_NBD = randomised(NormalisedExperts(N, D, (5, H), RANK)), torch.randn(N, B, D)
    found_NBH = experts(x_NBD)
    for n in range(N):
        linear_BH = net(experts.below, n, experts.gate(x_NBD)[n]) @ experts.last.weight[n]
        norm = nn.BatchNorm1d(H)
        norm.weight.data, norm.bias.data = experts.norm.scale[n, 0], experts.norm.shift[n, 0]
        torch.testing.assert_close(found_NBH[n], nn.SiLU()(norm(linear_BH)), rtol=1e-4, atol=1e-5)


def test_the_scale_of_an_expert_s_weights_does_not_matter_and_none_is_silent():
    experts, x_NBD = NormalisedExperts(N, D, (5, H), RANK), torch.randn(N, 2000, D)
    before_NBH = experts(x_NBD)
    with torch.no_grad():
        experts.last.weight *= torch.tensor([1.0, 10.0, 100.0])[:, None, None]
    torch.testing.assert_close(experts(x_NBD), before_NBH, rtol=1e-3, atol=1e-3)
    assert (before_NBH != 0).float().mean() > 0.99  # ReLU would silence half
