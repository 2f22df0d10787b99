"""One update: the forward pass, the backward pass that the balancing method asks for, a step of both optimisers.

Where several processes share a batch, each computes its rows' part of every loss. Losses, the gradients that a method compares, and at last
all gradients are summed over the processes. What follows from them is then the same in all of them: weights, checks, the step.

Shape letters: K objectives.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recsys.encoding.layout import Batch
from recsys.errors import ConfigError
from recsys.models import Look, Output, Ranker
from recsys.process_group import ProcessGroup, sharing
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
    show: dict[str, Look]  # of this process's rows
    rows: int  # of the whole batch


def descend(state: State, batch: Batch, compute: Compute) -> Stepped:
    """Learn one batch. A loss or a gradient that is not finite reaches no weight; it raises NotFiniteError at once, or when it is read."""
    random = _random_state(compute) if state.balancer.needs_losses_after else []
    told = told_of(state, batch)
    output, descended_K, own_losses_K, counts_K, rows = forward(state, batch, compute, told)
    losses_K, whole_descended_K, penalty = compute.group.summed_together([own_losses_K, descended_K, output.penalty])
    state.watch.begin(state.place.steps + 1)
    state.watch.losses(whole_descended_K, penalty)
    present_K = counts_K > 0
    if state.balancer.acts_on == "gradients":
        weights_K = _balanced(state, batch, output, Losses(descended_K, whole_descended_K, losses_K, present_K), compute.group)
    else:
        weights_K = state.balancer(losses_K, present_K)
        ((weights_K * descended_K).sum() + output.penalty).backward()
    _sum_gradients(state, compute.group)
    state.watch.gradients(whole_descended_K)
    _update(state)
    if state.balancer.needs_losses_after:
        state.balancer.observe(_again(state, batch, compute, random, told))
    return Stepped(losses_K, counts_K, weights_K, output.show, rows)


def _sum_gradients(state: State, group: ProcessGroup) -> None:
    """Give every parameter that is learned the gradient of the whole batch. Rows of spread tables have it already."""
    if group.size == 1:
        return
    tables = state.member.ranker.tables
    spread = tables.table if tables.holders.size > 1 else None
    learned = [parameter for _, parameter in state.watch.learned if parameter is not spread]
    own = [(parameter, gradient) for parameter in learned if (gradient := parameter.grad) is not None]
    dense = [(parameter, gradient) for parameter, gradient in own if not gradient.is_sparse]
    summed = group.summed_together([gradient for _, gradient in dense])
    for (parameter, _), gradient in zip(dense, summed, strict=True):
        parameter.grad = gradient
    for parameter, gradient in own:
        if gradient.is_sparse:
            parameter.grad = group.summed(gradient)


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
    counts_K: Tensor  # of the whole batch; the losses and the penalty are this process's parts, which add up
    rows: int  # of the whole batch


class Losses(NamedTuple):
    """The losses of a step that a gradient method reads, [K] each."""

    own_descended_K: Tensor  # of this process's rows, with their gradients
    descended_K: Tensor
    losses_K: Tensor
    present_K: Tensor


def told_of(state: State, batch: Batch) -> Told | None:
    """Return what the teacher says of the batch; None where there is no teacher."""
    return None if state.teacher is None else state.teacher.told(batch, state.member.losses, state.place.phase)


def forward(state: State, batch: Batch, compute: Compute, told: Told | None) -> Forward:
    """Compute the output and the losses. `told` is from `told_of`."""
    rows = compute.group.total_rows(len(batch.labels))
    with sharing(compute.group, rows):
        with compute.autocast():
            output = state.member.ranker(batch, position="logged")
        outputs_BK, losses = output.outputs_BK, state.member.losses
        outputs_BK = outputs_BK.to(torch.promote_types(outputs_BK.dtype, torch.float32))
        losses_K, counts_K = losses(outputs_BK, batch.labels, batch.durations, batch.weights)
        descended_K = losses_K
        if told is not None:
            descended_K = torch.lerp(
                losses_K, losses.against(told.by_method, outputs_BK, batch.labels, batch.durations, batch.weights), told.share
            )
    if compute.group.size > 1:
        # Penalties depend on weights alone, so that shares of any size add up.
        output = output._replace(penalty=output.penalty * (len(batch.labels) / rows))
    return Forward(output, descended_K, losses_K, counts_K, rows)


def _balanced(state: State, batch: Batch, output: Output, losses: Losses, group: ProcessGroup) -> Tensor:
    descended_K = losses.own_descended_K
    if state.heads is None:
        state.heads = [*_heads_in_all(state.member.ranker, batch, group), *state.member.losses.parameters()]
    preferences_K = state.balancer.preference_K.to(descended_K.dtype)
    own = own_gradients(descended_K, output, state.heads, preferences_K)
    # One pass through the towers tells all losses apart where no loss reads another's output, and all loss weights are above 0.
    apart = not coupled(state) and all(objective.loss_weight > 0 for objective in state.member.losses.objectives)
    towers_BKH = by_objective(1 / preferences_K, own.branches[0]) if apart else None
    gradients_KP = weight_gradients(descended_K, output, coupled=coupled(state), towers_BKH=towers_BKH)
    gramian_KK = gramian(group.summed_together(gradients_KP))
    state.watch.lengths(losses.descended_K, gramian_KK)
    weights_K: Tensor = state.balancer(losses.losses_K, losses.present_K, gramian_KK).to(descended_K.dtype)
    if apart:
        at_branches = tuple(by_objective(weights_K / preferences_K, at_branch) for at_branch in own.branches)
    else:
        at_branches = weighted_branches(descended_K, output, weights_K)
    heads = {id(parameter) for parameter in state.heads}
    trunk = [parameter for parameter in state.member.parameters() if id(parameter) not in heads]
    balanced_backward(output, state.heads, trunk, own, at_branches, gradients_KP, weights_K)
    return weights_K


def _heads_in_all(ranker: Ranker, batch: Batch, group: ProcessGroup) -> list[nn.Parameter]:
    """Return the heads that the first process finds by its rows: all processes must take the same parameters for heads."""
    found = {id(parameter) for parameter in heads_of(ranker, batch)}
    parameters = list(ranker.parameters())
    is_head = torch.tensor([id(parameter) in found for parameter in parameters], dtype=torch.int32)
    group.take_over([is_head])
    return [parameter for parameter, there in zip(parameters, is_head.tolist(), strict=True) if there]


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
        losses_K = compute.group.summed(forward(state, batch, compute, told).losses_K)
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
