import pytest
import torch

from recsys.config.architectures import CrossStitchOptions, GatedIndependentOptions
from recsys.models.cross_stitch import CrossStitchNets
from recsys.models.gated_independent import GatedIndependent
from tests.models import factory
from tests.models.plain import randomised

B, D, K = 9, 6, len(factory.KINDS)


def stitched(hidden=(5, 4), own=0.9):
    return CrossStitchNets(CrossStitchOptions(hidden=hidden, own=own), factory.setting(d_in=D))


@pytest.mark.parametrize("hidden", [(5,), (5, 4), (3, 5, 4)])
def test_it_is_a_loop_over_layers_and_nets(hidden):
    model = randomised(stitched(hidden))
    inputs_BTD = torch.randn(B, 1, D)
    first = model.first.first
    own = [slice(hidden[0] * k, hidden[0] * k + hidden[0]) for k in range(K)]
    nets = [(inputs_BTD[:, 0] @ first.weight[0][:, own[k]] + first.bias[0, 0, own[k]]).relu() for k in range(K)]
    for layer, stitch in enumerate(model.stitches):
        if layer > 0:
            linear = model.rest[layer - 1]
            nets = [(nets[k] @ linear.weight[k] + linear.bias[k]).relu() for k in range(K)]
        last = nets
        nets = [sum(stitch.mixture[k, j] * nets[j] for j in range(K)) for k in range(K)]
    found = model(inputs_BTD)
    torch.testing.assert_close(found.outputs_BKH, torch.stack(nets, dim=1))
    torch.testing.assert_close(found.shared, torch.stack(last))


def test_with_identity_stitches_it_is_independent_nets():
    model = stitched(own=1.0)
    free = GatedIndependent(GatedIndependentOptions(hidden=(5, 4)), factory.setting(d_in=D))
    free.nets.first.load_state_dict(model.first.first.state_dict())
    free.nets.rest.layers[0].load_state_dict(model.rest[0].state_dict())
    inputs_BTD = torch.randn(B, 1, D)
    torch.testing.assert_close(model(inputs_BTD).outputs_BKH, free(inputs_BTD).outputs_BKH)


def test_it_shows_who_reads_whom_in_each_layer():
    model = randomised(stitched())
    show = model(torch.randn(B, 1, D)).show
    assert list(show) == ["cross-stitch, layer 1", "cross-stitch, layer 2"]
    for look, stitch in zip(show.values(), model.stitches, strict=True):
        assert torch.equal(look.values_KN, stitch.mixture)
        assert look.columns == tuple(f"o{k}" for k in range(K))
    with torch.no_grad():
        model.stitches[0].mixture.add_(1.0)
    assert not torch.equal(show["cross-stitch, layer 1"].values_KN, model.stitches[0].mixture)  # what was shown stays
