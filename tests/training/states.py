"""Trainings of one random batch: any architecture, any balancing method, any kinds of label."""

import torch

from recsys import balancing, config
from recsys.losses import ObjectiveLosses
from recsys.models import ARCHITECTURES, build
from recsys.scoring.devices import Compute
from recsys.scoring.member import Member
from recsys.training.pace import pace_of
from recsys.training.state import Place, State, optimisers
from tests.balancing.factory import options as balance_options
from tests.models import factory

FP32 = Compute(torch.device("cpu"), "fp32")
SHARING_NOTHING = ("single_task", "soft", "gated_independent")
THAT_SHARE = [way for way in ARCHITECTURES if way not in SHARING_NOTHING]
EVERY_KIND = (*factory.KINDS, "huber", "distribution", "by_length", "weighted_logistic", "d2q", "ordinal", "binary|0")
THAT_WAIT_FOR_NOTHING = [name for name, method in balancing.BALANCERS.items() if not method.waits]
COUPLED = ("binary", "binary|0", "regression", "ordinal")


def state_of(method="fixed", architecture="mmoe", kinds=factory.KINDS, *, loss_weights=None, train=None, noise=0.1, **model) -> State:
    """All weights moved by random numbers, unless `noise` is 0: no gradient waits behind a weight that starts at zero."""
    layout = factory.layout(len(kinds))
    weights = loss_weights or [1.0] * len(kinds)
    objectives = [one.model_copy(update={"loss_weight": weight}) for one, weight in zip(factory.objectives(kinds), weights, strict=True)]
    example = batch_of(kinds)
    losses = ObjectiveLosses.fit(objectives, example.labels.numpy(), example.durations.numpy(), example.weights.numpy())
    member = Member(build(factory.options(architecture=architecture, **model), layout, objectives, losses.start_K, 1), losses)
    draws = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in member.named_parameters():
            if "cuts" not in name:  # thresholds, which are in order
                parameter += noise * torch.randn(parameter.shape, generator=draws)
    balancer = balancing.build(balance_options(method), objectives)
    window_4K = torch.zeros(4, len(kinds), dtype=torch.float64)
    options = config.Train(**(train or {}))
    return State(member, balancer, *optimisers(member, options, pace_of(options, 1000).learning_rate), Place(), window_4K=window_4K)


def batch_of(kinds=factory.KINDS, seed=0, rows=64):
    """A fifth of the labels is not observed."""
    return factory.batch(factory.layout(len(kinds)), rows, seed, kinds)


def forward(state, batch):
    output = state.member.ranker(batch, position="logged")
    return output, state.member.losses(output.outputs_BK, batch.labels, batch.durations, batch.weights)[0]


def plain_gradients(of, parameters):
    """Dense, zero where nothing is reached; the graph is kept."""
    found = torch.autograd.grad(of, parameters, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g.to_dense() if g.is_sparse else g for p, g in zip(parameters, found, strict=True)]


def opposed(architecture, rows, by=0.08):
    """Two binary objectives with like towers and gates, and labels of which the expected ones want opposite weights: the chance of the
    first lies a little above its prediction, and that of the second below its own, where the first number is above 0, and the other way
    round elsewhere. The state, and one batch of all rows.
    """
    kinds = ("binary", "binary")
    state = state_of(architecture=architecture, kinds=kinds, noise=0.3)
    with torch.no_grad():
        for parameter in state.member.ranker.towers.parameters():
            parameter[1] = parameter[0]
        if architecture == "mmoe":
            gates_DKN = state.member.ranker.architecture.gates.linear.weight[0].unflatten(1, (2, -1))
            gates_DKN[:, 1] = gates_DKN[:, 0]
    batch, draws = batch_of(kinds, rows=rows), torch.Generator().manual_seed(1)
    chance_BK = forward(state, batch)[0].outputs_BK.detach().sigmoid()
    wanted_BK = chance_BK + by * batch.dense[:, :1].sign() * torch.tensor([1.0, -1.0])
    return state, batch._replace(labels=(torch.rand(chance_BK.shape, generator=draws) < wanted_BK).float())


def moving(state):
    """Return all that a step may move: weights, buffers, what both optimisers remember."""
    remembered = [entry for optimiser in (state.dense, state.tables) for entry in optimiser.state.values()]
    return [tensor.clone() for each in (state.member.state_dict(), *remembered) for tensor in each.values()]
