"""The gradients at the shared tensor and what is made of them, against one backward pass a loss and against TorchJD's own.

Shape letters: B rows, K objectives, H width of a layer, S numbers of the shared tensor.
"""

import pytest
import torch
import torchjd.aggregation as agg
from torchjd.autojac import jac_to_grad, mtl_backward

from recsys.training.gradients import balanced_backward, cosines, gradients_at_shared, gramian, heads_of
from tests.balancing.factory import options as balance_options
from tests.models import factory

from .states import COUPLED, SHARING_NOTHING, THAT_SHARE, batch_of, forward, plain_gradients, state_of

ways = pytest.mark.parametrize("sharing", THAT_SHARE)
both_kinds = pytest.mark.parametrize("kinds", [factory.KINDS, COUPLED], ids=["apart", "coupled"])
METADATA = {way: {"descriptor": "metadata"} for way in ("concat_task", "add_task", "film", "gated_independent")}


def doubled(state, batch):
    state.member.double()
    return forward(state, factory.double(batch))


# --- The Gramian --------------------------------------------------------------------------------------------------
@ways
@both_kinds
def test_the_gramian_is_that_of_one_backward_pass_a_loss(sharing, kinds):
    output, losses_K = doubled(state_of(sharing=sharing, kinds=kinds), batch_of(kinds))
    found_KK = gramian(gradients_at_shared(losses_K, output, coupled=kinds is COUPLED))
    output.shared.retain_grad()
    rows = []
    for loss in losses_K:
        output.shared.grad = None
        loss.backward(retain_graph=True)
        rows.append(output.shared.grad.flatten())
    gradients_KS = torch.stack(rows)
    assert found_KK.dtype == torch.float64
    assert found_KK.diagonal().min() > 0
    torch.testing.assert_close(found_KK, gradients_KS @ gradients_KS.T)


def test_metadata_nets_share_their_outputs():
    output, losses_K = doubled(state_of(sharing="gated_independent", **METADATA), batch_of())
    gradients_KS = torch.stack([torch.autograd.grad(loss, output.shared, retain_graph=True)[0].flatten() for loss in losses_K])
    torch.testing.assert_close(gramian(gradients_at_shared(losses_K, output, coupled=False)), gradients_KS @ gradients_KS.T)


@pytest.mark.parametrize("sharing", SHARING_NOTHING)
def test_where_nothing_is_shared_there_is_none(sharing):
    output, _ = forward(state_of(sharing=sharing), batch_of())
    assert output.shared is None


def test_a_long_gradient_is_multiplied_in_parts():
    gradients_KS = torch.randn(3, 200_001, dtype=torch.float64)
    torch.testing.assert_close(gramian(list(gradients_KS)), gradients_KS @ gradients_KS.T)


def test_without_a_label_there_is_no_gradient():
    batch = batch_of()
    batch.labels[:, 2] = float("nan")
    output, losses_K = forward(state_of(), batch)
    found_KK = gramian(gradients_at_shared(losses_K, output, coupled=False))
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
def moved(state, batch, parameter, change):
    """Whether the shared tensor has moved with the parameter, and which outputs have."""
    before = state.member.ranker(batch, position="logged")
    kept = parameter.clone()
    parameter += change
    after = state.member.ranker(batch, position="logged")
    parameter.copy_(kept)
    return not torch.equal(before.shared, after.shared), (before.outputs_BK != after.outputs_BK).any(0)


@ways
@pytest.mark.parametrize("changes", [{}, METADATA], ids=["", "metadata"])
def test_a_heads_number_moves_one_output_and_not_what_is_shared(sharing, changes):
    """By moving the parameters themselves. The rest moves the shared tensor, or several outputs around it."""
    if changes and sharing not in METADATA:
        return
    state, batch = state_of(sharing=sharing, **changes), batch_of()
    heads = head_names(state, batch)
    draws = torch.Generator().manual_seed(0)
    for name, parameter in state.member.ranker.named_parameters():
        shared, outputs_K = moved(state, batch, parameter, torch.randn(parameter.shape, generator=draws))
        if name not in heads:
            assert shared or outputs_K.sum() > 1, name
            continue
        assert not shared, name
        for place in torch.randint(parameter.numel(), (4,), generator=draws).tolist():
            one = torch.zeros(parameter.numel())
            one[place] = 1.0
            assert moved(state, batch, parameter, one.view(parameter.shape))[1].sum() <= 1, name


@pytest.mark.parametrize(
    ("sharing", "expected"),
    [
        ("shared_bottom", set()),
        ("mmoe", {"sharing.gates.linear.weight"}),
        ("omoe", set()),  # one gate for all
        ("cgc", {"sharing.level.gates.linear.weight"}),
        ("ple", {"sharing.levels.1.gates.linear.weight"}),  # those of the first level lie under the experts of the last
    ],
)
def test_heads_of_the_usual_ways(sharing, expected):
    heads = head_names(state_of(sharing=sharing), batch_of())
    assert {name for name in heads if name.startswith("sharing.")} == expected
    assert {name.split(".")[0] for name in heads} == {"towers", "cross", "inputs", "bias_tower"} | ({"sharing"} if expected else set())


