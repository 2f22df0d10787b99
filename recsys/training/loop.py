"""One round of training: its steps, and the lines they leave in the journal."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import torch

from recsys.config import Pipeline
from recsys.encoding import EncodedDays, Sampling, Thinning, batches
from recsys.encoding.layout import Batch
from recsys.errors import fixed
from recsys.models import Look
from recsys.objectives import Objective
from recsys.progress import Advance
from recsys.scoring import mean_looks
from recsys.scoring.devices import Compute, placed
from recsys.scoring.member import seed_of
from recsys.training import measure
from recsys.training.between import products_between
from recsys.training.descend import Stepped, descend, diverged
from recsys.training.finite import NotFiniteError
from recsys.training.journal import Journal
from recsys.training.pace import Pace
from recsys.training.rounds import Round, learning_rate_share
from recsys.training.state import State

# Legend: B rows of a batch, K objectives.

_LINES_A_ROUND = 20
_MEASURED = 20  # batches whose gradients are compared with each other
_NAMED = 3  # weights that a message names


@dataclass(frozen=True)
class Loop:
    """The context that all steps of a phase have in common."""

    pipeline: Pipeline
    pace: Pace
    compute: Compute
    journal: Journal
    advance: Advance
    look: Callable[[State], None]  # called between two steps, for checkpoint and interruption
    steps: int  # planned for the phase
    thinning: Thinning | None
    sampling: Sampling | None
    rounds: int = 1  # of a unit of the averages' window: a pass is one round, a day has `day_passes`
    day_steps: float = 0.0  # least steps of that unit: those of a usual day, so that a day of few rows does not make averages forget


def run_round(loop: Loop, state: State, this: Round, days: EncodedDays, steps: int) -> None:
    """Learn the steps of this round that `state.place` has not done yet. Afterwards `state.place.step == steps`.

    Raise ConfigError where a loss or a gradient is not finite, before it reaches a weight; and raise what `loop.look` raises.
    """
    every = math.ceil(steps / _LINES_A_ROUND) if steps else 1
    todo = batches(
        days, batch_size=loop.pace.batch_size, order="shuffled", seed=seed_of(loop.pipeline, state.place.member), epoch=this.number,
        start_step=state.place.step, thinning=loop.thinning, sampling=loop.sampling, group=loop.compute.group,
    )  # fmt: skip
    lap_start, lap_rows = time.perf_counter(), 0
    for batch in _measured_ahead(loop, state, this, steps, placed(todo, loop.compute.device)):
        is_line = (state.place.step + 1) % every == 0 or state.place.step + 1 == steps
        share = learning_rate_share(loop.pipeline.train, state.place.steps, loop.steps)
        with _finite(loop, state):
            stepped = _step(loop, state, batch, share)
            if is_line:
                state.watch.read()
        if state.average is not None:
            state.average.update(loop.pipeline.train.averaging * max(steps * loop.rounds, loop.day_steps) * share)
        state.place.step += 1
        state.place.steps += 1
        lap_rows += stepped.rows
        if is_line:
            show = mean_looks.looks_of_all(stepped.show, len(batch.labels), loop.compute.group)
            _write_line(loop, state, this, show, lap_rows / (time.perf_counter() - lap_start))
            lap_start, lap_rows = time.perf_counter(), 0
        else:
            loop.advance(1)
        with _finite(loop, state):
            loop.look(state)


@contextmanager
def _finite(loop: Loop, state: State) -> Iterator[None]:
    """Raise the ConfigError of a training that is not finite any more."""
    try:
        yield
    except NotFiniteError as error:
        raise diverged(_not_finite(error, loop.pipeline.objective), state.place, error.step) from error


def _measured_ahead(loop: Loop, state: State, this: Round, steps: int, todo: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the batches. Halfway through the round, measure the gradients of the next batches before these are yielded.

    This is done only where the rows are learned for the first time: by the choosing phase, in time order by the refit too.
    """
    ahead = iter(todo)
    until = steps // 2 - state.place.step
    is_first = this.number == 0 and (state.place.phase == "choose" or loop.pipeline.train.order == "time")
    if is_first and until >= 0:
        yield from islice(ahead, until)
        measured = list(islice(ahead, _MEASURED))
        if measured:
            state.products_KK = products_between(state, measured, loop.compute)
        yield from measured
    yield from ahead


def _step(loop: Loop, state: State, batch: Batch, share: float) -> Stepped:
    """Make one update, at this share of the full learning rate."""
    _set_learning_rate(state, share)
    stepped = descend(state, batch, loop.compute)
    counts_K = stepped.counts_K.double()
    state.window_4K += torch.stack([stepped.losses_K * counts_K, counts_K, stepped.weights_K.double(), torch.ones_like(counts_K)])
    return stepped


def _set_learning_rate(state: State, share: float) -> None:
    """Set the learning rate of every group to `share` of the group's own full rate."""
    for optimiser in (state.dense, state.tables):
        for group in optimiser.param_groups:
            group["lr"] = share * group["full_lr"]


def _not_finite(error: NotFiniteError, objectives: Sequence[Objective]) -> str:
    if error.weights:
        more = f" and {len(error.weights) - _NAMED} more" if len(error.weights) > _NAMED else ""
        return f"a gradient that is not finite, of the weights {', '.join(error.weights[:_NAMED])}{more}"
    what, values_K = ("loss", error.losses_K) if error.lengths_K is None else ("gradient", error.lengths_K)
    values = zip(objectives, values_K.tolist(), strict=True)
    bad = [f"{objective.name} {value}" for objective, value in values if not math.isfinite(value)]
    return f"a {what} of {', '.join(bad)}" if bad else "a sum of losses and penalties that is not finite"


def _write_line(loop: Loop, state: State, this: Round, show: Mapping[str, Look], rows_per_second: float) -> None:
    """Write the mean losses and weights since the last line, the gates of the last batch, and the measured gradients."""
    objectives = loop.pipeline.objective
    sums_K, counts_K, weights_K, steps_K = state.window_4K.cpu()
    loss = measure.losses_by_name(measure.mean_of_sums(sums_K, counts_K), counts_K, objectives)
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
            "gates": mean_looks.gates_by_name(show.get(mean_looks.GATES), objectives),
            "weight": mean_looks.rows_by_name(weights_K / steps_K, objectives),
            **measure.gradients_by_name(state.products_KK, objectives),
        }
    )
    state.window_4K.zero_()  # only here, because on a CPU the sums above are views of it
    state.products_KK = None
    mean = measure.weighted_loss(loss, objectives)
    loop.advance(1, note=f"loss {fixed(mean, 4)}, {rows_per_second:,.0f} rows/s")
