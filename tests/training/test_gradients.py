"""The gradients in the shared layer's weights and what is made of them, against one backward pass a loss and against TorchJD's own.

Shape letters: B rows, K objectives, T tables, D width of the inputs, H width of a layer, P weights of the shared layer.
"""

import pytest
import torch
import torchjd.aggregation as agg
from torchjd.autojac import jac_to_grad, mtl_backward

from recsys.nn.linear import unstacked
from recsys.training.gradients import (
    balanced_backward,
    cosines,
    gramian,
    heads_of,
    own_gradients,
    weight_gradients,
    weighted_branches,
)
from tests.balancing.factory import options as balance_options
from tests.models import factory
from tests.models.readers import readers

from .states import COUPLED, SHARING_NOTHING, THAT_SHARE, batch_of, forward, opposed, plain_gradients, state_of

pytestmark = pytest.mark.usefixtures("large_tables")

ways = pytest.mark.parametrize("architecture", THAT_SHARE)
both_kinds = pytest.mark.parametrize("kinds", [factory.KINDS, COUPLED], ids=["apart", "coupled"])
OF_LAYER = ("weight", "bias")
METADATA = {way: {"descriptor": "metadata"} for way in ("concat_task", "add_task", "film", "gated_independent")}


def doubled(state, batch):
    state.member.double()
    return forward(state, factory.double(batch))


# The weights that make what is shared, of those that several objectives change.
LAYER = {
    "shared_bottom": ["architecture.net.layers.0.weight"],
    "concat_task": ["architecture.net.layers.0.joint.weight"],
    "add_task": ["architecture.net.layers.0.linear.weight"],
    "film": ["architecture.net.layers.0.linear.weight"],
    "cross_stitch": ["architecture.rest.0.weight"],
    "sluice": ["architecture.rest.0.weight"],
    "mtan": ["architecture.layers.1.weight"],
    "deep_relationship": ["architecture.bottom.layers.0.weight"],
    "omoe": ["architecture.experts.first.weight"],
    "mmoe": ["architecture.experts.rest.layers.0.weight"],
    "cgc": ["architecture.level.experts.shared.layers.0.weight"],
    "ple": ["architecture.levels.1.experts.shared.layers.0.weight"],
    "home": ["architecture.task.group.last.weight", "architecture.task.shared.last.weight"],
    "stem": ["architecture.experts.shared.layers.0.weight"],
    "pepnet": ["hidden.layers.0.weight"],  # there the layer below it is the frame's
    "aitm": ["hidden.layers.0.weight"],
}


# --- The Gramian --------------------------------------------------------------------------------------------------
def by_hand(losses_K, parameters):
    """[K, K], by K backward passes into the parameters."""
    rows = [torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses_K]
    gradients_KP = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
    return gradients_KP @ gradients_KP.T


@ways
@both_kinds
def test_the_gramian_is_that_of_one_backward_pass_a_loss(architecture, kinds):
    state = state_of(architecture=architecture, kinds=kinds, dropout=0.3)
    output, losses_K = doubled(state, batch_of(kinds))
    found_KK = gramian(weight_gradients(losses_K, output, coupled=kinds is COUPLED))
    expected_KK = by_hand(losses_K, [state.member.ranker.get_parameter(name) for name in LAYER[architecture]])
    assert found_KK.dtype == torch.float64
    assert found_KK.diagonal().min() > 0
    torch.testing.assert_close(found_KK, expected_KK)


@pytest.mark.parametrize(
    ("architecture", "changes"), [("aitm", {}), ("pepnet", {}), ("cgc", {"shared_experts": 0}), ("ple", {"shared_experts": 0})]
)
@both_kinds
def test_without_a_layer_it_is_of_a_map_at_the_identity(architecture, changes, kinds, monkeypatch):
    """Put where the architecture reads the inputs."""
    state = state_of(architecture=architecture, kinds=kinds, d_shared=0, **({architecture: changes} if changes else {}))
    ranker = state.member.ranker
    found_KK = gramian(weight_gradients(*reversed(doubled(state, batch_of(kinds))), coupled=kinds is COUPLED))
    map_DD = torch.eye(ranker.inputs.d_out, dtype=torch.float64, requires_grad=True)
    monkeypatch.setattr(ranker, "_shared_layer", lambda inputs: unstacked(inputs.whole()) @ map_DD)
    _, losses_K = forward(state, factory.double(batch_of(kinds)))
    assert found_KK.diagonal().min() > 0
    torch.testing.assert_close(found_KK, by_hand(losses_K, [map_DD]))


def test_metadata_nets_share_their_weights():
    state = state_of(architecture="gated_independent", **METADATA)
    output, losses_K = doubled(state, batch_of())
    expected_KK = by_hand(losses_K, [state.member.ranker.architecture.nets.rest.layers[0].weight])
    torch.testing.assert_close(gramian(weight_gradients(losses_K, output, coupled=False)), expected_KK)


