"""The stage train: it makes a model folder from encoded days. After an interruption it goes on where it stopped."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import ValidationError
from torch import Tensor

from recsys import artifacts, schema
from recsys.artifacts import Origin
from recsys.config import Model, Pipeline
from recsys.encoding import EncodedDays, Encoder, label_means
from recsys.encoding.layout import Layout
from recsys.errors import ArtifactError, DataError
from recsys.models import ARCHITECTURES, sized
from recsys.predictions import value_names
from recsys.progress import Console
from recsys.scoring import model_folder
from recsys.scoring.devices import Compute, decide, settled
from recsys.scoring.inside import inside
from recsys.scoring.member import empty_member, seed_of
from recsys.scoring.model_folder import read_model
from recsys.signals import deferred_interrupt
from recsys.training.checkpoint import Checkpoints, Saved
from recsys.training.fit import finish, fresh_state, passes_chosen, restored_state
from recsys.training.interruption import STATE, Guard
from recsys.training.journal import Journal
from recsys.training.known import late_labels, require_known, to_learn
from recsys.training.pace import doubts, pace_of
from recsys.training.state import State
from recsys.training.transfer import Transfer
from recsys.training.work import Work, batch_of_one
from recsys.workspace import CHECKPOINT, ENCODER, JOURNAL, MODEL, days_of

_OPTIONS = "model"  # key among a checkpoint's facts: the model options that its tensors were built by


def train(pipeline: Pipeline, encoded: Path, run: Path, origin: Origin, *, console: Console) -> None:
    """Train the pipeline's model on `encoded` (encoder/ and day=D/part-0.arrow), and leave run/model and run/training.jsonl.

    Where run/checkpoint holds a checkpoint of the same fingerprint, the training goes on from it. On a CPU the result is equal to the bit
    to that of an uninterrupted run (on CUDA with `train.deterministic`). The checkpoint is removed once the model stands. Checkpoint and
    model hold the numbers that `model.budget_macs` and `model.members = "auto"` were turned into, so that no reader has to count again.

    Raise ConfigError for a device that is not there, for a budget that no widths meet, for a loss that is not finite, and for a first run
    (`train.init_from`) that does not fit. Raise DataError without training days, and ArtifactError for a damaged checkpoint. Raise
    KeyboardInterrupt after Ctrl-C, with the checkpoint written.
    """
    compute = decide(pipeline.train)
    checkpoints = Checkpoints(run / CHECKPOINT, origin.fingerprint)
    saved = _resumable(checkpoints, run / JOURNAL, console)
    encoder = Encoder.load(encoded / ENCODER)
    rows = sum(len(EncodedDays(encoded, [day])) for day in days_of(pipeline.split, encoded, schema.TRAIN))
    pipeline = _with_numbers(pipeline, encoder.layout, rows, checkpoints, saved)
    keep = saved.facts["journal"] if saved else 0
    artifacts.unseal(run / JOURNAL)
    with (
        settled(compute, deterministic=pipeline.train.deterministic),
        deferred_interrupt() as interruption,
        Journal(run / JOURNAL, keep=keep) as journal,
    ):
        facts = {_OPTIONS: pipeline.model.model_dump(mode="json")}
        guard = Guard(checkpoints, journal, interruption, facts=facts, seconds=pipeline.train.checkpoint_seconds)
        work = _work(pipeline, encoder, encoded, rows, compute, journal, guard, console)
        try:
            _fit_members(work, checkpoints, saved)
        except KeyboardInterrupt:
            console.say(f"train: interrupted, the checkpoint is in {run / CHECKPOINT}; the same command goes on from it")
            raise
        origin.seal(run / JOURNAL)
        _write_model(work, checkpoints, run / MODEL, origin)
        checkpoints.remove()


def _resumable(checkpoints: Checkpoints, journal: Path, console: Console) -> Saved | None:
    """Return the state to go on from; None where none belongs to this run and to the journal that stands."""
    saved = checkpoints.read(STATE)
    if saved is None:
        if checkpoints.foreign:
            console.say("train: the checkpoint belongs to another config or other data; starting afresh")
        checkpoints.remove()
        return None
    kept = journal.read_bytes()[: saved.facts["journal"]] if journal.exists() else b""
    if hashlib.sha256(kept).hexdigest() != saved.facts["journal_sha256"]:
        console.say(f"train: {journal} is shorter, or another one, than its checkpoint says; starting afresh")
        checkpoints.remove()
        return None
    place = saved.facts["place"]
    console.say(f"train: going on from the checkpoint (member {place['member'] + 1}, {place['phase']}, step {place['steps']:,})")
    return saved


def _with_numbers(pipeline: Pipeline, layout: Layout, rows: int, checkpoints: Checkpoints, saved: Saved | None) -> Pipeline:
    """Return the pipeline with widths in place of a budget, and with the number of members in place of "auto".

    `rows` are those of the training days. "auto" is the first run's number where there is one (`train.init_from`).
    A training that goes on keeps the numbers of its checkpoint, even where the multiplications would be counted differently here.
    """
    if saved is None:
        architecture = ARCHITECTURES[pipeline.model.architecture]
        model = sized(_settled(pipeline, rows), layout, pipeline.objective, architecture=architecture, seed=seed_of(pipeline, 0))
    else:
        try:
            model = Model.model_validate(saved.facts[_OPTIONS])
        except (KeyError, ValidationError) as error:
            raise _of_another_version(checkpoints, error) from error
    return pipeline.model_copy(update={"model": model})


def _settled(pipeline: Pipeline, rows: int) -> Model:
    first = pipeline.train.init_from
    if first is None or pipeline.model.members != "auto":
        return pipeline.model.settled(rows)
    return pipeline.model.model_copy(update={"members": len(read_model(first / MODEL).members)})


def _of_another_version(checkpoints: Checkpoints, error: Exception) -> ArtifactError:
    what = " ".join(str(error).split())  # torch's message has several lines
    return ArtifactError(f"{checkpoints.folder}: found a checkpoint of another version ({what}). Fix: delete it and run again")


def _work(
    pipeline: Pipeline, encoder: Encoder, encoded: Path, rows: int, compute: Compute, journal: Journal, guard: Guard, console: Console
) -> Work:
    train_days, validation_days = (tuple(days_of(pipeline.split, encoded, part)) for part in (schema.TRAIN, schema.VALIDATION))
    if not train_days:
        first, last = pipeline.split.train
        raise DataError(f"{encoded}: found no training day, expected some from {first} to {last}. Fix: split.train, or the source's files")
    pace = pace_of(pipeline.train, rows)
    arrivals = {day: EncodedDays(encoded, [day]).arrivals() for day in train_days + validation_days}
    transfer = None if pipeline.train.init_from is None else Transfer(pipeline, encoder, pipeline.train.init_from)
    work = Work(
        pipeline, encoder.layout, encoded, train_days, validation_days, compute, journal, guard, console, pace, arrivals, transfer
    )  # fmt: skip
    require_known(work)
    for line in late_labels(work):
        console.say(line)
    for doubt in doubts(pace, pipeline.train.order, to_learn(work)):
        console.say(f"train: warning: {doubt}")
    return work


# --- Members ------------------------------------------------------------------------------------------------------
def _fit_members(work: Work, checkpoints: Checkpoints, saved: Saved | None) -> None:
    """Fit the members one after the other. Each leaves a checkpoint file of its own, so that later members' checkpoints stay small."""
    first = saved.facts["place"]["member"] if saved else 0
    for index in range(first, work.pipeline.model.most_members):
        if saved is not None and index == first:
            state = _restored(work, checkpoints, saved)
        else:
            state = fresh_state(work, index, "choose")
            work.guard.write(state)
        state = finish(work, state)
        tensors = {f"member.{name}": tensor for name, tensor in state.member.state_dict().items()}
        kept = {f"kept.{name}": tensor for name, tensor in state.kept.items()}
        checkpoints.write(_file(index), tensors | kept, {"passes": passes_chosen(work, state)})


