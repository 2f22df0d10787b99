import pytest
import torch

from recsys.config.architectures import CGCOptions
from recsys.models import build
from recsys.models.cgc import CGC
from tests.models import factory
from tests.models.plain import extracted, randomised
from tests.models.tied import tied

B, D, K = 9, 6, len(factory.KINDS)
SHAPES = [(1, 2), (2, 1), (3, 0)]


def cgc(own=2, shared=1, **options):
    return randomised(CGC(CGCOptions(hidden=(5, 4), own_experts=own, shared_experts=shared, **options), factory.setting(d_in=D)))


@pytest.mark.parametrize(("own", "shared"), SHAPES)
def test_it_is_a_loop_over_objectives_and_experts(own, shared):
    model = cgc(own, shared).eval()
    inputs_BTD = torch.randn(B, 1, D)
    expected, _ = extracted(model.level, [inputs_BTD[:, 0]] * K, inputs_BTD[:, 0])
    found = model(inputs_BTD)
    torch.testing.assert_close(found.outputs_BKH, torch.stack(expected, dim=1))
    assert found.shared.shape == (K * own + shared, B, 4)
    assert found.show["gates"].columns == (*[f"own {m}" for m in range(1, own + 1)], *[f"shared {s}" for s in range(1, shared + 1)])
    torch.testing.assert_close(found.show["gates"].values_KN.sum(1), torch.ones(K))


@pytest.mark.parametrize("k", range(K))
def test_an_objective_reaches_its_own_experts_and_the_shared_ones(k):
    model = cgc()
    found = model(torch.randn(B, 1, D))
    (grad_NBH,) = torch.autograd.grad(found.outputs_BKH[:, k].sum(), found.shared)
    reached = grad_NBH.flatten(1).any(1).tolist()
    assert reached == [n // 2 == k for n in range(2 * K)] + [True]


def test_one_expert_each_and_none_shared_are_nets_of_their_own_on_one_table():
    """Against single_task whose tables are all copies of that one, without a shared layer."""
    changes = {"cgc": {"hidden": (8,), "own_experts": 1, "shared_experts": 0}, "d_shared": 0}
    model = randomised(build(factory.options(architecture="cgc", **changes), factory.layout(), factory.objectives(), torch.zeros(K), 1))
    single = build(factory.options(architecture="single_task", d_shared=0), factory.layout(), factory.objectives(), torch.zeros(K), 1)
    with torch.no_grad():
        model.inputs.embeddings.tables.table[0] = 0.0
        tied(single, model)
        single.architecture.net.load_state_dict(model.architecture.level.experts.own.state_dict())
    example = factory.batch(factory.layout(), 32)
    outputs_BK = model.eval()(example, position="logged").outputs_BK
    torch.testing.assert_close(single.eval()(example, position="logged").outputs_BK, outputs_BK)
    assert outputs_BK.std(0).min() > 0.1


def test_top_k_is_of_the_experts_that_an_objective_sees():
    found = cgc(own=2, shared=2, top_k=1).eval()(torch.randn(B, 1, D))
    assert (found.show["gates"].polarised_K == 1).all()