@pytest.mark.parametrize("architecture", ["shared_bottom", "mmoe"])
def test_conflict_shows_through_the_noise_of_the_rows(architecture):
    """In weights it adds up over the rows; row by row at the shared tensor the noise of the labels hides it."""
    state, batch = opposed(architecture, rows=20_000)
    output, losses_K = forward(state, batch)
    rows_KS = torch.stack([torch.autograd.grad(loss, output.shared, retain_graph=True)[0].flatten() for loss in losses_K]).double()
    assert abs(cosines(rows_KS @ rows_KS.T)[0, 1]) < 0.05
    assert cosines(gramian(weight_gradients(losses_K, output, coupled=False)))[0, 1] < -0.5


@pytest.mark.parametrize("architecture", SHARING_NOTHING)
def test_where_nothing_is_shared_there_is_none(architecture):
    output, _ = forward(state_of(architecture=architecture), batch_of())
    assert output.shared is None


def test_without_a_label_there_is_no_gradient():
    batch = batch_of()
    batch.labels[:, 2] = float("nan")
    output, losses_K = forward(state_of(), batch)
    found_KK = gramian(weight_gradients(losses_K, output, coupled=False))
    assert (found_KK[2] == 0).all()
    assert (found_KK[:, 2] == 0).all()
    assert (found_KK.diagonal() > 0).tolist() == [True, True, False, True]
    assert (cosines(found_KK)[2] == 0).all()
    torch.testing.assert_close(cosines(found_KK).diagonal(), torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=torch.float64))


# --- Heads and trunk ----------------------------------------------------------------------------------------------
def head_names(state, batch):
    random = torch.get_rng_state()
    heads = {id(parameter) for parameter in heads_of(state.member.ranker, batch)}
    assert torch.equal(torch.get_rng_state(), random), "a resumed run, which finds them anew, would draw other numbers"
    return {name for name, parameter in state.member.ranker.named_parameters() if id(parameter) in heads}


@torch.no_grad()
def moved(state, batch, before, parameter, change):
    """Whether the shared tensor has moved with the parameter, and which outputs have."""
    kept = parameter.clone()
    parameter += change
    after = state.member.ranker(batch, position="logged")
    parameter.copy_(kept)
    return not torch.equal(before.shared, after.shared), (before.outputs_BK != after.outputs_BK).any(0)


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [*((way, {}) for way in THAT_SHARE), *((way, METADATA) for way in METADATA if way in THAT_SHARE)],
    ids=lambda value: value if isinstance(value, str) else "metadata" if value else "",
)
def test_a_heads_number_moves_one_output(architecture, changes):
    """By moving the parameters themselves. The rest moves the shared tensor, or several outputs around it."""
    state, batch = state_of(architecture=architecture, **changes), batch_of()
    heads = head_names(state, batch)
    with torch.no_grad():
        before = state.member.ranker(batch, position="logged")
    draws = torch.Generator().manual_seed(0)
    for name, parameter in state.member.ranker.named_parameters():
        shared, outputs_K = moved(state, batch, before, parameter, torch.randn(parameter.shape, generator=draws))
        if name not in heads:
            assert shared or outputs_K.sum() > 1, name
            continue
        if architecture == "stem" and "experts.own" in name:  # read by all, changed by one: seen in the gradients below
            continue
        for place in torch.randint(parameter.numel(), (4,), generator=draws).tolist():
            one = torch.zeros(parameter.numel())
            one[place] = 1.0
            assert moved(state, batch, before, parameter, one.view(parameter.shape))[1].sum() <= 1, name


@ways
@pytest.mark.parametrize("kinds", [factory.KINDS, ("binary", "binary")], ids=["mixed", "one in each group"])
def test_heads_are_the_parameters_of_which_no_number_is_read_by_two_objectives(architecture, kinds):
    """By a backward pass through the whole net for each output. The numbers of a mixed one are told apart below."""
    state = state_of(architecture=architecture, kinds=kinds)
    heads = head_names(state, batch_of(kinds))
    for name, read_K in readers(state.member.ranker.double(), factory.double(batch_of(kinds))).items():
        assert (name in heads) == (read_K.sum(0) <= 1).all().item(), name


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("shared_bottom", set()),
        ("mmoe", {"architecture.gates.linear.weight"}),
        ("omoe", set()),  # one gate for all
        ("cgc", {"architecture.level.gates.linear.weight", *(f"architecture.level.experts.own.layers.0.{of}" for of in OF_LAYER)}),
        (
            "ple",  # the first level's own experts are read by the shared path too
            {
                *(f"architecture.levels.{n}.gates.linear.weight" for n in (0, 1)),
                *(f"architecture.levels.1.experts.own.layers.0.{of}" for of in OF_LAYER),
            },
        ),
    ],
)
def test_heads_of_the_usual_ways(architecture, expected):
    heads = head_names(state_of(architecture=architecture), batch_of())
    assert {name for name in heads if name.startswith("architecture.")} == expected
    assert {name.split(".")[0] for name in heads} == {"towers", "cross", "inputs", "bias_tower"} | ({"architecture"} if expected else set())


