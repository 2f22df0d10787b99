import pytest
import torch

from recsys.config.architectures import CGCOptions, PLEOptions
from recsys.models.cgc import CGC
from recsys.models.ple import PLE
from tests.models import factory
from tests.models.plain import extracted, randomised

B, D, K = 9, 6, len(factory.KINDS)


def ple(**options):
    return randomised(PLE(PLEOptions(hidden=(5, 4), **options), factory.setting(d_in=D)))


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize(("own", "shared"), [(1, 2), (2, 1)])
def test_it_is_a_loop_over_levels_objectives_and_experts(levels, own, shared):
    model = ple(levels=levels, own_experts=own, shared_experts=shared).eval()
    inputs_BTD = torch.randn(B, 1, D)
    outputs, shared_path = [inputs_BTD[:, 0]] * K, inputs_BTD[:, 0]
    for level in model.levels:
        assert shared_path is not None
        outputs, shared_path = extracted(level, outputs, shared_path)
    assert shared_path is None  # nothing would read it above the last level
    torch.testing.assert_close(model(inputs_BTD).outputs_BKH, torch.stack(outputs, dim=1))


def test_without_shared_experts_there_is_no_shared_path():
    model = ple(levels=3, own_experts=2, shared_experts=0).eval()
    inputs_BTD = torch.randn(B, 1, D)
    outputs = [inputs_BTD[:, 0]] * K
    for level in model.levels:
        outputs, shared_path = extracted(level, outputs, None)
        assert shared_path is None
    torch.testing.assert_close(model(inputs_BTD).outputs_BKH, torch.stack(outputs, dim=1))


def test_one_level_is_customized_gate_control():
    model = ple(levels=1, own_experts=2, shared_experts=3).eval()
    cgc = CGC(CGCOptions(hidden=(5, 4), own_experts=2, shared_experts=3), factory.setting(d_in=D)).eval()
    cgc.level.load_state_dict(model.levels[0].state_dict())
    inputs_BTD = torch.randn(B, 1, D)
    one, other = model(inputs_BTD), cgc(inputs_BTD)
    assert torch.equal(one.outputs_BKH, other.outputs_BKH)
    assert torch.equal(one.shared, other.shared)
    assert torch.equal(one.show["gates, level 1"].values_KN, other.show["gates"].values_KN)


def test_every_level_above_the_first_reads_the_level_below_and_not_the_input():
    """With the lowest level silent nothing comes through, whatever the input."""
    model = ple(levels=2)
    with torch.no_grad():
        for net in (model.levels[0].experts.own, model.levels[0].experts.shared):
            net.layers[-1].weight.zero_()
            net.layers[-1].bias.zero_()
    outputs_BKH = model.eval()(torch.randn(B, 1, D)).outputs_BKH
    torch.testing.assert_close(outputs_BKH, outputs_BKH[:1].expand(B, -1, -1))


def test_the_shared_path_brings_an_objective_what_others_experts_found_below():
    model = ple(levels=2, own_experts=1, shared_experts=1)
    model(torch.randn(B, 1, D)).outputs_BKH[:, 0].sum().backward()
    below, last = (level.experts.own.layers[0].weight.grad.flatten(1).any(1).tolist() for level in model.levels)
    assert below == [True] * K
    assert last == [True] + [False] * (K - 1)


def test_it_shows_the_gates_of_every_level():
    show = ple(levels=3, own_experts=1, shared_experts=2)(torch.randn(B, 1, D)).show
    assert list(show) == ["gates, level 1", "gates, level 2", "gates, level 3"]
    for look in show.values():
        assert look.columns == ("own 1", "shared 1", "shared 2")
        torch.testing.assert_close(look.values_KN.sum(1), torch.ones(K))
