"""One update, against plain autograd and against what every balancing method promises. Shape letters: K objectives."""

import copy

import pytest
import torch

from recsys.balancing import BALANCERS
from recsys.config import Train
from recsys.scoring.devices import Compute
from recsys.training import descend as module
from recsys.training.descend import descend
from recsys.training.finite import NotFiniteError
from recsys.training.pace import LEARNING_RATE
from recsys.training.state import optimisers
from tests.models import factory
from tests.spread import spread

from .states import COUPLED, FP32, batch_of, forward, plain_gradients, state_of

BF16 = Compute(torch.device("cpu"), "bf16")
DROPPING = {"dropout": 0.3, "position_dropout": 0.3, "mmoe": {"expert_dropout": 0.3}}
methods = pytest.mark.parametrize("method", list(BALANCERS))
ON_GRADIENTS = [name for name, kind in BALANCERS.items() if kind.acts_on == "gradients"]
on_gradients = pytest.mark.parametrize("method", ON_GRADIENTS)


def with_plain_descent(state):
    """A dense optimiser without decay or memory: what has no gradient stays where it is."""
    state.dense = torch.optim.SGD([parameter for group in state.dense.param_groups for parameter in group["params"]], lr=0.1)
    return state


def step(state, batch, *, seed=0, compute=FP32):
    torch.manual_seed(seed)
    return descend(state, batch, compute)


def snapshot(state):
    tensors = {name: tensor.clone() for name, tensor in state.tensors().items() if not name.startswith("random")}
    return tensors | {f"grad.{name}": p.grad for name, p in state.member.named_parameters() if p.grad is not None}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0, msg=name)


def outputs_of(state, k):
    """What belongs to objective k alone: its tower, its gate, its column of the linear path."""
    ranker = state.member.ranker
    gates_DKN = ranker.architecture.gates.linear.weight[0].unflatten(1, ranker.architecture.gates.shape)
    tower = [parameter[k] for parameter in ranker.towers.parameters()]
    return [tensor.detach().clone() for tensor in (*tower, gates_DKN[:, k], ranker.inputs.skip.weight[0, :, k])]


# --- Methods on losses --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("architecture", ["mmoe", "deep_relationship", "single_task"])
def test_fixed_is_plain_autograd_to_the_bit(architecture):
    """Of Σ w L + penalty, then a step of both optimisers."""
    weights = (1.0, 0.5, 2.0, 0.0)
    state, other = (state_of(architecture=architecture, kinds=COUPLED, loss_weights=weights, dropout=0.3) for _ in range(2))
    dense, tables = optimisers(other.member, Train(), LEARNING_RATE)
    for seed in range(3):
        stepped = step(state, batch_of(COUPLED, seed), seed=seed)
        torch.manual_seed(seed)
        output, losses_K = forward(other, batch_of(COUPLED, seed))
        ((torch.tensor(weights) * losses_K).sum() + output.penalty).backward()
        for optimiser in (dense, tables):
            optimiser.step()
            optimiser.zero_grad()
        torch.testing.assert_close(stepped.losses_K, losses_K.detach(), rtol=0, atol=0)
        assert stepped.weights_K.tolist() == list(weights)
        assert_same(state.member.state_dict(), other.member.state_dict())


# --- Methods on gradients -----------------------------------------------------------------------------------------
@on_gradients
def test_a_gradient_methods_step_is_heads_by_preference_and_trunk_by_weight(method):
    """With a penalty above the shared tensor and one objective of weight 0; by K plain backward passes."""
    preference_K = torch.tensor([1.0, 0.5, 2.0, 0.0])
    state = with_plain_descent(
        state_of(method, "deep_relationship", loss_weights=preference_K.tolist(), deep_relationship={"strength": 1.0})
    )
    other, batch = copy.deepcopy(state), batch_of()
    stepped = step(state, batch)
    torch.manual_seed(0)
    output, losses_K = forward(other, batch)
    names, parameters = zip(*[(n, p) for n, p in other.member.named_parameters() if "embeddings" not in n], strict=True)
    by_loss = [plain_gradients(loss, parameters) for loss in losses_K]
    of_penalty = plain_gradients(output.penalty, parameters)
    own = ("ranker.towers.", "ranker.architecture.nets.", "ranker.cross.out.", "ranker.inputs.skip.", "ranker.bias_tower.")
    assert (of_penalty[names.index("ranker.architecture.nets.first.weight")] != 0).any()
    for place, name in enumerate(names):
        factors_K = preference_K if name.startswith(own) else stepped.weights_K
        gradient = sum(factor * of[place] for factor, of in zip(factors_K, by_loss, strict=True)) + of_penalty[place]
        found = state.member.get_parameter(name)
        torch.testing.assert_close(found, parameters[place] - 0.1 * gradient, rtol=1e-4, atol=1e-6, msg=name)