@ways
def test_a_fresh_net_has_the_heads_of_a_trained_one(architecture):
    """So a resumed run, which finds them anew, goes on alike."""
    fresh = head_names(state_of(architecture=architecture, noise=0.0), batch_of(seed=1))
    assert fresh == head_names(state_of(architecture=architecture), batch_of(seed=2))


def test_objectives_with_tables_of_their_own_have_cross_layers_of_their_own():
    def of_cross(architecture):
        return {name for name in head_names(state_of(architecture=architecture), batch_of()) if name.startswith("cross.")}

    assert of_cross("stem") == {"cross.down.weight", "cross.up.weight", "cross.up.bias", "cross.out.weight"}
    assert of_cross("mmoe") == {"cross.out.weight"}


# --- What is left in the parameters -------------------------------------------------------------------------------
@ways
@both_kinds
def test_heads_learn_their_own_loss_and_the_trunk_the_weighted_sum(architecture, kinds):
    """Against K backward passes through the whole net and one of the penalty; number by number, rows and columns of the tables too."""
    strong = {"deep_relationship": {"strength": 1.0}, "sluice": {"orthogonality": 1.0}}
    state = state_of(architecture=architecture, kinds=kinds, **strong)
    output, losses_K = doubled(state, batch_of(kinds))
    names = list(state.member.named_parameters())
    parameters = [parameter for _, parameter in names]
    by_loss = [plain_gradients(loss, parameters) for loss in losses_K]
    of_penalty = plain_gradients(output.penalty, parameters) if output.penalty.requires_grad else [0.0] * len(parameters)
    assert output.penalty.requires_grad == (architecture in strong)

    preferences_K, weights_K = (torch.tensor(numbers).double() for numbers in ([1.0, 2.0, 0.0, 0.5], [0.3, 0.0, 1.5, 2.0]))
    heads = [*heads_of(state.member.ranker, factory.double(batch_of(kinds))), *state.member.losses.parameters()]
    balance(state, heads, output, losses_K, preferences_K, weights_K, coupled=kinds is COUPLED)
    above = {id(parameter) for parameter in heads}
    read = readers(state.member.ranker, factory.double(batch_of(kinds)))
    for place, (name, parameter) in enumerate(names):
        own = torch.tensor(id(parameter) in above)
        if name.startswith("ranker.") and not name.startswith("ranker.architecture."):  # a way's layer of mixed numbers learns as one
            own = own | (read[name.removeprefix("ranker.")].sum(0) == 1)
        by_own, by_weight = (
            sum(factor * of[place] for factor, of in zip(factors_K, by_loss, strict=True)) for factors_K in (preferences_K, weights_K)
        )
        found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        expected = torch.where(own, by_own, by_weight) + of_penalty[place]
        torch.testing.assert_close(found.to_dense() if found.is_sparse else found, expected, msg=lambda text, name=name: f"{name}: {text}")


def balance(state, heads, output, losses_K, preferences_K, weights_K, *, coupled):
    own = own_gradients(losses_K, output, heads, preferences_K)
    gradients_KP = weight_gradients(losses_K, output, coupled=coupled)
    above = {id(parameter) for parameter in heads}
    trunk = [parameter for parameter in state.member.parameters() if id(parameter) not in above]
    balanced_backward(output, heads, trunk, own, weighted_branches(losses_K, output, weights_K), gradients_KP, weights_K)
    return trunk


@pytest.mark.parametrize(
    ("method", "aggregator", "factor"),
    [
        ("torchjd.upgrad", agg.UPGrad, 4),
        ("torchjd.mgda", agg.MGDA, 4),
        ("torchjd.imtl_g", agg.IMTLG, 4),
        ("torchjd.aligned_mtl", agg.AlignedMTL, 4),
        ("torchjd.cagrad", lambda: agg.CAGrad(c=0.5), 4),
        ("torchjd.pcgrad", agg.PCGrad, 1),
    ],
)
def test_the_shared_layers_gradient_is_torchjds(method, aggregator, factor):
    """TorchJD's mtl_backward from the towers' inputs into that layer's weights. Without paths around it."""
    from recsys import balancing

    state, batch = state_of(architecture="shared_bottom", skip=False, cross_rank=0, noise=0.3), batch_of()
    output, losses_K = doubled(state, batch)
    heads = heads_of(state.member.ranker, factory.double(batch))
    made = balancing.build(balance_options(method), state.member.losses.objectives)
    layer = state.member.ranker.get_parameter(LAYER["shared_bottom"][0])
    torch.manual_seed(3)
    weights_K = made(losses_K.detach(), None, gramian(weight_gradients(losses_K, output, coupled=False)))
    balance(state, heads, output, losses_K, torch.ones(4).double(), weights_K, coupled=False)
    found = layer.grad

    state.member.zero_grad()
    output, losses_K = forward(state, factory.double(batch))
    towers = list(state.member.ranker.towers.parameters())
    mtl_backward(list(losses_K), output.read_BKH, tasks_params=[towers] * 4, shared_params=[layer], retain_graph=True)
    torch.manual_seed(3)
    jac_to_grad([layer], aggregator())
    torch.testing.assert_close(found, factor * layer.grad, rtol=1e-4, atol=1e-7)
