from itertools import chain

import pytest
import torch

from recsys.config.architectures import STEMOptions
from recsys.models import build
from recsys.models.stem import STEM
from tests.models import factory
from tests.models.plain import gate, mixture, own_and_shared, randomised

B, D, H, K = 9, 6, 4, len(factory.KINDS)


def stem(own=2, shared=1, **options):
    options = STEMOptions(hidden=(5, H), own_experts=own, shared_experts=shared, **options)
    return randomised(STEM(options, factory.setting(d_in=D))).eval()


@pytest.mark.parametrize(("own", "shared"), [(1, 1), (2, 1), (1, 3)])
def test_forward_every_objective_mixes_all_experts(own, shared):
    model = stem(own, shared)
    inputs_BTD = torch.randn(B, 1 + K, D)
    inputs = list(inputs_BTD.unbind(1))
    experts, of_all = own_and_shared(model.experts, inputs[1:], inputs[0])
    found = model(inputs_BTD)
    for k in range(K):
        gate_BE = gate(model.gates.linear, k, inputs[0] + inputs[1 + k])
        torch.testing.assert_close(found.outputs_BKH[:, k], mixture(gate_BE, [*chain(*experts), *of_all]))
    torch.testing.assert_close(found.shared, torch.stack(of_all))


@pytest.mark.parametrize("k", range(K))
def test_backward_an_objective_is_alone_with_its_own_and_the_shared(k):
    """The gradients are those of a mixture in which the others' experts are constants, one row of inputs a table."""
    model = stem()
    inputs_BTD = torch.randn(B, 1 + K, D, requires_grad=True)
    weight_BH = torch.randn(B, H)
    (model(inputs_BTD).outputs_BKH[:, k] * weight_BH).sum().backward()
    found = [inputs_BTD.grad, *(parameter.grad.clone() for parameter in model.parameters())]

    model.zero_grad()
    plain_BTD = inputs_BTD.detach().requires_grad_()
    inputs = list(plain_BTD.unbind(1))
    experts, of_all = own_and_shared(model.experts, inputs[1:], inputs[0])
    experts = [expert if n == k else [x.detach() for x in expert] for n, expert in enumerate(experts)]
    mixed_BH = mixture(gate(model.gates.linear, k, inputs[0] + inputs[1 + k]), [*chain(*experts), *of_all])
    (mixed_BH * weight_BH).sum().backward()
    for grad, parameter in zip(found, [plain_BTD, *model.parameters()], strict=True):
        torch.testing.assert_close(grad, parameter.grad)
    assert found[0].flatten(2).any(2).any(0).tolist() == [True] + [n == k for n in range(K)]


@pytest.mark.parametrize("k", range(K))
def test_in_the_frame_no_gradient_of_an_objective_reaches_the_tables_of_others(k):
    model = randomised(build(factory.options(architecture="stem"), factory.layout(), factory.objectives(), torch.zeros(K), 1))
    example = factory.batch(factory.layout(), 64)
    before_BK = model(example, position="missing").outputs_BK
    model(example, position="missing").outputs_BK[:, k].sum().backward()
    grads_TRW = torch.unflatten(model.inputs.embeddings.tables.table.grad.to_dense(), 0, (1 + K, -1))
    assert grads_TRW.flatten(1).any(1).tolist() == [True] + [n == k for n in range(K)]
    for name, parameter in model.hidden.named_parameters():
        assert parameter.grad.flatten(1).any(1).tolist() == [True] + [n == k for n in range(K)], name

    other = (k + 1) % K  # and yet it reads them
    with torch.no_grad():
        torch.unflatten(model.inputs.embeddings.tables.table, 0, (1 + K, -1))[1 + other, 1:] += 1.0
    change_K = (model(example, position="missing").outputs_BK - before_BK).abs().amax(0)
    assert change_K[k] > 1e-3


def test_it_shows_whose_experts_an_objective_uses():
    show = stem(own=2, shared=1)(torch.randn(B, 1 + K, D)).show["gates"]
    assert show.columns == ("o0 1", "o0 2", "o1 1", "o1 2", "o2 1", "o2 2", "o3 1", "o3 2", "shared 1")
    torch.testing.assert_close(show.values_KN.sum(1), torch.ones(K))


def test_a_table_for_all_and_one_each():
    assert STEM.num_tables(5) == 6