@ways
def test_a_fresh_net_has_the_heads_of_a_trained_one(sharing):
    """So a resumed run, which finds them anew, goes on alike."""
    fresh = head_names(state_of(sharing=sharing, noise=0.0), batch_of(seed=1))
    assert fresh == head_names(state_of(sharing=sharing), batch_of(seed=2))


def test_objectives_with_tables_of_their_own_have_cross_layers_of_their_own():
    def of_cross(sharing):
        return {name for name in head_names(state_of(sharing=sharing), batch_of()) if name.startswith("cross.")}

    assert of_cross("stem") == {"cross.down.weight", "cross.up.weight", "cross.up.bias", "cross.out.weight"}
    assert of_cross("mmoe") == {"cross.out.weight"}


# --- What is left in the parameters -------------------------------------------------------------------------------
@ways
@both_kinds
def test_heads_learn_their_own_loss_and_the_trunk_the_weighted_sum(sharing, kinds):
    """Against K backward passes through the whole net and one of the penalty."""
    strong = {"deep_relationship": {"strength": 1.0}, "sluice": {"orthogonality": 1.0}}
    state = state_of(sharing=sharing, kinds=kinds, **strong)
    output, losses_K = doubled(state, batch_of(kinds))
    parameters = list(state.member.parameters())
    by_loss = [plain_gradients(loss, parameters) for loss in losses_K]
    of_penalty = plain_gradients(output.penalty, parameters) if output.penalty.requires_grad else [0.0] * len(parameters)
    assert output.penalty.requires_grad == (sharing in strong)

    preferences_K, weights_K = (torch.tensor(numbers).double() for numbers in ([1.0, 2.0, 0.0, 0.5], [0.3, 0.0, 1.5, 2.0]))
    heads = heads_of(state.member.ranker, factory.double(batch_of(kinds)))
    above = {id(parameter) for parameter in heads}
    trunk = [parameter for parameter in parameters if id(parameter) not in above]
    balanced_backward(losses_K, output, heads, trunk, preferences_K=preferences_K, weights_K=weights_K)
    for place, parameter in enumerate(parameters):
        factors_K = preferences_K if id(parameter) in above else weights_K
        expected = sum(factor * own[place] for factor, own in zip(factors_K, by_loss, strict=True)) + of_penalty[place]
        found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(found.to_dense() if found.is_sparse else found, expected)


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
def test_the_trunks_gradient_is_torchjds(method, aggregator, factor):
    """TorchJD's mtl_backward on the towers above the shared layer, then plain backpropagation below it. Without paths around."""
    from recsys import balancing

    state, batch = state_of(sharing="shared_bottom", skip=False, cross_rank=0, noise=0.3), batch_of()
    output, losses_K = doubled(state, batch)
    ranker, heads = state.member.ranker, heads_of(state.member.ranker, factory.double(batch))
    above = {id(parameter) for parameter in heads}
    trunk = [parameter for parameter in ranker.parameters() if id(parameter) not in above]
    made = balancing.build(balance_options(method), state.member.losses.objectives)
    torch.manual_seed(3)
    weights_K = made(losses_K.detach(), None, gramian(gradients_at_shared(losses_K, output, coupled=False)))
    balanced_backward(losses_K, output, heads, trunk, preferences_K=torch.ones(4).double(), weights_K=weights_K)
    found = [parameter.grad for parameter in trunk]

    shared_BH = forward(state, factory.double(batch))[0].shared
    leaf_BH = shared_BH.detach().requires_grad_()
    read_BKH = (1.0 * leaf_BH).unsqueeze(1).expand(-1, 4, -1)
    outputs_BK = ranker.towers(read_BKH) + ranker.bias_tower(batch.bias)
    theirs_K = state.member.losses(outputs_BK, *(tensor.double() for tensor in (batch.labels, batch.durations, batch.weights)))[0]
    for parameter in ranker.parameters():
        parameter.grad = None
    mtl_backward(list(theirs_K), read_BKH, tasks_params=[list(ranker.towers.parameters())] * 4, shared_params=[leaf_BH], retain_graph=True)
    torch.manual_seed(3)
    jac_to_grad([leaf_BH], aggregator())
    expected = torch.autograd.grad(shared_BH, trunk, factor * leaf_BH.grad)
    for ours, theirs in zip(found, expected, strict=True):
        ours, theirs = (gradient.to_dense() if gradient.is_sparse else gradient for gradient in (ours, theirs))
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)
