"""One update: forward, the backward pass that the way of balancing asks for, a step of both optimisers.

Shape letters: K objectives.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from recsys.encoding.layout import Batch
from recsys.models import Look, Output
from recsys.training.devices import Compute
from recsys.training.gradients import balanced_backward, gradients_at_shared, gramian, heads_of
from recsys.training.state import State


@dataclass(frozen=True)
class Stepped:
    """What an update met. `gramian_KK` of the gradients at the shared tensor, where it was asked for and something is shared."""

    losses_K: Tensor  # means over the rows that count, in units of the best constant prediction's
    counts_K: Tensor
    weights_K: Tensor
    gramian_KK: Tensor | None
    show: dict[str, Look]


class NotFiniteError(ArithmeticError):
    """A loss that no step may be taken from; `losses_K` are all of them."""

    def __init__(self, losses_K: Tensor) -> None:
        super().__init__(f"losses {losses_K.tolist()}")
        self.losses_K = losses_K


def descend(state: State, batch: Batch, compute: Compute, *, measured: bool) -> Stepped:
    """Learns one batch. `measured`: the Gramian is wanted, whether or not the way of balancing needs it.

    Raises NotFiniteError before anything has reached a weight.
    """
    random = _random_state(compute)
    output, losses_K, counts_K = _forward(state, batch, compute)
    if not torch.isfinite(losses_K.sum() + output.penalty):
        raise NotFiniteError(losses_K.detach())
    present_K = counts_K > 0
    gramian_KK: Tensor | None
    if state.balancer.acts_on == "gradients":
        weights_K, gramian_KK = _balanced(state, output, losses_K, present_K)
    else:
        weights_K = state.balancer(losses_K.detach(), present_K)
        gramian_KK = gramian(gradients_at_shared(losses_K, output, coupled=_coupled(state))) if measured and _shares(output) else None
        ((weights_K * losses_K).sum() + output.penalty).backward()
    for optimiser in (state.dense, state.tables):
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    if state.balancer.needs_losses_after:
        state.balancer.observe(_again(state, batch, compute, random))
    return Stepped(losses_K.detach(), counts_K, weights_K, gramian_KK, output.show)


def _forward(state: State, batch: Batch, compute: Compute) -> tuple[Output, Tensor, Tensor]:
    with compute.autocast():
        output = state.member.ranker(batch, position="logged")
    losses_K, counts_K = state.member.losses(output.outputs_BK.float(), batch.labels, batch.durations, batch.weights)
    return output, losses_K, counts_K


def _balanced(state: State, output: Output, losses_K: Tensor, present_K: Tensor) -> tuple[Tensor, Tensor]:
    balancer = state.balancer
    if state.heads is None:
        state.heads = [*heads_of(state.member.ranker, output), *state.member.losses.parameters()]
    preferences_K = balancer.preference_K.to(losses_K.dtype)
    weigh: Callable[[Tensor], Tensor] = lambda gramian_KK: balancer(losses_K.detach(), present_K, gramian_KK)  # noqa: E731
    return balanced_backward(losses_K, output, state.heads, preferences_K=preferences_K, weigh=weigh, coupled=_coupled(state))


def _shares(output: Output) -> bool:
    return output.shared is not None and output.shared.requires_grad


def _coupled(state: State) -> bool:
    return any(objective.given is not None for objective in state.member.losses.objectives)


# --- The same batch after the step --------------------------------------------------------------------------------
@torch.no_grad()
def _again(state: State, batch: Batch, compute: Compute, random: list[Tensor]) -> Tensor:
    """Its losses with the same draws of every dropout, so that nothing but the step has changed them."""
    devices = [compute.device] if compute.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.set_rng_state(random[0])
        for device, drawn in zip(devices, random[1:], strict=True):
            torch.cuda.set_rng_state(drawn, device)
        losses_K: Tensor = _forward(state, batch, compute)[1]
    return losses_K


def _random_state(compute: Compute) -> list[Tensor]:
    on_device = [torch.cuda.get_rng_state(compute.device)] if compute.device.type == "cuda" else []
    return [torch.get_rng_state(), *on_device]
