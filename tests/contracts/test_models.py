"""What every way of sharing keeps, whatever the kinds of label."""

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from recsys.losses import ObjectiveLosses
from recsys.models import SHARING, build
from tests.models import factory

MIXES = {
    "one": ("binary",),
    "binaries": ("binary", "binary", "binary"),
    "mixed": factory.KINDS,
    "numbers": ("watch_time", "regression"),
}
CHANGES = {
    "no history": {"shape": {"history_length": 0}},
    "no bias": {"shape": {"positions": 0, "devices": 0}},
    "only devices": {"shape": {"positions": 0}, "position": "input"},
    "position as input": {"position": "input"},
    "blind": {"position": "blind"},
    "bare": {"skip": False, "cross_rank": 0, "d_shared": 0},
    "a share": {"input_share": 0.6},
    "all dropouts": {"dropout": 0.3, "position_dropout": 0.3, "mmoe": {"num_experts": 3, "hidden": (8,), "expert_dropout": 0.3}},
}
B = 64

sharings = pytest.mark.parametrize("sharing", sorted(SHARING))
mixes = pytest.mark.parametrize("kinds", MIXES.values(), ids=MIXES)


def ranker(sharing, kinds=factory.KINDS, *, seed=1, shape=None, **changes):
    """A fresh ranker and its layout."""
    layout = factory.layout(len(kinds), **(shape or {}))
    starts_K = torch.linspace(-1.0, 1.0, len(kinds))
    return build(factory.options(sharing=sharing, **changes), layout, factory.objectives(kinds), starts_K, seed), layout


def descend(model, example, kinds=factory.KINDS, num=2):
    """Steps of plain gradient descent: past two of them nothing waits behind a weight that started at zero."""
    losses = ObjectiveLosses.fit(factory.objectives(kinds), example.labels.numpy())
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(num):
        optimiser.zero_grad()
        losses(model(example, position="logged").outputs_BK, example.labels)[0].sum().backward()
        optimiser.step()
    return losses


def trained(sharing, kinds=factory.KINDS, **changes):
    """A ranker after two steps, a batch that it has not seen."""
    model, layout = ranker(sharing, kinds, **changes)
    descend(model, factory.batch(layout, B, kinds=kinds), kinds)
    return model.eval(), factory.batch(layout, B, seed=9, kinds=kinds)


def gradients(model, example, kinds=factory.KINDS):
    losses = ObjectiveLosses.fit(factory.objectives(kinds), factory.batch(factory.layout(len(kinds)), B, kinds=kinds).labels.numpy())
    model.zero_grad()
    values_K, _ = losses(model(example, position="logged").outputs_BK, example.labels)
    values_K.sum().backward()
    return values_K, {name: p.grad.to_dense() if p.grad.is_sparse else p.grad for name, p in model.named_parameters()}


@sharings
@mixes
def test_a_fresh_model_says_the_best_constant(sharing, kinds):
    model, layout = ranker(sharing, kinds)
    output = model(factory.batch(layout, B, kinds=kinds), position="logged")
    torch.testing.assert_close(output.outputs_BK, torch.linspace(-1.0, 1.0, len(kinds)).expand(B, -1), rtol=0, atol=0)
    assert output.penalty.shape == ()
    assert (output.shared is None) == (sharing == "single_task")


@sharings
@mixes
def test_a_gradient_reaches_every_parameter(sharing, kinds):
    model, layout = ranker(sharing, kinds)
    example = factory.batch(layout, B, kinds=kinds)
    descend(model, example, kinds)
    _, grads = gradients(model, example, kinds)
    assert [name for name, grad in grads.items() if not grad.any()] == []
    assert all(grad.isfinite().all() for grad in grads.values())


@sharings
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_every_option_learns(sharing, changes):
    torch.manual_seed(0)
    model, layout = ranker(sharing, **changes)
    example = factory.batch(layout, B)
    losses = descend(model, example, num=30)
    loss = losses(model.eval()(example, position="logged").outputs_BK, example.labels)[0].sum()
    fresh, _ = ranker(sharing, **changes)
    assert loss < losses(fresh.eval()(example, position="logged").outputs_BK, example.labels)[0].sum() - 0.3


@sharings
@pytest.mark.parametrize("missing", ["dense", "slots"])
def test_a_log_without_numbers_or_without_categories_is_learned_too(sharing, missing):
    layout = factory.layout(history_length=0).model_copy(update={missing: ()})
    model = build(factory.options(sharing=sharing), layout, factory.objectives(), torch.zeros(4), 1)
    example = factory.batch(layout, B)
    before = ObjectiveLosses.fit(factory.objectives(), example.labels.numpy())(torch.zeros(B, 4), example.labels)[0]
    losses = descend(model, example, num=30)
    assert (losses(model(example, position="logged").outputs_BK, example.labels)[0] < before).all()


