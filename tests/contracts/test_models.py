"""What every architecture keeps, whatever the kinds of label."""

import copy
from functools import cache

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from recsys.config import Model
from recsys.encoding.layout import PADDING_ROW
from recsys.losses import ObjectiveLosses
from recsys.models import ARCHITECTURES, Ranker, build
from recsys.models.wiring import Match, by_name, by_place, matched
from recsys.nn import embeddings
from recsys.nn.gates import Gates, OwnGates
from recsys.nn.linear import product
from tests.models import factory, known_truth
from tests.models.readers import own_blocks, readers
from tests.spread import spread

FUNNEL = ("binary", "binary|0", "binary|1", "binary")
PAIRS = ("binary", "binary|0", "binary", "binary|2")
MIXES = {
    "one": ("binary",),
    "binaries": ("binary", "binary", "binary"),
    "funnel": FUNNEL,
    "numbers": ("watch_time", "regression", "huber"),
    "every kind": (
        "binary",
        "regression",
        "huber",
        "watch_time",
        "weighted_logistic",
        "d2q",
        "ordinal",
        "binary|0",
        "distribution",
        "by_length",
    ),
}


def of_ways(**changes):
    """The changes of each way that has such an option."""
    found = {way: {name: value for name, value in changes.items() if hasattr(getattr(Model(), way), name)} for way in ARCHITECTURES}
    return {way: own for way, own in found.items() if own}


OTHERWISE = of_ways(top_k=2, descriptor="metadata")
CHANGES = {
    "no history": {"shape": {"history_length": 0}},
    "no bias": {"shape": {"positions": 0, "devices": 0}},
    "only devices": {"shape": {"positions": 0}, "position": "input"},
    "position as input": {"position": "input"},
    "blind": {"position": "blind"},
    "bare": {"skip": False, "cross_rank": 0, "d_shared": 0},
    "a share": {"input_share": 0.6},
    "all dropouts": {"dropout": 0.3, "position_dropout": 0.3, **of_ways(expert_dropout=0.3)},
    "otherwise": OTHERWISE,
}
SAVED = {"as it is": {}, "a share": {"input_share": 0.6}, "otherwise": OTHERWISE}
B = 64
GATED = sorted(way for way in ARCHITECTURES if hasattr(getattr(Model(), way), "top_k"))
NOTHING_SHARED = {"single_task", "soft", "gated_independent"}  # ways in which no activation is read by two objectives
READS_ORDER = {"aitm"}  # ways that read the objectives' order where no objective is given another

WAYS = sorted(ARCHITECTURES)
architectures = pytest.mark.parametrize("architecture", WAYS)
of_mixes = pytest.mark.parametrize(("architecture", "mix"), spread(WAYS, MIXES, over=2))


def ranker(architecture, kinds=factory.KINDS, *, seed=1, shape=None, order=None, **changes) -> tuple[Ranker, factory.Layout]:
    """A fresh ranker and its layout; of objectives in another order, the starting outputs go with them."""
    order = torch.arange(len(kinds)) if order is None else order
    objectives = [factory.objectives(kinds)[k] for k in order]
    layout = factory.layout(len(kinds), **(shape or {})).model_copy(update={"objectives": tuple(o.name for o in objectives)})
    starts_K = torch.linspace(-1.0, 1.0, len(kinds))
    return build(factory.options(architecture=architecture, **changes), layout, objectives, starts_K[order], seed), layout


def fitted(example, kinds):
    return ObjectiveLosses.fit(factory.objectives(kinds), example.labels.numpy(), example.durations.numpy(), example.weights.numpy())


def losses_of(model, losses, example):
    return losses(model(example, position="logged").outputs_BK, example.labels, example.durations, example.weights)[0]


def descend(model, example, kinds=factory.KINDS, num=2):
    """Steps of plain gradient descent: past two of them nothing waits behind a weight that started at zero."""
    losses = fitted(example, kinds)
    optimiser = torch.optim.SGD([*model.parameters(), *losses.parameters()], lr=0.1)
    for _ in range(num):
        optimiser.zero_grad()
        losses_of(model, losses, example).sum().backward()
        optimiser.step()
    return losses


def trained(architecture, kinds=factory.KINDS, **changes):
    """A ranker after two steps, a batch that it has not seen."""
    return trained_anew(architecture, kinds, **changes) if changes else copy.deepcopy(trained_once(architecture, kinds))


