import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from recsys.nn.conditioning import AddLinear, ConcatLinear, ConditionedMLP, FiLMLinear
from tests.models.plain import randomised

K, Z, B, D, H = 3, 2, 7, 5, 4


def concatenated(layer, x_BD, z_Z):
    return torch.cat([x_BD, z_Z.expand(len(x_BD), -1)], dim=1) @ layer.joint.weight[0] + layer.joint.bias[0]


def added(layer, x_BD, z_Z):
    return x_BD @ layer.linear.weight[0] + layer.linear.bias[0] + z_Z @ layer.shift.weight[0]


def scaled(layer, x_BD, z_Z):
    """γ ⊙ h + β, a number at a time."""
    gamma_H, beta_H = 1 + z_Z @ layer.scale.weight[0], z_Z @ layer.shift.weight[0]
    h_BH = x_BD @ layer.linear.weight[0] + layer.linear.bias[0]
    return torch.stack([torch.stack([gamma_H[h] * row_H[h] + beta_H[h] for h in range(H)]) for row_H in h_BH])


@pytest.mark.parametrize(("layer", "formula"), [(ConcatLinear, concatenated), (AddLinear, added), (FiLMLinear, scaled)])
@pytest.mark.parametrize("rows_of", ["all", "each"])
def test_a_layer_is_its_formula_task_by_task(layer, formula, rows_of):
    layer = randomised(layer(D, Z, H))
    x_MBD, tasks_KZ = torch.randn(1 if rows_of == "all" else K, B, D, requires_grad=True), torch.randn(K, Z)
    found = layer.told(layer.common(x_MBD), tasks_KZ)
    expected = torch.stack([formula(layer, x_BD, z_Z) for x_BD, z_Z in zip(x_MBD.expand(K, -1, -1), tasks_KZ, strict=True)])
    torch.testing.assert_close(found, expected)
    inputs = [x_MBD, *layer.parameters()]
    for one, other in zip(*(torch.autograd.grad(y.square().sum(), inputs) for y in (found, expected)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layer", [ConcatLinear, AddLinear, FiLMLinear])
def test_what_is_one_for_all_tasks_is_multiplied_once(layer):
    layer = layer(D, Z, H)
    with FlopCounterMode(display=False) as counter:
        layer.common(torch.randn(1, B, D))
    assert counter.get_total_flops() == 2 * B * D * H


@pytest.mark.parametrize("layer", [AddLinear, FiLMLinear])
def test_tasks_start_as_one(layer):
    layer = layer(D, Z, H)
    x_1BD = torch.randn(1, B, D)
    assert torch.equal(layer.told(layer.common(x_1BD), torch.randn(K, Z)), layer.linear(x_1BD).expand(K, -1, -1))


def test_concatenation_starts_as_one_layer_on_all_inputs():
    weight = ConcatLinear(300, 100, 50).joint.weight
    assert abs(weight.var().item() * 400 / 2 - 1) < 0.05


def test_a_net_is_layer_relu_layer_relu():
    net = randomised(ConditionedMLP(FiLMLinear, D, Z, (H, H)))
    x_BD, tasks_KZ = torch.randn(B, D), torch.randn(K, Z)
    common_BH = net.common(x_BD)
    found = net(common_BH, tasks_KZ)
    first, second = net.layers
    for k in range(K):
        expected = scaled(second, scaled(first, x_BD, tasks_KZ[k]).relu(), tasks_KZ[k]).relu()
        torch.testing.assert_close(found[k], expected)
    torch.testing.assert_close(common_BH, first.linear(x_BD.unsqueeze(0))[0])
    assert net.d_out == H
