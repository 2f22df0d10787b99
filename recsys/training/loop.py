"""One round of training: its steps, and the lines they leave in the journal."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from recsys.config import Pipeline
from recsys.encoding import EncodedDays, batches
from recsys.encoding.layout import Batch
from recsys.objectives import Objective
from recsys.progress import Advance
from recsys.training import measure
from recsys.training.devices import Compute, placed
from recsys.training.diverged import diverged
from recsys.training.journal import Journal
from recsys.training.member import seed_of
from recsys.training.plan import Round, learning_rate_share
from recsys.training.state import State

# Legend: B rows of a batch, K objectives, E experts.

_LINES_A_ROUND = 20


@dataclass
class Speed:
    """Rows learned and the seconds this took, in this process."""

    rows: int = 0
    seconds: float = 0.0

    @property
    def rows_per_second(self) -> float | None:
        return self.rows / self.seconds if self.seconds > 0 else None


@dataclass(frozen=True)
class Loop:
    """What the steps of a phase have in common."""

    pipeline: Pipeline
    compute: Compute
    journal: Journal
    advance: Advance
    look: Callable[[State], None]  # between two steps: checkpoint, interruption
    steps: int  # planned for the phase
    speed: Speed = field(default_factory=Speed)


def run_round(loop: Loop, state: State, this: Round, days: EncodedDays, steps: int) -> None:
    """Learns the steps of this round that `state.place` has not done yet; afterwards `state.place.step == steps`.

    Raises ConfigError where a loss is not finite, before it reaches a weight, and what `loop.look` raises.
    """
    train = loop.pipeline.train
    every = math.ceil(steps / _LINES_A_ROUND) if steps else 1
    todo = batches(
        days, batch_size=train.batch_size, order="shuffled", seed=seed_of(loop.pipeline, state.place.member), epoch=this.number,
        start_step=state.place.step,
    )  # fmt: skip
    lap_start, lap_rows = time.perf_counter(), 0
    for batch in placed(todo, loop.compute.device):
        gates_KE = _step(loop, state, batch)
        state.place.step += 1
        state.place.steps += 1
        lap_rows += len(batch.labels)
        if state.place.step % every == 0 or state.place.step == steps:
            seconds = time.perf_counter() - lap_start
            loop.speed.rows += lap_rows
            loop.speed.seconds += seconds
            _write_line(loop, state, this, gates_KE, lap_rows / seconds)
            lap_start, lap_rows = time.perf_counter(), 0
        else:
            loop.advance(1)
        loop.look(state)


def _step(loop: Loop, state: State, batch: Batch) -> Tensor | None:
    """One update. Returns the mean share of each expert in this batch, where there are gates."""
    share = learning_rate_share(loop.pipeline.train, state.place.steps, loop.steps)
    _set_learning_rate(state, share)
    with loop.compute.autocast():
        output = state.member.ranker(batch, position="logged")
    losses_K, counts_K = state.member.losses(output.outputs_BK.float(), batch.labels)
    total = (state.balancer(losses_K.detach()) * losses_K).sum() + output.penalty + state.balancer.penalty()
    if not torch.isfinite(total):
        raise diverged(_not_finite(losses_K, loop.pipeline.objective), state.place)
    total.backward()
    state.dense.step()
    state.tables.step()
    state.dense.zero_grad(set_to_none=True)
    state.tables.zero_grad(set_to_none=True)
    losses_K = losses_K.detach()
    state.window_2K += torch.stack([losses_K * counts_K, counts_K.to(losses_K.dtype)])
    gates_BKE = output.show.get("gates")
    return None if gates_BKE is None else gates_BKE.detach().float().mean(0)


def _set_learning_rate(state: State, share: float) -> None:
    """Every group learns at `share` of its own full rate."""
    for optimiser in (state.dense, state.tables):
        for group in optimiser.param_groups:
            group["lr"] = share * group["full_lr"]


def _not_finite(losses_K: Tensor, objectives: Sequence[Objective]) -> str:
    values = zip(objectives, losses_K.tolist(), strict=True)
    bad = [f"{objective.name} {value}" for objective, value in values if not math.isfinite(value)]
    return f"a loss of {', '.join(bad)}" if bad else "a sum of losses and penalties that is not finite"


def _write_line(loop: Loop, state: State, this: Round, gates_KE: Tensor | None, rows_per_second: float) -> None:
    """The mean losses since the last line, and what this batch's gates did."""
    sums_K, counts_K = state.window_2K.cpu()
    loss = measure.losses_by_name(sums_K / counts_K.clamp(min=1), counts_K, loop.pipeline.objective)
    state.window_2K.zero_()
    place = state.place
    loop.journal.write(
        {
            "event": "step",
            "member": place.member,
            "phase": place.phase,
            "pass": this.number + 1,
            "day": this.days[0] if loop.pipeline.train.order == "time" else None,
            "step": place.steps,
            "part": "train",
            "loss": loss,
            "auc": dict.fromkeys(loss),
            "gates": measure.gates_by_name(None if gates_KE is None else gates_KE.cpu(), loop.pipeline.objective),
            "rows_per_second": rows_per_second,
        }
    )
    mean = measure.weighted_loss(loss, loop.pipeline.objective)
    loop.advance(1, note=f"loss {mean:.4f}, {rows_per_second:,.0f} rows/s")
