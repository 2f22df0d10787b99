import torch

from recsys.config.architectures import MMoEOptions, OMoEOptions
from recsys.models.mmoe import MMoE
from recsys.models.omoe import OMoE
from tests.models import factory
from tests.models.plain import randomised

B, D, K, N = 9, 6, len(factory.KINDS), 3


def test_it_is_mmoe_with_tied_gates():
    omoe = randomised(OMoE(OMoEOptions(num_experts=N, hidden=(5, 4)), factory.setting(d_in=D))).eval()
    mmoe = MMoE(MMoEOptions(num_experts=N, hidden=(5, 4)), factory.setting(d_in=D)).eval()
    mmoe.experts.load_state_dict(omoe.experts.state_dict())
    with torch.no_grad():
        mmoe.gates.linear.weight.copy_(omoe.gate.linear.weight.repeat(1, 1, K))
    inputs_BTD = torch.randn(B, 1, D)
    one, multi = omoe(inputs_BTD), mmoe(inputs_BTD)
    torch.testing.assert_close(one.outputs_BKH, multi.outputs_BKH)
    torch.testing.assert_close(one.shared, multi.shared)
    torch.testing.assert_close(one.show["gates"].values_KN, multi.show["gates"].values_KN)
    torch.testing.assert_close(one.show["gates"].polarised_K, multi.show["gates"].polarised_K)


def test_in_training_too_all_objectives_lose_the_same_experts():
    omoe = OMoE(OMoEOptions(num_experts=N, hidden=(4,), expert_dropout=0.5), factory.setting(d_in=D))
    outputs_BKH = omoe(torch.randn(B, 1, D)).outputs_BKH
    assert torch.equal(outputs_BKH, outputs_BKH[:, :1].expand(-1, K, -1))
