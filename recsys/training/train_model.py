"""The stage train: it makes a model folder from encoded days. After an interruption it goes on where it stopped."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import ValidationError
from torch import Tensor

from recsys import schema
from recsys.artifacts import Origin
from recsys.config import Model, Pipeline
from recsys.encoding import Encoder, label_means
from recsys.errors import ArtifactError
from recsys.models import ARCHITECTURES, sized
from recsys.predictions import value_names
from recsys.process_group import LostProcessError
from recsys.processes.together import joined
from recsys.progress import Console
from recsys.scoring import model_folder
from recsys.scoring.devices import decide, settled
from recsys.scoring.inside import inside
from recsys.scoring.member import loaded_member, seed_of
from recsys.scoring.model_folder import read_model
from recsys.signals import Interruption, deferred_interrupt
from recsys.training.checkpoint import Checkpoints, Saved
from recsys.training.ensemble import fit_side_by_side, fit_together, members_at_once
from recsys.training.journal import kept_of
from recsys.training.kept_states import KeptStates
from recsys.training.known import alike_on_warm_days, late_labels, require_known, to_learn
from recsys.training.members import MODEL_OPTIONS, finished, fit_member, journal_of, of_another_version
from recsys.training.pace import doubts
from recsys.training.state import CHOSEN_PREFIX
from recsys.training.work import Training, batch_of_one, open_training, rows_of_pace
from recsys.workspace import CHECKPOINT, ENCODER, JOURNAL, MODEL


def train(pipeline: Pipeline, encoded: Path, run: Path, origin: Origin, *, kept: KeptStates | None = None, console: Console) -> None:
    """Train the pipeline's model on `encoded` (encoder/ and day=D/part-0.arrow), and leave run/model and run/training.jsonl.

    In time order `kept` are the states of days that are done: training goes on from the newest, and keeps those of the days that it learns.

    Where run/checkpoint holds a checkpoint of the same fingerprint, the training goes on from it. On a CPU the result is equal to the bit
    to that of an uninterrupted run with as many threads (on CUDA with `train.deterministic`). The checkpoint is removed once the model
    stands. Checkpoint and model hold the numbers that `model.budget_macs` and `model.members = "auto"` were turned into, so that no reader
    has to count again.

    Raise ConfigError for a device that is not there, for a budget that no widths meet, for a loss that is not finite, and for another run
    that does not fit (`train.init_from`, `train.distil_from`). Raise DataError without training days, and ArtifactError for a damaged
    checkpoint. Raise KeyboardInterrupt after Ctrl-C, with the checkpoint written, and RecsysError where the process of a member died.
    """
    compute = replace(decide(pipeline.train), group=joined())
    checkpoints = Checkpoints(run / CHECKPOINT, origin.fingerprint)
    pipeline = _with_numbers(pipeline, encoded, checkpoints, _facts_to_go_on_from(checkpoints, console))
    with settled(compute, deterministic=pipeline.train.deterministic), deferred_interrupt() as interruption:
        training = open_training(pipeline, encoded, compute, kept)
        _announce(training, console)
        try:
            _fit(training, checkpoints, interruption, console)
        except (KeyboardInterrupt, LostProcessError) as error:
            if isinstance(error, LostProcessError) and not interruption.requested:
                raise
            console.say(f"train: interrupted, the checkpoint is in {run / CHECKPOINT}; the same command goes on from it")
            raise KeyboardInterrupt from error  # a process that waits for its next task ends at once at a signal, before the others stop
        _write_run(training, checkpoints, run, origin)
        checkpoints.remove()


def _write_run(training: Training, checkpoints: Checkpoints, run: Path, origin: Origin) -> None:
    """Write the journal and the model. The tensors of the members are the checkpoint's own memory, so nothing keeps them afterwards."""
    members = [_finished(checkpoints, index) for index in range(training.pipeline.model.most_members)]
    origin.write_file(run / JOURNAL, lambda path: _join(path, checkpoints, members))
    _write_model(training, members, run / MODEL, origin)


def _facts_to_go_on_from(checkpoints: Checkpoints, console: Console) -> dict[str, Any] | None:
    """Return the facts of the checkpoint that stands. Remove one of another fingerprint."""
    facts = checkpoints.facts()
    if facts is None and not checkpoints.is_empty:
        console.say("train: the checkpoint belongs to another config, other data or another version; starting afresh")
        checkpoints.remove()
    return facts


def _with_numbers(pipeline: Pipeline, encoded: Path, checkpoints: Checkpoints, facts: Mapping[str, Any] | None) -> Pipeline:
    """Return the pipeline with widths in place of a budget, and with the number of members in place of "auto".

    "auto" is the first run's number where there is one (`train.init_from`). A training that goes on keeps the numbers of its checkpoint,
    even where the multiplications would be counted differently here.
    """
    if facts is None:
        rows = rows_of_pace(pipeline, encoded)
        architecture, layout = ARCHITECTURES[pipeline.model.architecture], Encoder.load(encoded / ENCODER).layout
        model = sized(_settled(pipeline, rows), layout, pipeline.objective, architecture=architecture, seed=seed_of(pipeline, 0))
    else:
        try:
            model = Model.model_validate(facts[MODEL_OPTIONS])
        except (KeyError, ValidationError) as error:
            raise of_another_version(checkpoints, error) from error
    return pipeline.model_copy(update={"model": model})


