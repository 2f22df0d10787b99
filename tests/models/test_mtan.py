import pytest
import torch

from recsys.config.architectures import MTANOptions, SharedBottomOptions
from recsys.models.mtan import MTAN
from recsys.models.shared_bottom import SharedBottom
from tests.models import factory
from tests.models.plain import randomised

B, D, K = 9, 6, len(factory.KINDS)


@pytest.mark.parametrize("hidden", [(5,), (5, 4), (5, 3, 4)])
def test_it_is_a_loop_over_objectives_and_layers(hidden):
    model = randomised(MTAN(MTANOptions(hidden=hidden, d_mask=3), factory.setting(d_in=D)))
    inputs_BTD = torch.randn(B, 1, D)
    found = model(inputs_BTD)
    for k in range(K):
        shared, attended = inputs_BTD[:, 0], torch.zeros(B, 0)
        for place, (layer, masks) in enumerate(zip(model.layers, model.masks, strict=True)):
            (first,), second = masks.read.layers, masks.mask
            shared = (shared @ layer.weight[0] + layer.bias[0]).relu()
            read = torch.cat([shared, attended], dim=1)
            mask = ((read @ first.weight[k] + first.bias[k]).relu() @ second.weight[k] + second.bias[k]).sigmoid()
            attended = mask * shared
            torch.testing.assert_close(found.show["mean attention"].values_KN[k, place], mask.mean())
        torch.testing.assert_close(found.outputs_BKH[:, k], attended)
    torch.testing.assert_close(found.shared, shared)
    assert found.show["mean attention"].columns == tuple(f"layer {place + 1}" for place in range(len(hidden)))


def test_with_open_masks_it_is_a_shared_bottom():
    model = MTAN(MTANOptions(hidden=(5, 4)), factory.setting(d_in=D))
    bottom = SharedBottom(SharedBottomOptions(hidden=(5, 4)), factory.setting(d_in=D))
    for layer, source in zip(bottom.net.layers, model.layers, strict=True):
        layer.load_state_dict(source.state_dict())
    with torch.no_grad():
        for masks in model.masks:
            masks.mask.bias.fill_(1e4)
    inputs_BTD = torch.randn(B, 1, D)
    torch.testing.assert_close(model(inputs_BTD).outputs_BKH, bottom(inputs_BTD).outputs_BKH)
