"""One update: the forward pass, the backward pass that the balancing method asks for, a step of both optimisers.

Shape letters: K objectives.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from recsys.encoding.layout import Batch
from recsys.errors import ConfigError
from recsys.models import Look, Output
from recsys.scoring.devices import Compute
from recsys.training.gradients import (
    balanced_backward,
    by_objective,
    gramian,
    heads_of,
    own_gradients,
    weight_gradients,
    weighted_branches,
)
from recsys.training.state import Place, State
from recsys.training.teacher import Told


@dataclass(frozen=True)
class Stepped:
    """The results of one update."""

    losses_K: Tensor  # against the labels: means over the rows that count, in units of the best constant prediction's losses
    counts_K: Tensor
    weights_K: Tensor
    show: dict[str, Look]


def descend(state: State, batch: Batch, compute: Compute) -> Stepped:
    """Learn one batch. A loss or a gradient that is not finite reaches no weight; it raises NotFiniteError at once, or when it is read."""
    random = _random_state(compute) if state.balancer.needs_losses_after else []
    told = told_of(state, batch)
    output, descended_K, losses_K, counts_K = forward(state, batch, compute, told)
    state.watch.begin(state.place.steps + 1)
    state.watch.losses(descended_K, output.penalty)
    present_K = counts_K > 0
    if state.balancer.acts_on == "gradients":
        weights_K = _balanced(state, batch, output, descended_K, losses_K, present_K)
    else:
        weights_K = state.balancer(losses_K.detach(), present_K)
        ((weights_K * descended_K).sum() + output.penalty).backward()
    state.watch.gradients(descended_K)
    _update(state)
    if state.balancer.needs_losses_after:
        state.balancer.observe(_again(state, batch, compute, random, told))
    return Stepped(losses_K.detach(), counts_K, weights_K, output.show)


def _update(state: State) -> None:
    """Take a step of both optimisers. Nothing moves once the flag of what is not finite is up."""
    bad = None if state.watch.at_once else state.watch.flag.float()
    for optimiser in (state.dense, state.tables):
        optimiser.found_inf = bad  # type: ignore[attr-defined]  # as torch's GradScaler tells a fused optimiser
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


class Forward(NamedTuple):
    """The results of one forward pass and its losses. Without a teacher both losses are the same tensor."""

    output: Output
    descended_K: Tensor  # what is learned: the losses against the labels, mixed with those against what a teacher says
    losses_K: Tensor  # against the labels alone; balancing methods and the journal read them
    counts_K: Tensor


def told_of(state: State, batch: Batch) -> Told | None:
    """Return what the teacher says of the batch; None where there is no teacher."""
    return None if state.teacher is None else state.teacher.told(batch, state.member.losses, state.place.phase)


def forward(state: State, batch: Batch, compute: Compute, told: Told | None) -> Forward:
    """Compute the output and the losses. `told` is from `told_of`."""
    with compute.autocast():
        output = state.member.ranker(batch, position="logged")
    outputs_BK, losses = output.outputs_BK.float(), state.member.losses
    losses_K, counts_K = losses(outputs_BK, batch.labels, batch.durations, batch.weights)
    descended_K = losses_K
    if told is not None:
        descended_K = torch.lerp(losses_K, losses.against(told.by_method, outputs_BK, batch.labels, batch.weights), told.share)
    return Forward(output, descended_K, losses_K, counts_K)


def _balanced(state: State, batch: Batch, output: Output, descended_K: Tensor, losses_K: Tensor, present_K: Tensor) -> Tensor:
    if state.heads is None:
        state.heads = [*heads_of(state.member.ranker, batch), *state.member.losses.parameters()]
    preferences_K = state.balancer.preference_K.to(descended_K.dtype)
    own = own_gradients(descended_K, output, state.heads, preferences_K)
    # One pass through the towers tells all losses apart where no loss reads another's output, and all loss weights are above 0.
    apart = not coupled(state) and all(objective.loss_weight > 0 for objective in state.member.losses.objectives)
    towers_BKH = by_objective(1 / preferences_K, own.branches[0]) if apart else None
    gradients_KP = weight_gradients(descended_K, output, coupled=coupled(state), towers_BKH=towers_BKH)
    gramian_KK = gramian(gradients_KP)
    state.watch.lengths(descended_K, gramian_KK)
    weights_K: Tensor = state.balancer(losses_K.detach(), present_K, gramian_KK).to(losses_K.dtype)
    if apart:
        at_branches = tuple(by_objective(weights_K / preferences_K, at_branch) for at_branch in own.branches)
    else:
        at_branches = weighted_branches(descended_K, output, weights_K)
    heads = {id(parameter) for parameter in state.heads}
    trunk = [parameter for parameter in state.member.parameters() if id(parameter) not in heads]
    balanced_backward(output, state.heads, trunk, own, at_branches, gradients_KP, weights_K)
    return weights_K


def coupled(state: State) -> bool:
    """Return whether some loss also reads the outputs of other objectives."""
    return any(objective.given is not None for objective in state.member.losses.objectives)


def shares(output: Output) -> bool:
    """Return whether several objectives read something that is learned."""
    return output.shared is not None and output.shared.requires_grad


# --- The same batch after the step --------------------------------------------------------------------------------
@torch.no_grad()
def _again(state: State, batch: Batch, compute: Compute, random: list[Tensor], told: Told | None) -> Tensor:
    """Return the batch's losses after the step. Every dropout draws as before, so that nothing but the step has changed the losses.

    The random state and all buffers (batch norm's running moments) are left as they were.
    """
    devices = [compute.device] if compute.device.type == "cuda" else []
    buffers = [(buffer, buffer.clone()) for buffer in state.member.buffers()]
    with torch.random.fork_rng(devices=devices):
        torch.set_rng_state(random[0])
        for device, drawn in zip(devices, random[1:], strict=True):
            torch.cuda.set_rng_state(drawn, device)
        losses_K = forward(state, batch, compute, told).losses_K
    for buffer, before in buffers:
        buffer.copy_(before)
    return losses_K


def _random_state(compute: Compute) -> list[Tensor]:
    on_device = [torch.cuda.get_rng_state(compute.device)] if compute.device.type == "cuda" else []
    return [torch.get_rng_state(), *on_device]


def diverged(what: str, place: Place, step: int) -> ConfigError:
    """Return the error that `what` was found not finite at a step of the phase. No weight has been changed by it."""
    return ConfigError(
        f"train.learning_rate: found {what} at step {step} (member {place.member + 1}, {place.phase}, round {place.round + 1}),"
        " expected finite numbers. Fix: a lower train.learning_rate or train.embedding_learning_rate"
    )