@sharings
@mixes
def test_a_row_alone_is_a_row_among_others(sharing, kinds):
    model, example = trained(sharing, kinds)
    whole = model(example, position="logged").outputs_BK
    alone = model(type(example)(*(tensor[5:6] for tensor in example)), position="logged").outputs_BK
    torch.testing.assert_close(alone, whole[5:6], rtol=1e-5, atol=1e-5)
    assert whole.std(dim=0).min() > 0.01  # the rows do differ


@sharings
@pytest.mark.parametrize("k", range(len(factory.KINDS)))
def test_an_objective_without_labels_gets_no_gradient(sharing, k):
    model, example = trained(sharing)
    labels = example.labels.clone()
    labels[:, k] = float("nan")
    values_K, grads = gradients(model, example._replace(labels=labels))
    assert values_K[k] == 0.0
    assert (values_K[torch.arange(len(values_K)) != k] > 0).all()
    for name, grad in objective_parts(model, grads).items():
        assert not grad[k].any(), name
    assert all(grad.isfinite().all() for grad in grads.values())


def objective_parts(model, tensors):
    """Name → the same with the objectives' axis in front, for each parameter that has one: the wiring, spelt out once more."""
    num = len(factory.KINDS)
    own = model.inputs.num_tables > 1
    parts = {}
    for name, tensor in tensors.items():
        if name.startswith("towers."):
            parts[name] = tensor
        elif name in ("inputs.skip.weight", "bias_tower.table"):
            parts[name] = tensor.movedim(-1, 0)
        elif name == "sharing.gates.linear.weight":
            parts[name] = tensor.unflatten(-1, (num, -1)).movedim(-2, 0)
        elif name == "inputs.embeddings.tables.table":
            parts[name] = tensor.unflatten(0, (num, -1)) if own else tensor[:, model.inputs.d_embedding :].T
        elif name == "cross.out.weight" and not own:
            parts[name] = tensor.movedim(-1, 0)
        elif own:
            parts[name] = tensor
    return parts


@sharings
def test_the_order_of_objectives_means_nothing(sharing):
    model, example = trained(sharing)
    other = ranker(sharing)[0].eval()
    order = torch.tensor([2, 0, 1, 3])  # the last keeps its place, and so its group
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        originals = objective_parts(model, dict(model.named_parameters()))
        for name, part in objective_parts(other, dict(other.named_parameters())).items():
            part.copy_(originals[name][order])
    expected = model(example, position="logged").outputs_BK[:, order]
    torch.testing.assert_close(other(example, position="logged").outputs_BK, expected, rtol=1e-5, atol=1e-5)


@sharings
def test_bf16_and_float64_agree(sharing):
    model, example = trained(sharing)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = model(example, position="logged").outputs_BK
    high = model.double()(factory.double(example), position="logged").outputs_BK
    assert low.dtype == torch.float32
    assert high.dtype == torch.float64
    torch.testing.assert_close(low.double(), high, rtol=0.02, atol=0.02 * high.std().item())


@sharings
@pytest.mark.parametrize("input_share", [1.0, 0.6])
def test_saved_and_loaded_it_says_the_same_bits(sharing, input_share):
    model, example = trained(sharing, input_share=input_share)
    fresh, _ = ranker(sharing, input_share=input_share)
    fresh.load_state_dict(load(save(model.state_dict())))
    torch.testing.assert_close(
        fresh.eval()(example, position="logged").outputs_BK, model(example, position="logged").outputs_BK, rtol=0, atol=0
    )


