import pytest
import torch

from recsys.config.architectures import GatedIndependentOptions, SharedBottomOptions, SoftOptions
from recsys.models.gated_independent import GatedIndependent
from recsys.models.shared_bottom import SharedBottom
from recsys.models.soft import Soft
from tests.models import factory
from tests.models.plain import randomised

B, D, K, HIDDEN = 9, 6, len(factory.KINDS), (5, 4)


def soft(strength):
    return Soft(SoftOptions(hidden=HIDDEN, strength=strength), factory.setting(d_in=D))


def numbers_of(model, k):
    """All that net k learns, in one row: its columns of the first layers side by side, its place in the later ones."""
    own = slice(HIDDEN[0] * k, HIDDEN[0] * k + HIDDEN[0])
    first, (second,) = model.nets.first, model.nets.rest.layers
    parts = [first.weight[0][:, own], first.bias[0, 0, own], second.weight[k], second.bias[k]]
    return torch.cat([part.flatten() for part in parts])


def test_without_a_spring_it_is_independent_nets():
    model = randomised(soft(0.0))
    free = GatedIndependent(GatedIndependentOptions(hidden=HIDDEN), factory.setting(d_in=D))
    free.nets.load_state_dict(model.nets.state_dict())
    inputs_BTD, pull_BKH = torch.randn(B, 1, D), torch.randn(B, K, HIDDEN[-1])
    found, expected = model(inputs_BTD), free(inputs_BTD)
    assert torch.equal(found.outputs_BKH, expected.outputs_BKH)
    assert found.shared is None
    assert found.penalty == 0.0
    ((found.outputs_BKH * pull_BKH).sum() + found.penalty).backward()
    (expected.outputs_BKH * pull_BKH).sum().backward()
    for one, other in zip(model.nets.parameters(), free.nets.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_the_spring_is_a_loop_over_nets():
    model = randomised(soft(0.3))
    all_nets = [numbers_of(model, k) for k in range(K)]
    assert sum(len(numbers_P) for numbers_P in all_nets) == sum(parameter.numel() for parameter in model.parameters())
    mean_P = sum(all_nets) / K
    expected = 0.5 * 0.3 * sum((numbers_P - mean_P).square().sum() for numbers_P in all_nets)
    torch.testing.assert_close(model(torch.randn(B, 1, D)).penalty, expected)
    assert model.eval()(torch.randn(B, 1, D)).penalty is None


def test_a_fresh_one_is_a_shared_bottom_without_tension():
    model = soft(1.0)
    bottom = SharedBottom(SharedBottomOptions(hidden=HIDDEN), factory.setting(d_in=D))
    with torch.no_grad():
        first, second = bottom.net.layers
        first.weight[0] = model.nets.first.weight[0][:, : HIDDEN[0]]
        second.weight[0] = model.nets.rest.layers[0].weight[0]
    inputs_BTD = torch.randn(B, 1, D)
    found = model(inputs_BTD)
    torch.testing.assert_close(found.outputs_BKH, bottom(inputs_BTD).outputs_BKH)
    assert found.penalty < 1e-12


@pytest.mark.parametrize(("strength", "closer"), [(0.0, False), (5.0, True)])
def test_a_strong_spring_holds_nets_together_that_labels_pull_apart(strength, closer):
    model = soft(strength)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    inputs_BTD, targets_BKH = torch.randn(64, 1, D), torch.randn(1, K, HIDDEN[-1])
    for _ in range(200):
        optimiser.zero_grad()
        found = model(inputs_BTD)
        ((found.outputs_BKH - targets_BKH).square().mean() + found.penalty).backward()
        optimiser.step()
    numbers_KP = torch.stack([numbers_of(model, k) for k in range(K)]).detach()
    apart = (numbers_KP - numbers_KP.mean(0)).norm() / numbers_KP.norm()
    assert (apart < 0.05) == closer