@on_gradients
@pytest.mark.usefixtures("large_tables")
def test_large_tables_get_one_sparse_gradient_of_the_rows_that_were_looked_up(method, monkeypatch):
    """Not one an objective, and never a dense one."""
    state, batch = state_of(method), batch_of()
    table = state.member.ranker.inputs.embeddings.tables.table
    seen = []
    monkeypatch.setattr(state.tables, "step", lambda: seen.append((table.grad.is_sparse, table.grad._nnz())))
    step(state, batch)
    rows_N = torch.cat([batch.rows.flatten(), batch.history_rows.flatten()])
    assert seen == [(True, len(torch.unique(rows_N[rows_N != 0])))]  # row 0 is padding


@on_gradients
@pytest.mark.parametrize("architecture", ["mmoe", "stem"])
def test_what_objectives_own_in_a_table_learns_by_preference(architecture, method, monkeypatch):
    """Each objective's linear weights, and with tables of their own all of these; the vectors of the common table by weight."""
    preference_K = torch.tensor([1.0, 0.5, 2.0, 0.25])
    state, batch = state_of(method, architecture, loss_weights=preference_K.tolist()), batch_of()
    other = copy.deepcopy(state)
    table, other_table = (one.member.ranker.inputs.embeddings.tables.table for one in (state, other))
    monkeypatch.setattr(state.tables, "step", lambda: seen.append(table.grad.to_dense()))
    seen = []
    weights_K = step(state, batch).weights_K
    torch.manual_seed(0)
    by_loss = [plain_gradients(loss, [other_table])[0] for loss in forward(other, batch)[1]]
    by_preference, by_weight = (sum(f * of for f, of in zip(by, by_loss, strict=True)) for by in (preference_K, weights_K))
    own = torch.zeros(table.shape, dtype=torch.bool)
    own[factory.layout().num_rows :] = True  # of stem; with one table there are no such rows
    own[:, factory.SMALL["d_embedding"] :] = True
    assert own.any()
    assert not own.all()
    torch.testing.assert_close(seen[0], torch.where(own, by_preference, by_weight), rtol=1e-4, atol=1e-6)


# --- Absent objectives --------------------------------------------------------------------------------------------
@methods
def test_an_objective_without_a_label_moves_nothing(method):
    state, batch = with_plain_descent(state_of(method)), batch_of()
    batch.labels[:, 1] = float("nan")
    before = [outputs_of(state, k) for k in range(4)]
    stepped = step(state, batch)
    assert stepped.weights_K[1] == 0
    for k in range(4):
        same = [torch.equal(a, b) for a, b in zip(before[k], outputs_of(state, k), strict=True)]
        assert all(same) if k == 1 else not any(same)


@methods
def test_an_objective_of_weight_0_trains_nothing(method):
    """Its own numbers stay, and whatever its labels are the update is the same."""
    state, other = (with_plain_descent(state_of(method, loss_weights=(1.0, 0.0, 1.0, 1.0))) for _ in range(2))
    batch, before = batch_of(), outputs_of(state, 1)
    step(state, batch)
    step(other, batch._replace(labels=batch.labels * torch.tensor([1.0, 3.0, 1.0, 1.0])))
    for a, b in zip(before, outputs_of(state, 1), strict=True):
        assert torch.equal(a, b)
    for name, parameter in state.member.named_parameters():
        torch.testing.assert_close(parameter, other.member.get_parameter(name), rtol=1e-5, atol=1e-7, msg=name)


@methods
def test_a_batch_without_any_label_moves_nothing(method):
    state = with_plain_descent(state_of(method))
    before = {name: tensor.clone() for name, tensor in state.member.state_dict().items()}
    batch = batch_of()
    stepped = step(state, batch._replace(labels=torch.full_like(batch.labels, float("nan"))))
    assert stepped.weights_K.tolist() == [0.0] * 4
    assert_same(state.member.state_dict(), before)


