"""Predictions of a member while it is trained: progressive rows, validation losses, kept predictions, residuals for smearing."""

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from recsys import schema
from recsys.encoding import EncodedDays, Period, batches, steps_per_epoch
from recsys.models import Position
from recsys.predictions import ranking_values
from recsys.scoring import mean_looks
from recsys.scoring.member import PREDICTION_ROWS, Outputs, predict, sees_position, values
from recsys.scoring.model_folder import validation_table
from recsys.training import measure
from recsys.training.apart import take
from recsys.training.descend import diverged
from recsys.training.rounds import Round
from recsys.training.state import Choice, State
from recsys.training.work import Work

# Legend: N rows, K objectives, V values of a row (predictions.value_names), R that order lists.

_ALWAYS = Period()
_SMEARING_BATCHES = 128  # batches of PREDICTION_ROWS rows


def predicted(work: Work, state: State, days: EncodedDays, position: Position, start_step: int = 0) -> Outputs:
    """Predict the rows in time order, from batch `start_step` on. Raise ConfigError where an output is not finite."""
    todo = batches(days, batch_size=PREDICTION_ROWS, order="time", start_step=start_step, group=work.compute.group)
    outputs = predict(state.judged, todo, position=position, compute=work.compute, between=lambda: work.guard.look(state))
    finite_K = torch.isfinite(outputs.raw_NK).all(0).tolist()
    if not all(finite_K):
        bad = [objective.name for objective, finite in zip(work.pipeline.objective, finite_K, strict=True) if not finite]
        raise diverged(f"predictions of {', '.join(bad)} that are not finite", state.place, state.place.steps + 1)
    return outputs


def progressive(work: Work, state: State, day: str, *, kept: bool) -> pa.Table | None:
    """Predict a day before it is learned, and write the line of that. Return the predictions where they are `kept`, as `_as_table` does.

    The line comes last: a training that stops while it predicts predicts again, and would write it twice.
    """
    days = work.open([day])
    logged = predicted(work, state, days, "logged")
    table = _as_table(work, state, days, logged) if kept else None
    _write_line(work, state, "day", "progressive", 0, day, logged, days)
    return table


def _as_table(work: Work, state: State, days: EncodedDays, logged: Outputs) -> pa.Table:
    """Return the predictions of a day in the form of `model_folder.validation_table`, with those where the position is missing."""
    missing = predicted(work, state, days, "missing") if sees_position(work.pipeline, work.layout) else None
    rank_NR = None if missing is None else ranking_values(values(state.judged, missing), work.pipeline.objective)
    return validation_table({days.days[0]: len(logged.raw_NK)}, values(state.judged, logged), rank_NR, work.pipeline.objective)


def validate(work: Work, state: State, this: Round) -> None:
    """Write the losses on the validation days after a pass, and keep the numbers (averages) of each group whose loss is the best so far.

    Losses use only the labels that may choose (`Work.judged`). A group that has waited `patience` passes for a better loss is done, as if
    it were trained by itself; the others go on. A group that no validation label judges is kept as it stands after each pass.
    """
    days = work.open_judged()
    outputs = predicted(work, state, days, "logged")
    loss = _write_line(work, state, "pass", "validation", this.number, None, outputs, days)
    for place, (group, choice) in enumerate(zip(work.groups, state.choices, strict=True)):
        found = measure.judged_loss(loss, [work.pipeline.objective[k] for k in group])
        if found is not None and choice.worse >= work.pipeline.train.patience:
            continue
        if found is None or choice.loss is None or found < choice.loss:
            take(state.best, state.judged, group)
            state.choices[place] = choice if found is None else Choice(best=this.number + 1, loss=found)
        else:
            state.choices[place] = Choice(best=choice.best, loss=choice.loss, worse=choice.worse + 1)


def keep_predictions(work: Work, state: State) -> dict[str, Tensor]:
    """Return what stays of the choosing phase: values on the validation days [N, V], also with the position missing [N, R], and looks.

    Without validation days, return the looks on the last training day.
    """
    days = work.open(work.validation_days or work.train_days[-1:])
    logged = predicted(work, state, days, "logged")
    kept = mean_looks.as_tensors(logged.looks)
    if not work.validation_days:
        return kept
    missing = predicted(work, state, days, "missing") if sees_position(work.pipeline, work.layout) else None
    if work.continues:
        # only labels that may choose: a run that balances against these losses (`balance.worst_case.baseline`) learns from them
        _write_line(work, state, "day", "validation", 0, work.validation_days[-1], logged, days, work.judged)
    else:
        passes = max(choice.best for choice in state.choices) or state.place.round
        _write_line(work, state, "kept", "validation", passes - 1, None, logged, days, work.judged)
    kept[schema.PREDICTION] = torch.from_numpy(values(state.judged, logged))
    if missing is not None:
        kept[schema.RANK] = torch.from_numpy(ranking_values(values(state.judged, missing), work.pipeline.objective).copy())
    return kept


def fit_smearing(work: Work, state: State, learned: EncodedDays) -> None:
    """Fit the constants that turn values learned on another scale into means (Duan 1983), on the last million rows that were learned.

    Over so many rows a ratio of sums is known to a few per mille, and memory does not grow with the log.
    """
    if not state.member.losses.is_smeared:
        return
    start_step = max(0, steps_per_epoch(learned, PREDICTION_ROWS) - _SMEARING_BATCHES)
    outputs = predicted(work, state, learned, "logged", start_step)
    start = start_step * PREDICTION_ROWS
    losses = state.judged.losses
    losses.fit_smearing(outputs.raw_NK.numpy(), learned.labels(start), outputs.durations_NA.numpy(), learned.weights(start))
    constants = dict(losses.named_buffers())
    work.compute.group.take_over(list(constants.values()))
    for name, kept in state.member.losses.named_buffers():  # another object where parameters are averaged: it is what is saved
        kept.copy_(constants[name])


def _write_line(
    work: Work, state: State, event: str, part: str, number: int, day: str | None, outputs: Outputs, days: EncodedDays,
    known: Period = _ALWAYS,
) -> dict[str, float | None]:  # fmt: skip
    """Write a line about the predicted rows of some days, by the labels that become known in the period `known`. Return the losses."""
    objectives = work.pipeline.objective
    labels_NK = np.where(known.holds(days.known()), days.labels(), np.float32(np.nan))
    losses_K, counts_K = measure.mean_losses(state.judged, outputs, labels_NK, days.weights())
    work.compute.group.take_over([losses_K, counts_K])  # they choose the pass, and all processes must choose the same
    loss = measure.losses_by_name(losses_K, counts_K, objectives)
    work.journal.write(
        {
            "event": event,
            "member": state.place.member,
            "phase": state.place.phase,
            "pass": number + 1,
            "day": day,
            "step": state.place.steps,
            "part": part,
            "loss": loss,
            "auc": measure.auc_by_name(values(state.judged, outputs), labels_NK, objectives),
            "gates": mean_looks.gates_by_name(outputs.looks.get(mean_looks.GATES), objectives),
            "weight": {},
            **measure.gradients_by_name(None, objectives),
        }
    )
    return loss
