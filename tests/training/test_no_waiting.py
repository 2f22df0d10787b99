"""A step on an accelerator waits for nothing: it reads no number on the host.

Torch's device "meta" has shapes and no numbers. Most of what would read one there raises an error: `item`, `bool`, `nonzero`, a coalesced
gradient, a copy to the host, a selection by a mask. The code of accelerators runs on it without one. It does not see copies to the device
and what is written through a mask; `tests/gpu/test_step.py` does, on a card.
"""

import contextlib
import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from recsys.models import ARCHITECTURES
from recsys.nn import embeddings
from recsys.scoring.devices import Compute
from recsys.training import rowwise_adagrad
from recsys.training import state as states
from recsys.training.averaging import Average
from recsys.training.descend import descend
from recsys.training.finite import NotFiniteError
from recsys.training.freezing import Held
from recsys.training.gradients import heads_of
from tests.spread import spread
from tests.training.states import EVERY_KIND, FP32, THAT_WAIT_FOR_NOTHING, batch_of, moving, state_of

META = Compute(torch.device("meta"), "fp32")


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch):
    """Autocast knows no such device; in float32 it changes nothing."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())


def on_meta(state, batch):
    """Return the same state on the device without numbers. AdamW's update, which is one kernel of torch's, is left out there."""
    member, balancer = copy.deepcopy(state.member).to("meta"), copy.deepcopy(state.balancer).to("meta")
    heads = None
    if balancer.acts_on == "gradients":  # found once per training, and this reads numbers
        own = {id(head) for head in (*heads_of(state.member.ranker, batch), *state.member.losses.parameters())}
        heads = [there for here, there in zip(state.member.parameters(), member.parameters(), strict=True) if id(here) in own]
    dense, tables = states.optimisers(member, states.Train(), 0.002)
    dense.step = lambda: None
    return states.State(member, balancer, dense, tables, states.Place(), heads=heads, window_4K=state.window_4K.to("meta"))


def step(state, batch, compute=META):
    stepped = descend(state, type(batch)(*(tensor.to(compute.device) for tensor in batch)), compute)
    if state.average is not None:
        state.average.update(3.0)
    return stepped


@pytest.mark.parametrize(("architecture", "tables"), spread(ARCHITECTURES, ("small", "large"), over=2))
def test_no_architecture_waits(architecture, tables, monkeypatch):
    monkeypatch.setattr(embeddings, "DENSE_ROWS", 0 if tables == "large" else embeddings.DENSE_ROWS)
    state = on_meta(state_of("fixed", architecture, dropout=0.1), batch_of())
    state.average = Average(state.member)
    assert not state.watch.at_once
    assert step(state, batch_of()).losses_K.shape == (4,)


@pytest.mark.parametrize("method", THAT_WAIT_FOR_NOTHING)
def test_no_balancing_method_waits_but_those_that_say_so(method):
    assert step(on_meta(state_of(method), batch_of()), batch_of()).weights_K.shape == (4,)


@pytest.mark.parametrize("method", ["fixed", "gradnorm"])
def test_no_kind_of_label_waits(method):
    state, batch = state_of(method, kinds=EVERY_KIND), batch_of(EVERY_KIND)
    assert step(on_meta(state, batch), batch).losses_K.shape == (len(EVERY_KIND),)


def test_frozen_parts_wait_for_nothing():
    """Of a parameter that is loaded in part, the numbers are put back after each step."""
    state = on_meta(state_of(), batch_of())
    name, parameter = next((name, p) for name, p in state.member.ranker.named_parameters() if name.startswith("towers."))
    loaded = {n: torch.zeros(p.shape, dtype=torch.bool) for n, p in state.member.ranker.named_parameters()}
    loaded[name] = (torch.arange(parameter.numel()) % 2 == 0).view(parameter.shape)
    Held((), loaded, frozenset({name})).hold(state.member.ranker, state.dense)
    hooks = list(state.dense._optimizer_step_post_hooks.values())
    assert len(hooks) == 1
    with Writes() as writes:
        step(state, batch_of())
        hooks[0](state.dense, (), {})
    assert not writes.by_mask


class Writes(TorchDispatchMode):
    """Find numbers that are written through a mask, for which a GPU is waited for and the meta device is not."""

    by_mask = False

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if "index_put" in str(function):
            self.by_mask |= any(place is not None and place.dtype == torch.bool for place in arguments[1])
        return function(*arguments, **(keywords or {}))


def test_a_look_would_be_found():
    """Or these tests show nothing: what looks at once, and a method that waits."""
    state = on_meta(state_of(), batch_of())
    state.watch.at_once = True
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        step(state, batch_of())
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        step(on_meta(state_of("torchjd.mgda"), batch_of()), batch_of())


# --- The same on a CPU, where the numbers can be seen -------------------------------------------------------------
def deferred(**options):
    """Return a state whose numbers are not looked at before they are read."""
    state = state_of(**options)
    state.watch.at_once = False
    return state


def spoilt(batch):
    dense = batch.dense.clone()
    dense[0, 0] = float("inf")
    return batch._replace(dense=dense)


@pytest.fixture
def as_on_a_device(monkeypatch):
    """Let tables take the accelerator's paths on a CPU."""

    def forward(tables, lookups):
        return embeddings.sums_on_device(tables.table, tables.num_tables, tables.is_sparse, lookups)

    monkeypatch.setattr(embeddings.EmbeddingTables, "forward", forward)
    monkeypatch.setattr(rowwise_adagrad, "_summed", rowwise_adagrad._summed_on_device)


