"""Which stages are fresh, which are not, and why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from recsys.errors import RecsysError
from recsys.stages.identity import known_config
from recsys.stages.stage import Job, Stage

State = Literal["fresh", "stale", "depends", "unused"]
SAID = {"fresh": "fresh", "stale": "stale ({})", "depends": "depends on {}", "unused": "not asked for"}


@dataclass(frozen=True)
class Status:
    """The state of a stage before it runs. `because`: the options or outputs that make it stale, or the stages that it depends on."""

    stage: str
    state: State
    because: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.stage}: {SAID[self.state].format(', '.join(self.because))}"


def statuses(job: Job, stages: Mapping[str, Stage]) -> list[Status]:
    """Return the status of each stage, in order.

    A stage is stale where a part of its output is not fresh; the options that differ from the run's last config say why. A stage depends on
    the stages before it that are not fresh and whose output it reads. It is stale as well where such an option is its own.
    """
    changed = dict(_changed(job))
    found: dict[str, Status] = {}
    for stage in stages.values():
        if not stage.writes(job):
            found[stage.name] = Status(stage.name, "unused")
            continue
        waits = [other for other in found.values() if other.state in ("stale", "depends") and _feeds(stages[other.stage], stage, job)]
        own = tuple(f"{key}: {text}" for key, text in changed.items() if stage.declares(key))
        if waits:
            because = own or tuple(other.stage for other in waits)
            found[stage.name] = Status(stage.name, "stale" if own else "depends", because)
        else:
            stale = tuple(_stale(stage, job))
            found[stage.name] = Status(stage.name, "stale" if stale else "fresh", (own or stale) if stale else ())
    return list(found.values())


def _feeds(before: Stage, after: Stage, job: Job) -> bool:
    return bool(set(before.writes(job)) & set(after.reads(job)))


def _stale(stage: Stage, job: Job) -> Iterator[str]:
    """Yield the outputs that are absent or made from other inputs."""
    try:
        parts = stage.parts(job, stage.receives(job.pipeline))
    except RecsysError as error:
        yield str(error)
        return
    for part in parts:
        if not part.is_fresh:
            there = all(path.exists() for path in part.writes)
            yield f"{part.name}: made from other options or inputs" if there else f"{part.name}: not there"


# --- Options ------------------------------------------------------------------------------------------------------
def _changed(job: Job) -> Iterator[tuple[str, str]]:
    """Yield the keys in which the config differs from what the run was last made with, and how. Yield nothing without such a run."""
    known = known_config(job.run)
    if known is not None:
        yield from _differences(known["pipeline"], job.pipeline.model_dump(mode="json"))


def _differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys([*before, *after]):
            yield from _differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif path == "objective" and len(before) == len(after):
        for old, new in zip(before, after, strict=True):
            yield from _differences(old, new, path)
    elif before != after:
        yield path, f"{_short(before)} → {_short(after)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "…"