def _settled(pipeline: Pipeline, rows: int) -> Model:
    first = pipeline.train.init_from
    if first is None or pipeline.model.members != "auto":
        return pipeline.model.settled(rows)
    return pipeline.model.model_copy(update={"members": len(read_model(first / MODEL).members)})


def _announce(training: Training, console: Console) -> None:
    """Say what is odd about the labels and the number of steps. Raise DataError where no label of an objective is known in time."""
    since = training.goes_on_from
    if training.kept is not None:
        _announce_what_is_kept(training, training.kept, since, console)
    if since is None:
        require_known(training)
    for line in late_labels(training):
        console.say(line)
    if since is None:
        for doubt in doubts(training.pace, training.rows, training.pipeline.train.order, to_learn(training)):
            console.say(f"train: warning: {doubt}")
        if (alike := alike_on_warm_days(training)) is not None:
            console.say(f"train: warning: {alike}")
        model = training.pipeline.model
        if model.input_share < 1 and model.most_members == 1:
            console.say(
                f"train: warning: found model.input_share = {model.input_share:g} with one member, expected several: it never sees the"
                ' other columns. Fix: model.members = "auto", or model.input_share = 1'
            )


def _announce_what_is_kept(training: Training, kept: KeptStates, since: str | None, console: Console) -> None:
    """Say from which day's state the training goes on, and why from no later one."""
    left = len(training.days_left)
    todo = f"{left} day{'s' * (left > 1)} left to learn" if left else "nothing left to learn"
    differs = kept.why_none_fits(0, training.train_days[-1])
    if differs is not None:
        console.say(f"train: warning: found another {differs} than the newest state has learned, expected the same: {todo}")
    if since is None:
        return
    console.say(f"train: goes on from the state of {since}, {todo}")


# --- Members ------------------------------------------------------------------------------------------------------
def _fit(training: Training, checkpoints: Checkpoints, interruption: Interruption, console: Console) -> None:
    """Fit the members that are not done, one after the other or side by side."""
    todo = [index for index in range(training.pipeline.model.most_members) if finished(checkpoints, index) is None]
    at_once = members_at_once(training)
    if at_once > 1:
        fit_side_by_side(training, checkpoints, todo, at_once, interruption, console)
        return
    fit = fit_together if training.compute.group.size > 1 else fit_member
    for index in todo:
        fit(training, checkpoints, index, lambda: interruption.requested, console)


def _finished(checkpoints: Checkpoints, index: int) -> Saved:
    saved = finished(checkpoints, index)
    if saved is None:
        raise ArtifactError(
            f"{checkpoints.folder}: found no member {index + 1}, though it was fitted. Fix: delete this folder and run again"
        )
    return saved


def _join(path: Path, checkpoints: Checkpoints, members: Sequence[Saved]) -> None:
    """Write the journals of the members, one after the other."""
    path.write_bytes(b"".join(kept_of(journal_of(checkpoints, index), saved.facts) or b"" for index, saved in enumerate(members)))


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


# --- The model folder ---------------------------------------------------------------------------------------------
def _write_model(training: Training, done: Sequence[Saved], target: Path, origin: Origin) -> None:
    pipeline, encoder = training.pipeline, training.encoder()
    training = training.knowing(training.last_learned) if training.continues else training
    weights = [_under("member.", saved.tensors) for saved in done]
    kept = [_under("kept.", saved.tensors) for saved in done]
    members = [loaded_member(pipeline, training.layout, index, tensors) for index, tensors in enumerate(weights)]
    look = inside(
        pipeline,
        encoder,
        members,
        one=batch_of_one(training),
        kept=kept,
        passes=[saved.facts["passes"] for saved in done],
        compute=training.compute,
        pace=asdict(training.pace),
    )
    with origin.writing(target) as output:
        model_folder.write_model(
            output,
            pipeline=pipeline,
            encoder=encoder,
            members=weights,
            chosen=[chosen for tensors in kept if (chosen := _under(CHOSEN_PREFIX, tensors))],
            inside=look,
            train_means=label_means((training.open([day]).labels() for day in training.recent), pipeline.objective),
            validation=_validation(training, kept),
            learned_through=training.learned_through,
        )


def _validation(training: Training, kept: list[dict[str, Tensor]]) -> pa.Table:
    """Return the mean over the members of what they predicted before the refit."""
    rows = {day: len(training.open([day])) for day in training.validation_days}

    def mean(name: str) -> np.ndarray | None:
        parts = [tensors[name].numpy() for tensors in kept if name in tensors]
        return np.mean(parts, axis=0) if parts else None

    predicted_NV = mean(schema.PREDICTION)
    if predicted_NV is None:
        predicted_NV = np.empty((0, len(value_names(training.pipeline.objective))))
    return model_folder.validation_table(rows, predicted_NV, mean(schema.RANK), training.pipeline.objective)
