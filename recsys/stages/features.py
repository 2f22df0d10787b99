"""events/, users/, items/ → examples/, a day at a time, with state/ between the days."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.config import Features, Pipeline, all_but
from recsys.stages import room
from recsys.stages.stage import Job, Part, Stage, require_unchanged
from recsys.workspace import EVENTS, EXAMPLES, ITEMS, STATE, USERS, day_folder

if TYPE_CHECKING:
    from recsys.features import Step

_BYTES_PER_BYTE = 3.0  # examples over their events (docs/reliability.md, "Room on the disk")


def examples_of(pipeline: Pipeline, folder: Path) -> Path:
    """Return where the examples of a pipeline lie; `folder` is the pipeline's in the workspace."""
    return folder / EXAMPLES / FEATURES.place(pipeline)


def states_of(job: Job) -> Path:
    """Return where the states lie that the features of a later day need."""
    return job.folder / STATE / job.examples.name


def _parts(job: Job, options: Pipeline) -> list[Part]:
    """Return a part per day with events. A day is made of its events, of users and items, and of the state of the day before."""
    from recsys import features

    return _chained(job, options, features.all_steps(options, job.folder))


def _chained(job: Job, options: Pipeline, steps: Sequence["Step"]) -> list[Part]:
    parts: list[Part] = []
    for step in steps:
        folders = (states_of(job), job.examples) if step.wanted else (states_of(job),)
        inputs = {**step.inputs, "state": parts[-1].origin.fingerprint if parts else ""}
        parts.append(FEATURES.part(options, step.day.iso, [day_folder(folder, step.day.iso) for folder in folders], inputs))
    return parts


def bring_states_forward(job: Job, before: str) -> Sequence["Step"]:
    """Make the states of all days with events before the ISO day `before` that are not fresh. Return these days.

    Raises ArtifactError where the log changes meanwhile.
    """
    from recsys import features

    options = FEATURES.receives(job.pipeline)

    def days() -> list["Step"]:
        return [step for step in features.days_with_events(options, job.folder) if step.day.iso < before]

    steps = days()
    if all(part.is_fresh for part in _chained(job, options, steps)):
        return steps
    with job.locked(states_of(job)):
        steps = days()  # another job may have changed them while this one waited
        stale = [part for part in _chained(job, options, steps) if not part.is_fresh]
        if stale:
            origins = {part.name: part.origin for part in stale}
            features.build(options, job.folder, steps, origins, examples=job.examples, states=states_of(job), console=job.console)
            require_unchanged("features", stale, _chained(job, options, days()))
    return steps


def _make(job: Job, options: Pipeline, stale: Sequence[Part]) -> None:
    from recsys import features

    origins = {part.name: part.origin for part in stale}
    steps = features.all_steps(options, job.folder)
    features.build(options, job.folder, steps, origins, examples=job.examples, states=states_of(job), console=job.console)


def _room(job: Job, options: Pipeline, stale: Sequence[Part]) -> room.Room:
    days = [part.name for part in stale if len(part.writes) == 2]  # those that leave examples
    return room.by_day(room.sizes_in(job.folder / EVENTS), room.sizes(job.examples), days, _BYTES_PER_BYTE)


FEATURES = Stage(
    name="features",
    summary="Turn events into point-in-time examples.",
    version=7,
    options=(
        *all_but(Features, "features", "engine", "memory_limit", "min_count", "max_values"),
        *(f"objective.{name}" for name in ("name", "kind", "label", "observed", "given", "levels")),
        *("source.kind", "source.time", "source.feedback.name", "source.feedback.within"),
        "train.weight",
    ),
    places=("split",),
    # Engines give the same bytes. That there is a column of the duration is checked here. Errors name a column as the log does, too.
    free=("features.engine", "spark", "features.memory_limit", "objective.duration", "source.columns"),
    reads=lambda job: [job.folder / name for name in (EVENTS, USERS, ITEMS)],
    writes=lambda job: [states_of(job), job.examples],
    parts=_parts,
    make=_make,
    room=_room,
    unit="day",
)