@sharings
def test_a_seed_is_a_model_and_a_run(sharing):
    def run(seed):
        torch.manual_seed(3)
        model, layout = ranker(sharing, seed=seed, **CHANGES["all dropouts"])
        drawn = torch.rand(1)
        descend(model, factory.batch(layout, B))
        return drawn, [parameter.detach() for parameter in model.parameters()]

    (drawn, first), (_, again), (other_drawn, other) = run(1), run(1), run(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert drawn == other_drawn  # building leaves the global random state as it was


@sharings
def test_inputs_are_left_as_they_were(sharing):
    model, layout = ranker(sharing)
    example = factory.batch(layout, B)
    copy = type(example)(*(tensor.clone() for tensor in example))
    descend(model, example)
    for tensor, before in zip(example, copy, strict=True):
        torch.testing.assert_close(tensor, before, rtol=0, atol=0, equal_nan=True)


@sharings
def test_parameter_groups_add_up(sharing):
    model, _ = ranker(sharing)
    groups = model.parameter_groups()
    everything = [id(parameter) for group in groups for parameter in group]
    assert sorted(everything) == sorted(id(parameter) for parameter in model.parameters())
    assert {id(p) for p in model.embedding_parameters()} | {id(p) for p in model.dense_parameters()} == set(everything)
    assert [id(p) for p in groups.embedding] == [id(model.inputs.embeddings.tables.table)]
    assert [id(p) for p in groups.positions] == [id(model.bias_tower.table)]
    assert id(model.towers.heads.bias) in {id(p) for p in groups.biases}


@sharings
def test_a_missing_position_is_code_0(sharing):
    for how in ("tower", "input"):
        model, example = trained(sharing, position=how)
        unplaced = example._replace(bias=example.bias * torch.tensor([0, 1]))
        missing = model(example, position="missing").outputs_BK
        torch.testing.assert_close(missing, model(unplaced, position="logged").outputs_BK, rtol=0, atol=0)
        assert (missing - model(example, position="logged").outputs_BK).abs()[:, 0].max() > 1e-3


@sharings
def test_only_engagement_sees_the_position_through_the_tower(sharing):
    model, example = trained(sharing)
    moved = example._replace(bias=torch.zeros_like(example.bias))
    change_K = (model(moved, position="logged").outputs_BK - model(example, position="logged").outputs_BK).abs().amax(0)
    assert (change_K[:-1] > 1e-4).all()
    assert change_K[-1] == 0.0


@sharings
def test_a_blind_model_sees_no_position(sharing):
    model, example = trained(sharing, position="blind")
    moved = example._replace(bias=torch.zeros_like(example.bias))
    assert torch.equal(model(moved, position="logged").outputs_BK, model(example, position="logged").outputs_BK)


@sharings
def test_it_learns_nearly_all_there_is_to_learn(sharing):
    """Labels of known truth: of what is explainable, at least nine tenths on rows that were not trained on."""
    torch.manual_seed(0)
    train, _ = known_truth(8192, seed=1)
    test, signals_BK = known_truth(4096, seed=2)
    losses = ObjectiveLosses.fit(factory.objectives(), train.labels.numpy())
    model = build(factory.options(sharing=sharing, d_shared=32), factory.layout(), factory.objectives(), losses.start_K, 1)
    fit(model, losses, train, passes=6)
    best_BK = ((signals_BK - losses.mean_K) / losses.std_K).float()
    with torch.no_grad():
        reached_K = losses(model.eval()(test, position="logged").outputs_BK, test.labels)[0]
        constant_K = losses(losses.start_K.float().expand(4096, -1), test.labels)[0]
        best_K = losses(best_BK, test.labels)[0]
    explained_K = (constant_K - reached_K) / (constant_K - best_K)
    assert (explained_K > 0.9).all(), explained_K


def known_truth(rows, seed):
    """A batch whose labels come from the numbers, a categorical value and a position, and the signals [B, K] behind them."""
    example = factory.batch(factory.layout(), rows, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    a, b, c = example.dense.unbind(1)
    liked = torch.sin(example.rows[:, 0].float())  # of item.one
    click = 2 * a + 2 * liked - 0.5 * example.bias[:, 0]
    signals_BK = torch.stack([click, 5 + 0.8 * a + 0.5 * liked, 2 * b.abs() - c, 2 * c - 2 * liked], dim=1)
    noise = torch.randn(rows, 2, generator=generator)
    chosen = torch.rand(rows, 2, generator=generator) < signals_BK[:, [0, 3]].sigmoid()
    labels = [
        chosen[:, 0].float(),
        (signals_BK[:, 1] + 0.3 * noise[:, 0]).expm1(),
        signals_BK[:, 2] + 0.5 * noise[:, 1],
        chosen[:, 1].float(),
    ]
    return example._replace(labels=torch.stack(labels, dim=1)), signals_BK


def fit(model: nn.Module, losses: ObjectiveLosses, train, *, passes, rows=512):
    optimisers = [torch.optim.AdamW(model.dense_parameters(), lr=5e-3), torch.optim.SparseAdam(model.embedding_parameters(), lr=2e-2)]
    for _ in range(passes):
        for index in torch.randperm(len(train.dense)).split(rows):
            batch = type(train)(*(tensor[index] for tensor in train))
            for optimiser in optimisers:
                optimiser.zero_grad()
            losses(model.train()(batch, position="logged").outputs_BK, batch.labels)[0].sum().backward()
            for optimiser in optimisers:
                optimiser.step()