@pytest.mark.parametrize("is_sparse", [False, True], ids=["small tables", "large tables"])
def test_steps_that_are_finite_are_the_same_to_the_bit(is_sparse, monkeypatch):
    monkeypatch.setattr(embeddings, "DENSE_ROWS", 0 if is_sparse else embeddings.DENSE_ROWS)
    at_once, later = state_of(), deferred()
    for number in range(3):
        for state in (at_once, later):
            torch.manual_seed(number)
            descend(state, batch_of(seed=number), FP32)
    later.watch.read()
    assert all(map(torch.equal, moving(at_once), moving(later)))


def test_a_device_s_path_of_large_tables_ends_where_a_cpus_does(request, monkeypatch):
    monkeypatch.setattr(embeddings, "DENSE_ROWS", 0)
    states_of_both = []
    for path in ("CPU", "device"):
        if path == "device":
            request.getfixturevalue("as_on_a_device")
        state = deferred()
        for number in range(3):
            torch.manual_seed(number)
            descend(state, batch_of(seed=number), FP32)
        states_of_both.append(moving(state))
    for here, there in zip(*states_of_both, strict=True):
        torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("is_sparse", [False, True], ids=["small tables", "large tables"])
def test_from_a_bad_step_on_nothing_moves_and_the_reading_says_what_it_was(as_on_a_device, is_sparse, monkeypatch):
    monkeypatch.setattr(embeddings, "DENSE_ROWS", 0 if is_sparse else embeddings.DENSE_ROWS)
    state = deferred()
    descend(state, batch_of(), FP32)
    state.place.steps = 1
    before = moving(state)
    descend(state, spoilt(batch_of(seed=1)), FP32)
    state.place.steps = 2
    descend(state, batch_of(seed=2), FP32)
    assert all(map(torch.equal, before, moving(state)))
    with pytest.raises(NotFiniteError, match=r"losses \[.*nan") as error:
        state.watch.read()
    assert error.value.step == 2
    assert not error.value.losses_K.isfinite().all()
    with pytest.raises(NotFiniteError):  # no checkpoint is written after it
        state.tensors()


def test_a_bad_gradient_is_named_when_it_is_read(monkeypatch):
    state = deferred()
    bias = state.member.ranker.towers.heads.bias
    ranker = state.member.ranker.forward

    def forward(*args, **by):
        root = (0.0 * (bias - bias.detach()).sum()).sqrt()  # it is finite, and its gradient is not
        return ranker(*args, **by)._replace(penalty=root)

    monkeypatch.setattr(state.member.ranker, "forward", forward)
    descend(state, batch_of(), FP32)
    with pytest.raises(NotFiniteError, match=r"gradients of ranker\.towers\.heads\.bias"):
        state.watch.read()


def test_bad_lengths_are_said_when_they_are_read():
    state = deferred(method="gradnorm")
    state.watch.begin(7)
    bad_KK = torch.ones(4, 4, dtype=torch.float64)
    bad_KK[2, 2] = torch.inf
    state.watch.lengths(torch.ones(4), bad_KK)
    with pytest.raises(NotFiniteError, match=r"gradients of length \[1\.0, 1\.0, inf, 1\.0\]") as error:
        state.watch.read()
    assert error.value.step == 7
