import torch

from recsys.config.architectures import AddTaskOptions, SharedBottomOptions
from recsys.models.add_task import AddTask
from recsys.models.shared_bottom import SharedBottom
from tests.models import factory
from tests.models.plain import randomised

B, D, K, HIDDEN = 9, 6, len(factory.KINDS), (5, 4)


def test_each_objective_has_a_bias_of_its_own_in_every_layer():
    model = randomised(AddTask(AddTaskOptions(hidden=HIDDEN), factory.setting(d_in=D)))
    inputs_BTD = torch.randn(B, 1, D)
    found = model(inputs_BTD)
    for k in range(K):
        h_BH = inputs_BTD[:, 0]
        for layer in model.net.layers:
            h_BH = (h_BH @ layer.linear.weight[0] + layer.linear.bias[0] + layer.shift.weight[0, k]).relu()
        torch.testing.assert_close(found.outputs_BKH[:, k], h_BH)
    first = model.net.layers[0].linear
    torch.testing.assert_close(found.shared, inputs_BTD[:, 0] @ first.weight[0] + first.bias[0])


def test_a_fresh_one_is_a_shared_bottom():
    model = AddTask(AddTaskOptions(hidden=HIDDEN), factory.setting(d_in=D))
    bottom = SharedBottom(SharedBottomOptions(hidden=HIDDEN), factory.setting(d_in=D))
    for layer, source in zip(bottom.net.layers, model.net.layers, strict=True):
        layer.load_state_dict(source.linear.state_dict())
    inputs_BTD = torch.randn(B, 1, D)
    torch.testing.assert_close(model(inputs_BTD).outputs_BKH, bottom(inputs_BTD).outputs_BKH)


def test_metadata_tell_objectives_of_the_same_sort_the_same():
    """Two regressions of one group: one descriptor, one net."""
    setting = factory.setting(("regression", "regression", "watch_time"), d_in=D)
    model = randomised(AddTask(AddTaskOptions(hidden=HIDDEN, descriptor="metadata"), setting))
    found = model(torch.randn(B, 1, D))
    torch.testing.assert_close(found.outputs_BKH[:, 0], found.outputs_BKH[:, 1])
    assert not torch.allclose(found.outputs_BKH[:, 0], found.outputs_BKH[:, 2], rtol=1e-2, atol=1e-2)
    assert found.show["task descriptors"].values_KN.tolist() == [[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1]]