def trained_anew(architecture, kinds, **changes):
    model, layout = ranker(architecture, kinds, **changes)
    descend(model, factory.batch(layout, B, kinds=kinds), kinds)
    return model.eval(), factory.batch(layout, B, seed=9, kinds=kinds)


trained_once = cache(trained_anew)  # of which each test gets a copy


def gradients(model, losses, example):
    for parameter in [*model.parameters(), *losses.parameters()]:
        parameter.grad = None
    values_K = losses_of(model, losses, example)
    values_K.sum().backward()
    named = [*model.named_parameters(), *losses.named_parameters()]
    return values_K, {name: p.grad.to_dense() if p.grad.is_sparse else p.grad for name, p in named if p.grad is not None}


def row(example, start, stop):
    return type(example)(*(tensor[start:stop] for tensor in example))


# --- Fresh --------------------------------------------------------------------------------------------------------
@of_mixes
def test_a_fresh_model_says_the_best_constant(architecture, mix):
    kinds = MIXES[mix]
    model, layout = ranker(architecture, kinds)
    output = model(factory.batch(layout, B, kinds=kinds), position="logged")
    torch.testing.assert_close(output.outputs_BK, torch.linspace(-1.0, 1.0, len(kinds)).expand(B, -1), rtol=0, atol=0)
    assert output.penalty.shape == ()
    assert output.penalty.isfinite()


@architectures
def test_parameter_groups_add_up(architecture):
    model, _ = ranker(architecture)
    groups = model.parameter_groups()
    everything = [id(parameter) for group in groups for parameter in group]
    assert sorted(everything) == sorted(id(parameter) for parameter in model.parameters())
    assert {id(p) for p in model.embedding_parameters()} | {id(p) for p in model.dense_parameters()} == set(everything)
    assert [id(p) for p in groups.embedding] == [id(model.inputs.embeddings.tables.table)]
    assert [id(p) for p in groups.positions] == [id(table) for table in model.bias_tower.parameters()]
    assert len(groups.positions) == 3
    assert id(model.towers.heads.bias) in {id(p) for p in groups.biases}


