import itertools

import pytest
import torch
from pydantic import ValidationError

from recsys.config.architectures import CrossStitchOptions, SluiceOptions
from recsys.models.cross_stitch import CrossStitchNets
from recsys.models.sluice import Sluice
from tests.models import factory
from tests.models.plain import randomised

B, D, K, H = 9, 6, len(factory.KINDS), 6


def sluice(**options):
    return randomised(Sluice(SluiceOptions(hidden=H, **options), factory.setting(d_in=D)))


def weights_of(model, k):
    """Net k's layers' weights."""
    return [model.first.first.weight[0][:, H * k : H * k + H], *(layer.weight[k] for layer in model.rest)]


def biases_of(model, k):
    return [model.first.first.bias[0, 0, H * k : H * k + H], *(layer.bias[k] for layer in model.rest)]


@pytest.mark.parametrize(("subspaces", "layers"), [(1, 2), (2, 2), (3, 1), (2, 3)])
def test_it_is_a_loop_over_layers_nets_and_subspaces(subspaces, layers):
    model = sluice(subspaces=subspaces, layers=layers)
    inputs_BTD = torch.randn(B, 1, D)
    width = H // subspaces
    nets, outputs = [inputs_BTD[:, 0]] * K, [torch.zeros(B, H) for _ in range(K)]
    for place, stitch in enumerate(model.stitches):
        nets = [(nets[k] @ weights_of(model, k)[place] + biases_of(model, k)[place]).relu() for k in range(K)]
        parts = [net_BH[:, width * g : width * g + width] for net_BH in nets for g in range(subspaces)]
        mixed = [sum(weight * part for weight, part in zip(row, parts, strict=True)) for row in stitch.mixture]
        nets = [torch.cat(mixed[subspaces * k : subspaces * k + subspaces], dim=1) for k in range(K)]
        outputs = [outputs[k] + model.layers.mixture[k, place] * nets[k] for k in range(K)]
    torch.testing.assert_close(model(inputs_BTD).outputs_BKH, torch.stack(outputs, dim=1), rtol=1e-4, atol=1e-4)


def test_with_one_subspace_and_the_last_layer_alone_it_is_cross_stitch():
    model = sluice(subspaces=1)
    stitched = CrossStitchNets(CrossStitchOptions(hidden=(H, H)), factory.setting(d_in=D))
    stitched.load_state_dict({name: tensor for name, tensor in model.state_dict().items() if not name.startswith("layers.")})
    with torch.no_grad():
        model.layers.mixture.copy_(torch.tensor([0.0, 1.0]))
    inputs_BTD = torch.randn(B, 1, D)
    found, expected = model(inputs_BTD), stitched(inputs_BTD)
    torch.testing.assert_close(found.outputs_BKH, expected.outputs_BKH)
    torch.testing.assert_close(found.shared, expected.shared)
    assert found.penalty is None


def test_the_penalty_is_a_loop_over_nets_layers_and_pairs_of_subspaces():
    model = sluice(subspaces=3, orthogonality=0.2)
    expected = torch.zeros(())
    for k in range(K):
        for weight_DH in weights_of(model, k):
            for one, other in itertools.combinations(weight_DH.split(H // 3, dim=1), 2):
                expected += 0.2 * (one.T @ other).square().sum()
    torch.testing.assert_close(model(torch.randn(B, 1, D)).penalty, expected)
    assert model.eval()(torch.randn(B, 1, D)).penalty is None
    assert sluice(orthogonality=0.0)(torch.randn(B, 1, D)).penalty is None


def test_it_shows_who_reads_whom_and_which_layers():
    model = sluice(subspaces=2)
    show = model(torch.randn(B, 1, D)).show
    assert list(show) == ["α, layer 1", "α, layer 2", "β"]
    alpha = model.stitches[1].mixture
    for k, j in itertools.product(range(K), range(K)):
        block = alpha[2 * k : 2 * k + 2, 2 * j : 2 * j + 2]
        torch.testing.assert_close(show["α, layer 2"].values_KN[k, j], block.sum() / 2)
    assert torch.equal(show["β"].values_KN, model.layers.mixture)
    assert show["β"].columns == ("layer 1", "layer 2")


def test_subspaces_of_unequal_widths_are_refused():
    with pytest.raises(ValidationError, match="found hidden = 5 with subspaces = 2, expected a multiple"):
        SluiceOptions(hidden=5, subspaces=2)