# --- The losses after a step --------------------------------------------------------------------------------------
@pytest.mark.parametrize("architecture", ["mmoe", "home"])
def test_the_losses_after_a_step_are_of_the_same_draws(architecture, monkeypatch):
    """Without a step they are the losses before it; and the second pass leaves random state and running moments as one pass does."""
    state, other = (state_of(method, architecture, **DROPPING) for method in ("torchjd.famo", "fixed"))
    seen = []
    monkeypatch.setattr(state.balancer, "observe", lambda losses_K: seen.append(losses_K.clone()))
    for one in (state, other):
        for optimiser in (one.dense, one.tables):
            monkeypatch.setattr(optimiser, "step", lambda: None)
    stepped = step(state, batch_of())
    random = torch.get_rng_state()
    step(other, batch_of())
    assert torch.equal(torch.get_rng_state(), random)
    torch.testing.assert_close(seen[0], stepped.losses_K)  # without gradients, some products are computed another way
    assert_same(state.member.state_dict(), other.member.state_dict())
    assert not torch.allclose(step(other, batch_of(), seed=1).losses_K, stepped.losses_K, atol=1e-2), "other draws, other losses"


def test_the_losses_after_a_step_have_fallen():
    state = state_of("torchjd.famo", train={"learning_rate": 1e-3})
    seen = []
    state.balancer.observe = seen.append
    stepped = step(state, batch_of())
    assert seen[0].sum() < stepped.losses_K.sum()


# --- Precision, and numbers that are none -------------------------------------------------------------------------
@methods
def test_bf16_is_fp32_but_for_three_digits(method):
    state, other = state_of(method, kinds=COUPLED), state_of(method, kinds=COUPLED)
    low, high = (step(one, batch_of(COUPLED), compute=compute) for one, compute in ((state, BF16), (other, FP32)))
    torch.testing.assert_close(low.losses_K, high.losses_K, rtol=0.05, atol=0.01)
    assert low.weights_K.isfinite().all()
    assert all(parameter.dtype == torch.float32 and parameter.isfinite().all() for parameter in state.member.parameters())


@methods
def test_a_loss_that_is_not_finite_changes_nothing(method):
    state, batch = state_of(method), batch_of()
    step(state, batch)
    before = snapshot(state)
    dense = batch.dense.clone()
    dense[0, 0] = float("inf")
    with pytest.raises(NotFiniteError, match=r"losses \[.*nan"):
        step(state, batch._replace(dense=dense))
    assert_same(snapshot(state), before)


@on_gradients
def test_a_gradient_that_is_not_finite_changes_nothing(method, monkeypatch):
    state, batch = state_of(method), batch_of()
    step(state, batch)
    before = snapshot(state)
    bad_KK = torch.ones(4, 4, dtype=torch.float64)
    bad_KK[2] = torch.inf
    monkeypatch.setattr(module, "gramian", lambda rows: bad_KK)
    with pytest.raises(NotFiniteError, match=r"gradients of length \[1\.0, 1\.0, inf, 1\.0\]"):
        step(state, batch)
    assert_same(snapshot(state), before)


TRAINED = [*(f"mmoe {name}" for name in BALANCERS), *(f"single_task {name}" for name in BALANCERS if name not in ON_GRADIENTS)]
ROOTS = {"an infinite loss": ("loss", 1.0), "a nan penalty": ("penalty", 0.0)}


@pytest.mark.parametrize(("trained", "root_of"), spread(TRAINED, ROOTS, over=2))
def test_a_finite_loss_without_a_finite_gradient_changes_nothing(trained, root_of, monkeypatch):
    """A root at 0: in an objective's loss, or in the penalty, which no Gramian sees."""
    (architecture, method), (where, factor) = trained.split(), ROOTS[root_of]
    state, batch = state_of(method, architecture), batch_of()
    step(state, batch)
    before = {name: tensor.clone() for name, tensor in state.member.state_dict().items()}

    def root(x):
        return (factor * (x - x.detach()).sum()).sqrt()

    if where == "loss":
        plain = state.member.losses.forward

        def losses(outputs_BK, *rest):
            losses_K, counts_K = plain(outputs_BK, *rest)
            return losses_K + torch.stack([root(outputs_BK[:, 0]), *outputs_BK.new_zeros(3)]), counts_K

        monkeypatch.setattr(state.member.losses, "forward", losses)
    else:
        bias = state.member.ranker.towers.heads.bias
        ranker = state.member.ranker.forward
        monkeypatch.setattr(state.member.ranker, "forward", lambda *args, **by: ranker(*args, **by)._replace(penalty=root(bias)))
    with pytest.raises(NotFiniteError, match="gradients of"):
        step(state, batch)
    for name, tensor in state.member.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all(parameter.grad is None for parameter in state.member.parameters())
