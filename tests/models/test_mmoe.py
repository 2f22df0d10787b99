import pytest
import torch

from recsys.config.architectures import MMoEOptions, SharedBottomOptions
from recsys.models.mmoe import MMoE
from recsys.models.shared_bottom import SharedBottom
from tests.models import factory
from tests.models.plain import mixture, randomised

B, D, K = 9, 6, len(factory.KINDS)


def test_with_one_expert_it_is_a_shared_bottom():
    bottom = SharedBottom(SharedBottomOptions(hidden=(5, 4)), factory.setting(d_in=D))
    mmoe = MMoE(MMoEOptions(num_experts=1, hidden=(5, 4)), factory.setting(d_in=D))
    sources = [mmoe.experts.first, *mmoe.experts.rest.layers]
    for layer, source in zip(bottom.net.layers, sources, strict=True):
        layer.load_state_dict(source.state_dict())
    inputs_BTD = torch.randn(B, 1, D)
    shared_bottom, shared_mmoe = bottom(inputs_BTD), mmoe(inputs_BTD)
    torch.testing.assert_close(shared_mmoe.outputs_BKH, shared_bottom.outputs_BKH)
    torch.testing.assert_close(shared_mmoe.shared[0], shared_bottom.shared)


@pytest.mark.parametrize("top_k", [None, 2])
def test_each_objective_gets_its_gate_s_mixture(top_k):
    mmoe = randomised(MMoE(MMoEOptions(num_experts=3, hidden=(4,), top_k=top_k), factory.setting(d_in=D))).eval()
    inputs_BTD = torch.randn(B, 1, D)
    shared = mmoe(inputs_BTD)
    assert shared.shared.shape == (3, B, 4)
    for k in range(K):
        logits_BN = inputs_BTD[:, 0] @ mmoe.gates.linear.weight[0][:, 3 * k : 3 * k + 3]
        if top_k:
            logits_BN[torch.arange(B), logits_BN.argmin(1)] = -torch.inf
        torch.testing.assert_close(shared.outputs_BKH[:, k], mixture(logits_BN.softmax(1), shared.shared))


def test_it_shows_mean_shares_and_how_often_a_gate_is_polarised():
    mmoe = MMoE(MMoEOptions(num_experts=3, hidden=(4,)), factory.setting(d_in=1)).eval()
    with torch.no_grad():
        mmoe.gates.linear.weight.zero_()
        mmoe.gates.linear.weight[0, 0, 1] = 1.0  # of the first objective, the second expert: e^x against 1 and 1
    show = mmoe(torch.tensor([0.0, 100.0, 100.0, -100.0]).view(4, 1, 1)).show["gates"]
    assert show.columns == ("expert 1", "expert 2", "expert 3")
    torch.testing.assert_close(show.values_KN[0], torch.tensor([(1 / 3 + 0.5) / 4, (1 / 3 + 2) / 4, (1 / 3 + 0.5) / 4]))
    torch.testing.assert_close(show.values_KN[1:], torch.full((K - 1, 3), 1 / 3))
    assert show.polarised_K.tolist() == [0.5, *[0.0] * (K - 1)]
    assert not show.values_KN.requires_grad
