"""Which parameter learns at which rate, and what a checkpoint keeps of each."""

import pytest
import torch
from torch import nn

from recsys.balancing import build as build_balancer
from recsys.config import Train
from recsys.encoding import EncodedDays, batches
from recsys.losses import ObjectiveLosses
from recsys.models import build
from recsys.scoring.member import Member, new_member
from recsys.training.checkpoint import Saved
from recsys.training.loop import _set_learning_rate
from recsys.training.state import Place, State, optimisers
from tests.models import factory

from .conftest import DAYS, Toy, kinds_pipeline, pipeline_of
from .states import batch_of, forward, state_of

TRAIN = Train(embedding_learning_rate=5e-2, weight_decay=0.3, embedding_decay=0.2)


@pytest.fixture
def make_state(toy: Toy):
    def made() -> State:
        pipeline, days = pipeline_of(), EncodedDays(toy.encoded, [DAYS[0]])
        member = new_member(pipeline, days, 0)
        return State(
            member,
            build_balancer(pipeline.balance, pipeline.objective),
            *optimisers(member, TRAIN, 1e-3),
            Place(),
            window_4K=torch.zeros(4, len(pipeline.objective)),
        )

    return made


def _step(state: State, toy: Toy) -> None:
    batch = next(iter(batches(EncodedDays(toy.encoded, [DAYS[0]]), batch_size=64, order="time")))
    losses_K, _ = state.member.losses(state.member.ranker(batch, position="logged").outputs_BK, batch.labels)
    losses_K.sum().backward()
    for optimiser in (state.dense, state.tables):
        optimiser.step()
        optimiser.zero_grad()


def test_weights_alone_decay_and_the_bias_towers_tables_share_the_embeddings_rate(make_state) -> None:
    state = make_state()
    ranker = state.member.ranker
    found = {id(p): (group["full_lr"], group["weight_decay"]) for group in state.dense.param_groups for p in group["params"]}
    positions = list(ranker.bias_tower.parameters())
    assert [found[id(table)] for table in positions] == [(pytest.approx(5e-2 / 3), 0.0)] * 3
    for name, parameter in ranker.named_parameters():
        if name.startswith(("inputs.embeddings.", "bias_tower.")):
            continue
        assert found[id(parameter)] == (1e-3, 0.3 if name.endswith(".weight") else 0.0), name
    (table,) = state.tables.param_groups
    assert (table["full_lr"], table["decay"]) == (5e-2, 0.2)
    assert len(found) + len(table["params"]) == len(list(state.member.parameters()))  # the losses' thresholds too


def test_what_a_place_adds_first_moves_by_the_rate() -> None:
    """Adam's first step is lr · sign(g) in each of the tower's tables: their sum moves by lr, and so does that of one alone."""
    for positions, devices in ((4, 2), (4, 0), (0, 2)):
        place = (positions, devices)
        objectives = factory.objectives()
        layout = factory.layout(positions=positions, devices=devices)
        member = Member(build(factory.options(), layout, objectives, torch.zeros(len(objectives)), 1), ObjectiveLosses(objectives))
        batch = factory.batch(layout, 8)._replace(bias=torch.tensor([place]).repeat(8, 1))
        dense, _ = optimisers(member, TRAIN, 1e-3)
        member.ranker(batch, position="logged").outputs_BK.sum().backward()
        dense.step()
        added_K = member.ranker.bias_tower.curve()[place]
        torch.testing.assert_close(added_K, torch.tensor([-5e-2, -5e-2, -5e-2, 0.0]), rtol=1e-4, atol=0)


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("architecture", ["shared_bottom", "single_task", "stem"])
def test_a_vector_and_each_linear_weight_first_move_by_the_rate(architecture: str, skip: bool) -> None:
    """Adagrad's first step is lr · g / √mean(g²): of size lr in each block, whatever lies beside it in the row."""
    state, batch = state_of(architecture=architecture, skip=skip, d_embedding=4, train={"embedding_learning_rate": 5e-2}), batch_of()
    table = state.member.ranker.inputs.embeddings.tables.table
    before = table.detach().clone()
    forward(state, batch)[1].sum().backward()
    state.tables.step()
    moved = table.detach() - before
    vectors, weights = moved[:, :4], moved[:, 4:]
    for sizes in (vectors[vectors.any(dim=1)].square().mean(1).sqrt(), weights[weights != 0].abs()):
        torch.testing.assert_close(sizes, torch.full_like(sizes, 5e-2), rtol=1e-4, atol=0)
    assert vectors.any()
    assert weights.any() == skip
    assert state.tables.state[table]["sum"].shape == (len(table), 1 + weights.shape[1])


def test_thresholds_learn_with_the_biases(kinds_toy: Toy) -> None:
    member = new_member(kinds_pipeline(), EncodedDays(kinds_toy.encoded, [DAYS[0]]), 0)
    dense, tables = optimisers(member, TRAIN, 1e-3)
    found = {id(p): (group["full_lr"], group["weight_decay"]) for group in dense.param_groups for p in group["params"]}
    thresholds = list(member.losses.parameters())
    assert len(thresholds) == 2  # of stars and of watch times
    assert [found[id(parameter)] for parameter in thresholds] == [(1e-3, 0.0)] * 2
    assert len(found) + len(tables.param_groups[0]["params"]) == len(list(member.parameters()))


def test_a_schedule_scales_every_group_from_its_own_full_rate(make_state) -> None:
    state = make_state()
    for share in (0.5, 0.1):
        _set_learning_rate(state, share)
        groups = [*state.dense.param_groups, *state.tables.param_groups]
        assert [group["lr"] for group in groups] == pytest.approx([share * rate for rate in (1e-3, 1e-3, 5e-2 / 3, 5e-2)])


def test_a_restored_state_takes_the_same_next_step(make_state, toy: Toy) -> None:
    """Parameters and moments of all groups, the bias tower's among them."""
    torch.manual_seed(1)
    state, other = make_state(), make_state()
    _step(state, toy)
    saved = Saved({name: tensor.clone() for name, tensor in state.tensors().items()}, state.facts())
    _step(state, toy)
    other.restore(saved)
    _step(other, toy)
    ours, theirs = state.tensors(), other.tensors()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    moments = [values for parameter, values in other.dense.state.items() if parameter is other.member.ranker.bias_tower.tables["position"]]
    assert moments[0]["exp_avg"].any()
    assert moments[0]["step"] == 2


def test_a_checkpoint_of_a_gpu_is_gone_on_from_on_a_cpu(make_state) -> None:
    """As with `device = "auto"` on another machine."""
    state = make_state()
    saved = Saved({**state.tensors(), "random.cuda": torch.zeros(16, dtype=torch.uint8)}, state.facts())
    other = make_state()
    nn.init.ones_(other.member.ranker.bias_tower.tables["position"])
    other.restore(saved)
    assert not other.member.ranker.bias_tower.tables["position"].any()
