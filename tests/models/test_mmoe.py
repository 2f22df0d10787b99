import torch

from recsys.config import MMoEOptions, SharedBottomOptions
from recsys.models.mmoe import MMoE
from recsys.models.shared_bottom import SharedBottom
from tests.models import factory

B, D, K = 9, 6, len(factory.KINDS)


def test_with_one_expert_it_is_a_shared_bottom():
    bottom = SharedBottom(SharedBottomOptions(hidden=(5, 4)), D, factory.objectives())
    mmoe = MMoE(MMoEOptions(num_experts=1, hidden=(5, 4)), D, factory.objectives())
    sources = [mmoe.experts.first, *mmoe.experts.rest.layers]
    for layer, source in zip(bottom.net.layers, sources, strict=True):
        layer.load_state_dict(source.state_dict())
    inputs_BTD = torch.randn(B, 1, D)
    shared_bottom, shared_mmoe = bottom(inputs_BTD), mmoe(inputs_BTD)
    torch.testing.assert_close(shared_mmoe.outputs_BKH, shared_bottom.outputs_BKH)
    torch.testing.assert_close(shared_mmoe.shared[0], shared_bottom.shared)


def test_each_objective_gets_its_gate_s_mixture():
    mmoe = MMoE(MMoEOptions(num_experts=3, hidden=(4,)), D, factory.objectives()).eval()
    inputs_BTD = torch.randn(B, 1, D)
    shared = mmoe(inputs_BTD)
    gates_BKN = shared.show["gates"]
    assert gates_BKN.shape == (B, K, 3)
    assert not gates_BKN.requires_grad
    torch.testing.assert_close(gates_BKN.sum(-1), torch.ones(B, K))
    for k in range(K):
        expected = sum(gates_BKN[:, k, n, None] * shared.shared[n] for n in range(3))
        torch.testing.assert_close(shared.outputs_BKH[:, k], expected)
