import pytest
import torch

from recsys.config.architectures import AddTaskOptions, ConcatTaskOptions
from recsys.models.add_task import AddTask
from recsys.models.concat_task import ConcatTask
from tests.models import factory
from tests.models.plain import randomised

B, D, K, HIDDEN = 9, 6, len(factory.KINDS), (5, 4)


@pytest.fixture(params=["one_hot", "metadata"])
def concat(request):
    return randomised(ConcatTask(ConcatTaskOptions(hidden=HIDDEN, descriptor=request.param), factory.setting(d_in=D)))


def test_it_is_one_net_on_the_input_with_the_task_beside_it(concat):
    inputs_BTD = torch.randn(B, 1, D)
    found = concat(inputs_BTD)
    for k in range(K):
        z_BZ = concat.descriptors_KZ[k].expand(B, -1)
        h_BH = inputs_BTD[:, 0]
        for layer in concat.net.layers:
            h_BH = (torch.cat([h_BH, z_BZ], dim=1) @ layer.joint.weight[0] + layer.joint.bias[0]).relu()
        torch.testing.assert_close(found.outputs_BKH[:, k], h_BH)


def test_concatenation_is_addition(concat):
    """The same function with W = [W; V], and so the same gradients, whose parts are those of W and V."""
    options = AddTaskOptions(hidden=HIDDEN, descriptor="metadata" if concat.columns else "one_hot")
    add = AddTask(options, factory.setting(d_in=D))
    with torch.no_grad():
        for joint, apart in zip(concat.net.layers, add.net.layers, strict=True):
            apart.linear.weight.copy_(joint.joint.weight[:, : joint.d_in])
            apart.shift.weight.copy_(joint.joint.weight[:, joint.d_in :])
            apart.linear.bias.copy_(joint.joint.bias)
    inputs_BTD, pull_BKH = torch.randn(B, 1, D), torch.randn(B, K, HIDDEN[-1])
    outputs = [model(inputs_BTD).outputs_BKH for model in (concat, add)]
    torch.testing.assert_close(*outputs)
    for output_BKH in outputs:
        (output_BKH * pull_BKH).sum().backward()
    for joint, apart in zip(concat.net.layers, add.net.layers, strict=True):
        torch.testing.assert_close(joint.joint.weight.grad, torch.cat([apart.linear.weight.grad, apart.shift.weight.grad], dim=1))


def test_a_fresh_one_tells_the_tasks_apart_and_a_fresh_addition_does_not():
    inputs_BTD = torch.randn(B, 1, D)
    setting = factory.setting(d_in=D)
    for model, apart in ((ConcatTask(ConcatTaskOptions(), setting), True), (AddTask(AddTaskOptions(), setting), False)):
        outputs_BKH = model(inputs_BTD).outputs_BKH
        assert torch.allclose(outputs_BKH[:, 0], outputs_BKH[:, 1], rtol=1e-5, atol=1e-6) != apart