def _restored(work: Work, checkpoints: Checkpoints, saved: Saved) -> State:
    try:
        return restored_state(work, saved)
    except (KeyError, TypeError, RuntimeError) as error:
        raise _of_another_version(checkpoints, error) from error


def _file(index: int) -> str:
    return f"member-{index}"


def _finished(checkpoints: Checkpoints, index: int) -> Saved:
    saved = checkpoints.read(_file(index))
    if saved is None:
        raise ArtifactError(
            f"{_file(index)}: found no checkpoint of this finished member. Fix: delete the run's checkpoint folder and run again"
        )
    return saved


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


# --- The model folder ---------------------------------------------------------------------------------------------
def _write_model(work: Work, checkpoints: Checkpoints, target: Path, origin: Origin) -> None:
    pipeline = work.pipeline
    finished = [_finished(checkpoints, index) for index in range(pipeline.model.most_members)]
    weights = [_under("member.", saved.tensors) for saved in finished]
    kept = [_under("kept.", saved.tensors) for saved in finished]
    members = []
    for index, tensors in enumerate(weights):
        members.append(empty_member(pipeline, work.layout, index).eval())
        members[-1].load_state_dict(tensors)
    encoder = Encoder.load(work.encoded / ENCODER)
    look = inside(
        pipeline,
        encoder,
        members,
        one=batch_of_one(work),
        kept=kept,
        passes=[saved.facts["passes"] for saved in finished],
        compute=work.compute,
        pace=asdict(work.pace),
    )
    with origin.writing(target) as output:
        model_folder.write_model(
            output,
            pipeline=pipeline,
            encoder=work.encoded / ENCODER,
            members=weights,
            inside=look,
            train_means=label_means((work.open([day]).labels() for day in work.train_days), pipeline.objective),
            validation=_validation(work, kept),
        )


def _validation(work: Work, kept: list[dict[str, Tensor]]) -> pa.Table:
    """Return the mean over the members of what they predicted before the refit."""
    rows = {day: len(work.open([day])) for day in work.validation_days}

    def mean(name: str) -> np.ndarray | None:
        parts = [tensors[name].numpy() for tensors in kept if name in tensors]
        return np.mean(parts, axis=0) if parts else None

    predicted_NV = mean(schema.PREDICTION)
    if predicted_NV is None:
        predicted_NV = np.empty((0, len(value_names(work.pipeline.objective))))
    return model_folder.validation_table(rows, predicted_NV, mean(schema.RANK), work.pipeline.objective)