@architectures
def test_a_seed_is_a_model_and_a_run(architecture):
    def run(seed):
        torch.manual_seed(3)
        model, layout = ranker(architecture, seed=seed, **CHANGES["all dropouts"])
        drawn = torch.rand(1)
        descend(model, factory.batch(layout, B))
        return drawn, [parameter.detach() for parameter in model.parameters()]

    (drawn, first), (_, again), (other_drawn, other) = run(1), run(1), run(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert drawn == other_drawn  # building leaves the global random state as it was


# --- Gradients ----------------------------------------------------------------------------------------------------
@of_mixes
def test_a_gradient_reaches_every_parameter(architecture, mix):
    kinds = MIXES[mix]
    model, layout = ranker(architecture, kinds)
    example = factory.batch(layout, B, kinds=kinds)
    losses = descend(model, example, kinds)
    _, grads = gradients(model, losses, example)
    names = [name for name, _ in [*model.named_parameters(), *losses.named_parameters()]]
    assert [name for name in names if name not in grads or not grads[name].any()] == []
    assert all(grad.isfinite().all() for grad in grads.values())


@architectures
def test_an_objective_without_labels_gets_no_gradient(architecture):
    kinds = ("binary", "watch_time", "ordinal", "huber")
    model, example = trained(architecture, kinds)
    losses = fitted(factory.batch(factory.layout(), B, kinds=kinds), kinds)
    read = readers(model, example)
    for k in range(len(kinds)):
        labels = example.labels.clone()
        labels[:, k] = float("nan")
        values_K, grads = gradients(model, losses, example._replace(labels=labels))
        assert values_K[k] == 0.0
        assert (values_K[torch.arange(len(kinds)) != k] > 0).all()
        assert all(grad.isfinite().all() for grad in grads.values())
        for name, read_K in read.items():
            own = read_K[k] & (read_K.sum(0) == 1)
            assert not grads[name][own].any(), (k, name)
        assert grads["towers.heads.weight"][(k + 1) % len(kinds)].any()


@architectures
def test_what_is_an_objectives_own_no_other_reads(architecture):
    model, example = trained(architecture)
    for name, read_K in readers(model, example).items():
        blocks_KK = own_blocks(model, architecture, name, read_K)
        if blocks_KK is None:
            assert (read_K.sum(0) > 1).any() or "transfer.handed" in name, f"{name} belongs into OWN"
        else:
            each = torch.tensor([o.sees_position or not name.startswith("bias_tower") for o in factory.objectives()])
            assert torch.equal(blocks_KK, torch.diag(each)), name


@architectures
def test_all_objectives_pull_at_what_is_shared(architecture):
    model, example = trained(architecture)
    output = model(example, position="logged")
    assert (output.shared is None) == (architecture in NOTHING_SHARED)
    assert getattr(factory.options(), architecture).shares == (architecture not in NOTHING_SHARED), "the TOML is refused by this"
    if output.shared is not None:
        for k in range(len(factory.KINDS)):
            (grad,) = torch.autograd.grad(output.outputs_BK[:, k].sum(), output.shared, retain_graph=True)
            assert grad.any(), k
            assert grad.isfinite().all()


# --- Rows, objectives, numbers ------------------------------------------------------------------------------------
@of_mixes
def test_a_row_alone_is_a_row_among_others(architecture, mix):
    model, example = trained(architecture, MIXES[mix])
    whole = model(example, position="logged").outputs_BK
    alone = model(row(example, 5, 6), position="logged").outputs_BK
    torch.testing.assert_close(alone, whole[5:6], rtol=1e-5, atol=1e-5)
    assert whole.std(dim=0).min() > 0.01  # the rows do differ


@architectures
@torch.no_grad()
def test_a_row_has_the_same_bits_wherever_it_stands_if_products_have(architecture):
    """But for a few rows at the end: there torch computes a sigmoid by another function."""
    rows, layout, generator = 3_001, factory.layout(), torch.Generator().manual_seed(0)
    order = torch.randperm(rows, generator=generator)
    for width in (4, 5, 6, 8, 12, 16, 24, 32, 64, 128, 256):
        x_ND, weight_DH = (torch.randn(shape, generator=generator) for shape in ((rows, 128), (128, width)))
        in_place, moved = product(x_ND[None], weight_DH[None]), product(x_ND[order][None], weight_DH[None])
        if not torch.equal(moved, in_place[:, order]):
            pytest.skip(f"on this processor a row's place changes the last digit of a product with {width} columns")
    model = build(Model(architecture=architecture), layout, factory.objectives(), torch.zeros(len(factory.KINDS)), 1).eval()
    for parameter in model.parameters():
        parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    batch = factory.batch(layout, rows)
    found_BK = model(batch, position="logged").outputs_BK
    moved_BK = model(type(batch)(*(tensor[order] for tensor in batch)), position="logged").outputs_BK
    assert (moved_BK != found_BK[order]).any(dim=1).sum() <= 4


@architectures
def test_a_row_alone_can_be_learned(architecture):
    model, example = trained(architecture)
    losses = fitted(example, factory.KINDS)
    known = example._replace(labels=example.labels.nan_to_num(1.0))
    values_K, grads = gradients(model.train(), losses, row(known, 5, 6))
    assert values_K.isfinite().all()
    assert all(grad.isfinite().all() for grad in grads.values())


@architectures
@pytest.mark.parametrize("kinds", [factory.KINDS, FUNNEL, PAIRS], ids=["mixed", "funnel", "pairs"])
def test_the_order_of_objectives_means_nothing(architecture, kinds):
    """Every number is put where the words of its tensor's axes say that it lies, so a wrong word shows here too."""
    if architecture in READS_ORDER and kinds == factory.KINDS:
        pytest.skip("without given this way reads the order: its docstring says so")
    (model, layout), order = ranker(architecture, kinds), torch.tensor([2, 0, 3, 1])
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():  # nothing stays at zero, where a wrong place would not be seen
            parameter += 0.2 * torch.randn(parameter.shape, generator=draws)
        model.inputs.embeddings.tables.table.view(model.inputs.num_tables, layout.num_rows, -1)[:, PADDING_ROW] = 0.0
    model, example = model.eval(), factory.batch(layout, B, seed=9, kinds=kinds)
    other = ranker(architecture, kinds, order=order)[0].eval()
    other.load_state_dict(permuted(model, other, layout, order))
    expected, found = model(example, position="logged"), other(example, position="logged")
    torch.testing.assert_close(found.outputs_BK, expected.outputs_BK[:, order], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.penalty, expected.penalty)
    assert not torch.allclose(expected.outputs_BK[:, 0], expected.outputs_BK[:, 1], atol=1e-2)


def permuted(model, other, layout, order):
    """The numbers of a ranker in the places that they have in the other, whose k-th objective was the `order[k]`-th."""
    named = {"k": Match(order.numpy(), len(order)), "g": by_place(2), "d": by_place(layout.devices + 1), "r": by_place(layout.num_rows)}
    there = model.architecture.axis_names()
    named |= {name: by_name(labels, there[name]) for name, labels in other.architecture.axis_names().items()}
    state = {}
    for name, tensor in model.state_dict().items():
        for axis, word in enumerate(other.words(name)):
            tensor = tensor.index_select(axis, torch.from_numpy(matched(word, tensor.shape[axis], named).there_N))
        state[name] = tensor
    return state


@architectures
def test_bf16_and_float64_agree(architecture):
    model, example = trained(architecture)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = model(example, position="logged").outputs_BK
    high = model.double()(factory.double(example), position="logged").outputs_BK
    assert low.dtype == torch.float32
    assert high.dtype == torch.float64
    torch.testing.assert_close(low.double(), high, rtol=0.02, atol=0.02 * high.std().item())


@pytest.mark.parametrize(("architecture", "change"), spread(WAYS, SAVED, over=2))
def test_saved_and_loaded_it_says_the_same_bits(architecture, change):
    changes = SAVED[change]
    model, example = trained(architecture, **changes)
    layout, options = factory.layout(), factory.options(architecture=architecture, **changes)
    fresh = build(options, layout, factory.objectives(), torch.zeros(4), 1)  # what loads knows no labels, and so no starting outputs
    fresh.load_state_dict(load(save(model.state_dict())))
    torch.testing.assert_close(
        fresh.eval()(example, position="logged").outputs_BK, model(example, position="logged").outputs_BK, rtol=0, atol=0
    )


@architectures
def test_inputs_are_left_as_they_were(architecture):
    model, layout = ranker(architecture)
    example = factory.batch(layout, B)
    copies = type(example)(*(tensor.clone() for tensor in example))
    descend(model, example)
    for tensor, before in zip(example, copies, strict=True):
        torch.testing.assert_close(tensor, before, rtol=0, atol=0, equal_nan=True)


# --- What is shown ------------------------------------------------------------------------------------------------
@architectures
@pytest.mark.parametrize("kinds", [MIXES["one"], factory.KINDS], ids=["one", "mixed"])
def test_looks_have_a_row_an_objective(architecture, kinds):
    model, example = trained(architecture, kinds)
    for title, look in model(example, position="logged").show.items():
        assert look.values_KN.shape == (len(kinds), len(look.columns)), title
        assert not look.values_KN.requires_grad
        assert look.values_KN.isfinite().all()
        if look.polarised_K is not None:  # gates
            torch.testing.assert_close(look.values_KN.sum(1), torch.ones(len(kinds)))
            assert look.values_KN.min() >= 0
            assert look.polarised_K.shape == (len(kinds),)
            assert 0 <= look.polarised_K.min() <= look.polarised_K.max() <= 1


# --- The position -------------------------------------------------------------------------------------------------
@architectures
def test_a_missing_position_is_code_0(architecture):
    for how in ("tower", "input"):
        model, example = trained(architecture, position=how)
        unplaced = example._replace(bias=example.bias * torch.tensor([0, 1]))
        missing = model(example, position="missing").outputs_BK
        torch.testing.assert_close(missing, model(unplaced, position="logged").outputs_BK, rtol=0, atol=0)
        assert (missing - model(example, position="logged").outputs_BK).abs()[:, 0].max() > 1e-3


@architectures
def test_only_engagement_sees_the_position_through_the_tower(architecture):
    model, example = trained(architecture)
    moved = example._replace(bias=torch.zeros_like(example.bias))
    change_K = (model(moved, position="logged").outputs_BK - model(example, position="logged").outputs_BK).abs().amax(0)
    assert (change_K[:-1] > 1e-4).all()
    assert change_K[-1] == 0.0


@architectures
def test_a_blind_model_sees_no_position(architecture):
    model, example = trained(architecture, position="blind")
    moved = example._replace(bias=torch.zeros_like(example.bias))
    assert torch.equal(model(moved, position="logged").outputs_BK, model(example, position="logged").outputs_BK)


# --- Learning -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("architecture", "change"), spread(WAYS, CHANGES, over=5))
def test_every_option_learns(architecture, change):
    torch.manual_seed(0)
    changes = CHANGES[change]
    model, layout = ranker(architecture, **changes)
    example = factory.batch(layout, B)
    losses = descend(model, example, num=20)
    fresh, _ = ranker(architecture, **changes)
    assert losses_of(model.eval(), losses, example).sum() < losses_of(fresh.eval(), losses, example).sum() - 0.3


@pytest.mark.parametrize(("architecture", "missing"), spread(WAYS, ("dense", "slots"), over=2))
def test_a_log_without_numbers_or_without_categories_is_learned_too(architecture, missing):
    layout = factory.layout(history_length=0).model_copy(update={missing: ()})
    model = build(factory.options(architecture=architecture), layout, factory.objectives(), torch.zeros(4), 1)
    example = factory.batch(layout, B)
    losses = descend(model, example, num=30)
    before_K, _ = losses(torch.zeros(B, 4), example.labels, example.durations, example.weights)
    assert (losses_of(model, losses, example) < before_K).all()


@pytest.mark.parametrize("architecture", factory.one_of_its_like(WAYS))
def test_it_learns_nearly_all_there_is_to_learn(architecture, monkeypatch):
    """Labels of known truth: of what is explainable, at least nine tenths on rows that were not trained on."""
    monkeypatch.setattr(embeddings, "DENSE_ROWS", 0)  # Adam of the rows that a batch touches wants sparse gradients
    torch.manual_seed(0)
    train, test = known_truth.drawn(8192, seed=1), known_truth.drawn(4096, seed=2)
    objectives = factory.objectives(known_truth.KINDS)
    losses = ObjectiveLosses.fit(objectives, train.batch.labels.numpy(), train.batch.durations.numpy())
    model = build(factory.options(architecture=architecture, d_shared=32), factory.layout(len(objectives)), objectives, losses.start_K, 1)
    with torch.no_grad():
        constant_K = known_truth.losses_of(test, losses, losses.start_K.float().expand(4096, -1))
        best_K = known_truth.best_losses(train, test, losses)
    fit(model, losses, train.batch, passes=4)
    with torch.no_grad():
        reached_K = known_truth.losses_of(test, losses, model.eval()(test.batch, position="logged").outputs_BK)
    explained_K = (constant_K - reached_K) / (constant_K - best_K)
    assert (explained_K > 0.9).all(), explained_K


def fit(model: Ranker, losses: nn.Module, train, *, passes, rows=512):
    dense = [*model.dense_parameters(), *losses.parameters()]
    optimisers = [torch.optim.AdamW(dense, lr=8e-3), torch.optim.SparseAdam(model.embedding_parameters(), lr=4e-2)]
    for _ in range(passes):
        for index in torch.randperm(len(train.dense)).split(rows):
            batch = type(train)(*(tensor[index] for tensor in train))
            for optimiser in optimisers:
                optimiser.zero_grad()
            output = model.train()(batch, position="logged")
            (losses(output.outputs_BK, batch.labels, batch.durations)[0].sum() + output.penalty).backward()
            for optimiser in optimisers:
                optimiser.step()


@pytest.mark.parametrize("num", [2, 5])
@pytest.mark.parametrize("architecture", GATED)
def test_an_objective_s_gate_mixes_as_many_experts_as_its_options_say(architecture, num):
    """`top_k` is refused by this number before anything is built."""
    objectives = factory.objectives(("binary",) * num)
    options = factory.options(architecture=architecture)
    model = build(options, factory.layout(num), objectives, torch.zeros(num), 1)
    gates = [gate for gate in model.modules() if isinstance(gate, (Gates, OwnGates))]
    mixed = {gate.shape[1] if isinstance(gate, Gates) else gate.linear.weight.shape[2] for gate in gates}
    assert getattr(options, architecture).experts_of_a_gate(num) in mixed
