"""events/, users/, items/ → examples/, a day at a time, with state/ between the days."""

from collections.abc import Sequence
from pathlib import Path

from recsys.config import Features, Pipeline, all_but
from recsys.stages import room
from recsys.stages.stage import Job, Part, Stage
from recsys.workspace import EVENTS, EXAMPLES, ITEMS, STATE, USERS, day_folder

_BYTES_PER_BYTE = 3.0  # examples over their events (docs/reliability.md, "Room on the disk")


def examples_of(pipeline: Pipeline, folder: Path) -> Path:
    """Return where the examples of a pipeline lie; `folder` is the pipeline's in the workspace."""
    return folder / EXAMPLES / FEATURES.place(pipeline)


def _states(job: Job) -> Path:
    return job.folder / STATE / job.examples.name


def _parts(job: Job, options: Pipeline) -> list[Part]:
    """Return a part per day with events. A day is made of its events, of users and items, and of the state of the day before."""
    from recsys import features

    parts: list[Part] = []
    for step in features.all_steps(options, job.folder):
        folders = (_states(job), job.examples) if step.wanted else (_states(job),)
        inputs = {**step.inputs, "state": parts[-1].origin.fingerprint if parts else ""}
        parts.append(FEATURES.part(options, step.day.iso, [day_folder(folder, step.day.iso) for folder in folders], inputs))
    return parts


def _make(job: Job, options: Pipeline, stale: Sequence[Part]) -> None:
    from recsys import features

    origins = {part.name: part.origin for part in stale}
    steps = features.all_steps(options, job.folder)
    features.build(options, job.folder, steps, origins, examples=job.examples, states=_states(job), console=job.console)


def _room(job: Job, options: Pipeline, stale: Sequence[Part]) -> room.Room:
    days = [part.name for part in stale if len(part.writes) == 2]  # those that leave examples
    return room.by_day(room.sizes_in(job.folder / EVENTS), room.sizes(job.examples), days, _BYTES_PER_BYTE)


FEATURES = Stage(
    name="features",
    summary="Turn events into point-in-time examples.",
    version=4,
    options=(
        *all_but(Features, "features", "memory_limit", "min_count", "max_values"),
        *(f"objective.{name}" for name in ("name", "kind", "label", "observed", "given", "levels")),
        *("source.kind", "source.time", "source.feedback.name", "source.feedback.within"),
        "train.weight",
    ),
    places=("split",),
    free=("features.memory_limit", "objective.duration"),  # that there is such a column is checked here
    reads=lambda job: [job.folder / name for name in (EVENTS, USERS, ITEMS)],
    writes=lambda job: [_states(job), job.examples],
    parts=_parts,
    make=_make,
    room=_room,
    unit="days",
)
