"""One member of a training: it starts, or goes on from its checkpoint, and leaves a file and a journal of its own when it is done."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from recsys.errors import ArtifactError
from recsys.process_group import ProcessGroup
from recsys.progress import Messages
from recsys.training import day_by_day
from recsys.training.checkpoint import END, STATE, Checkpoints, Saved
from recsys.training.fit import finish, passes_chosen
from recsys.training.interruption import Guard
from recsys.training.journal import Journal, kept_of
from recsys.training.memory import require_memory
from recsys.training.start import fresh_state, restored_state
from recsys.training.state import RANDOM, State
from recsys.training.work import Training, Work

MODEL_OPTIONS = "model"  # key among a checkpoint's facts: the model options that its tensors were built by


def fit_member(training: Training, checkpoints: Checkpoints, index: int, asked: Callable[[], bool], console: Messages) -> None:
    """Fit one member, from its start or from its checkpoint. What it leaves is read with `finished`.

    Raise KeyboardInterrupt, with all saved, once `asked()` is true. Raise ArtifactError for a checkpoint of another version, and
    ConfigError where the embedding tables do not fit in this process.
    """
    require_memory(training)
    group = training.compute.group
    saved, keep = _resumable(checkpoints, index, console)
    facts = {MODEL_OPTIONS: training.pipeline.model.model_dump(mode="json")}
    seconds = training.pipeline.train.checkpoint_seconds
    path, keep = _own_journal(checkpoints, index, keep)
    with Journal(path, keep=keep) as journal:
        guard = Guard(checkpoints, _state(index), journal, asked, facts=facts, seconds=seconds, group=group)
        work = Work(**vars(training), journal=journal, guard=guard, console=console)
        is_new = saved is None
        if saved is None:
            state = day_by_day.start(work, index) if work.continues else fresh_state(work, index, "choose")
        else:
            state = _restored(work, checkpoints, saved)
        saved = None  # its tensors are the checkpoint's own memory: the disk keeps a file that is mapped
        _start_together(state, checkpoints, group)
        if is_new:
            guard.write(state)
        state = finish(work, state)
        own = {f"member.{name}": tensor for name, tensor in state.judged.state_dict().items()}
        own |= {f"kept.{name}": tensor for name, tensor in state.kept.items()}
        checkpoints.write(_end(index), state.spread(own), {**facts, "passes": passes_chosen(work, state), **journal.facts()})
        group.meet()
    checkpoints.drop(_state(index))


def finished(checkpoints: Checkpoints, index: int) -> Saved | None:
    """Return what a member left when it was done; None where it is not done, or where its journal is not the one that it wrote."""
    saved = checkpoints.read(_end(index))
    return None if saved is None or kept_of(journal_of(checkpoints, index), saved.facts) is None else saved


def journal_of(checkpoints: Checkpoints, index: int) -> Path:
    """Return the file of a member's journal, while the training goes on."""
    return checkpoints.folder / f"journal-{index}.jsonl"


def of_another_version(checkpoints: Checkpoints, error: Exception) -> ArtifactError:
    """Return the error for a checkpoint whose tensors or options are not those that this version writes."""
    what = " ".join(str(error).split())  # torch's message has several lines
    return ArtifactError(f"{checkpoints.folder}: found a checkpoint of another version ({what}). Fix: delete it and run again")


def _own_journal(checkpoints: Checkpoints, index: int, keep: int) -> tuple[Path, int]:
    """Return the journal to write, and the bytes of it to keep. A process that does not write the files writes one of its own."""
    if checkpoints.scratch is None:
        return journal_of(checkpoints, index), keep
    return checkpoints.scratch / f"journal-{index}.jsonl", 0


def _start_together(state: State, checkpoints: Checkpoints, group: ProcessGroup) -> None:
    """Let all processes start from the numbers of the first one, which may have another CPU and so another last digit.

    Raise ArtifactError where they start from different places, because they do not see the same files.
    """
    group.meet()
    if not group.is_same_in_all(zlib.crc32(json.dumps(state.facts(), sort_keys=True).encode())):
        raise ArtifactError(
            f"{checkpoints.folder}: found different checkpoints in the processes that train together, expected the same files for all."
            " Fix: one workspace on storage that they share"
        )
    same = {name: found for name, found in state.tensors().items() if not name.startswith(RANDOM)}
    group.take_over([tensor for tensor in same.values() if isinstance(tensor, Tensor)])


def _resumable(checkpoints: Checkpoints, index: int, console: Messages) -> tuple[Saved | None, int]:
    """Return the state to go on from and the bytes of the journal to keep; None and 0 where none belongs to the journal that stands."""
    path = journal_of(checkpoints, index)
    saved = checkpoints.read(_state(index)) or checkpoints.read(_end(index))
    if saved is None:
        return None, 0
    kept = kept_of(path, saved.facts)
    if kept is None:
        console.say(f"train: {path} is shorter, or another one, than its checkpoint says; starting member {index + 1} afresh")
        return None, 0
    place = saved.facts["place"]
    console.say(f"train: going on from the checkpoint (member {place['member'] + 1}, {place['phase']}, step {place['steps']:,})")
    return saved, len(kept)


def _restored(work: Work, checkpoints: Checkpoints, saved: Saved) -> State:
    try:
        return restored_state(work, saved)
    except (KeyError, TypeError, RuntimeError) as error:
        raise of_another_version(checkpoints, error) from error


def _state(index: int) -> str:
    return f"{STATE}{index}"


def _end(index: int) -> str:
    return f"{END}{index}"
