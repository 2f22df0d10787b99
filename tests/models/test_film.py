import pytest
import torch

from recsys.config.architectures import AddTaskOptions, FiLMOptions, SharedBottomOptions
from recsys.models.add_task import AddTask
from recsys.models.film import FiLM
from recsys.models.shared_bottom import SharedBottom
from tests.models import factory
from tests.models.plain import randomised

B, D, K, HIDDEN = 9, 6, len(factory.KINDS), (5, 4)


def film(descriptor="one_hot"):
    return FiLM(FiLMOptions(hidden=HIDDEN, descriptor=descriptor), factory.setting(d_in=D))


@pytest.mark.parametrize("descriptor", ["one_hot", "metadata"])
def test_every_layer_is_scaled_and_shifted_by_the_task(descriptor):
    model = randomised(film(descriptor))
    inputs_BTD = torch.randn(B, 1, D)
    found = model(inputs_BTD).outputs_BKH
    for k in range(K):
        h_BH, z_Z = inputs_BTD[:, 0], model.descriptors_KZ[k]
        for layer in model.net.layers:
            gamma_H, beta_H = 1 + z_Z @ layer.scale.weight[0], z_Z @ layer.shift.weight[0]
            h_BH = (gamma_H * (h_BH @ layer.linear.weight[0] + layer.linear.bias[0]) + beta_H).relu()
        torch.testing.assert_close(found[:, k], h_BH)


def test_with_scale_1_and_shift_0_it_is_a_shared_bottom():
    """As it starts; outputs, the shared weights' gradients."""
    model = film()
    bottom = SharedBottom(SharedBottomOptions(hidden=HIDDEN), factory.setting(d_in=D))
    for layer, source in zip(bottom.net.layers, model.net.layers, strict=True):
        layer.load_state_dict(source.linear.state_dict())
    inputs_BTD, pull_BKH = torch.randn(B, 1, D), torch.randn(B, K, HIDDEN[-1])
    outputs = [each(inputs_BTD).outputs_BKH for each in (model, bottom)]
    torch.testing.assert_close(*outputs)
    for output_BKH in outputs:
        (output_BKH * pull_BKH).sum().backward()
    for layer, source in zip(bottom.net.layers, model.net.layers, strict=True):
        torch.testing.assert_close(source.linear.weight.grad, layer.weight.grad)


def test_with_scale_1_it_is_an_addition():
    model = randomised(film())
    add = AddTask(AddTaskOptions(hidden=HIDDEN), factory.setting(d_in=D))
    with torch.no_grad():
        for layer in model.net.layers:
            layer.scale.weight.zero_()
    add.load_state_dict({name: tensor for name, tensor in model.state_dict().items() if ".scale." not in name})
    inputs_BTD = torch.randn(B, 1, D)
    torch.testing.assert_close(model(inputs_BTD).outputs_BKH, add(inputs_BTD).outputs_BKH)
