"""A stage as a value: what it reads of the config and of the workspace, what it writes, and whether that is fresh.

Freshness goes by content. A part of a stage's output is fresh where it was made by the stage's present version from the options that the
stage declares and from the same bytes. So a changed word in the TOML, or a new file, redoes what depends on it and nothing else.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from recsys import artifacts, locks
from recsys.artifacts import Origin
from recsys.config import Pipeline, narrowed
from recsys.errors import ArtifactError, many
from recsys.options import Options
from recsys.progress import Console
from recsys.stages.room import Room, require_room
from recsys.workspace import ENCODED, EXAMPLES, LEARNED, RUNS, STATE, days_of


@dataclass(frozen=True)
class Job:
    """One pipeline in one workspace, and the run that its model goes to. All paths follow from the config."""

    pipeline: Pipeline
    folder: Path  # of the pipeline in the workspace
    run: Path
    examples: Path
    encoded: Path
    console: Console
    replace: bool = False  # whether the run's name may stand for another config than before
    wait: bool = False  # where another job holds a place that this one has to write
    keeps_config: bool = False  # of a run that stands, which a study or a baseline trains too, but evaluates otherwise

    def locked(self, *paths: Path) -> AbstractContextManager[None]:
        """Hold the places of these paths: the run, or the folder of one fingerprint, that each lies in. Raises as `locks.locked` does."""
        places = {_place(self.folder, path) for path in paths}
        return locks.locked(self.folder, sorted(places), wait=self.wait, console=self.console)

    def at_work(self) -> AbstractContextManager[None]:
        """Keep `recsys prune` from removing what this job needs. Raises as `locks.at_work` does."""
        return locks.at_work(self.folder, wait=self.wait, console=self.console)

    def days(self, *parts: str) -> list[str]:
        """Return the days of these parts of the split that have examples."""
        return days_of(self.pipeline.split, self.examples, *parts)


@dataclass(frozen=True)
class Part:
    """An output that a stage makes in one go, and its inputs."""

    name: str
    origin: Origin  # its inputs: an artifact, or another thing that counts → fingerprint of its content
    writes: tuple[Path, ...]

    @property
    def is_fresh(self) -> bool:
        return all(artifacts.is_fresh(path, self.origin.fingerprint) for path in self.writes)


@dataclass(frozen=True)
class Stage:
    """One step from the raw log to the page. Keys of the config are dotted, as in `config.narrowed`.

    - `summary`: what it does, as the help of its verb.
    - `version`: raised when the output of the same options and inputs changes its meaning.
    - `options`: the keys that shape the output. One that is a path does not count; what lies there does.
    - `counted_as`: the options as they count, where a value of one says that another shapes nothing.
    - `places`: the keys that say which files there are, and not what is in them.
    - `free`: other keys that the code reads. They have no effect on the output, or are only checked, or count among the inputs.
    - `reads`, `writes`: the folders and files of a job in which the artifacts lie.
    - `holds`: those of `writes` whose places it holds while it makes something; None where it holds all.
    - `parts`: what there is to make; it needs what is read to be there.
    - `make`: makes the stale parts.
    - `room`: the bytes that making them is expected to take; 0 where that is little.

    The stage's code receives `options`, `places` and `free`, and can read no other key.
    """

    name: str
    summary: str
    version: int
    options: tuple[str, ...]
    reads: Callable[[Job], Sequence[Path]]
    writes: Callable[[Job], Sequence[Path]]
    parts: Callable[[Job, Pipeline], Sequence[Part]]
    make: Callable[[Job, Pipeline, Sequence[Part]], None]
    holds: Callable[[Job], Sequence[Path]] | None = None
    counted_as: Callable[[Pipeline], Pipeline] = lambda pipeline: pipeline
    places: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    unit: str = ""  # of its parts, where they are counted and not said one by one
    note: Callable[[Job], str] = lambda job: ""  # said of a fresh output
    room: Callable[[Job, Pipeline, Sequence[Part]], Room] = lambda job, options, stale: Room()
    before: Callable[[Job], None] = lambda job: None  # done once the parts are known, fresh or not
    always: Callable[[Job], None] = lambda job: None  # done after it, fresh or not

    def receives(self, pipeline: Pipeline) -> Pipeline:
        """Return what the stage's code is given of the config."""
        return narrowed(pipeline, (*self.options, *self.places, *self.free))

    def counted(self, pipeline: Pipeline, *without: str) -> dict[str, Any]:
        """Return the options that shape the output, JSON-able, but for those `without`."""
        counted: dict[str, Any] = _plain(narrowed(self.counted_as(pipeline), self.options, without=(*self.free, *without)))
        return counted

    def declares(self, key: str) -> bool:
        """Return whether the dotted key shapes this stage's output, or says which files there are."""
        free = any(_holds(one, key) for one in self.free)
        return not free and any(_holds(one, key) for one in (*self.options, *self.places))

    def place(self, pipeline: Pipeline) -> str:
        """Return the name of a folder for outputs of these options."""
        return artifacts.fingerprint([self.name, self.version, self.counted(pipeline)])

    def part(self, pipeline: Pipeline, name: str, writes: Sequence[Path], inputs: Mapping[str, str]) -> Part:
        """Return a part of this stage's output, which is made of `inputs`."""
        counted = [self.name, self.version, self.counted(pipeline), name, inputs]
        return Part(name, Origin(self.name, artifacts.fingerprint(counted), inputs), tuple(writes))

    def run(self, job: Job) -> None:
        """Make what is stale, and say what is fresh. Raises ArtifactError where an input is absent or damaged, or the disk too full."""
        start = time.perf_counter()
        options = self.receives(job.pipeline)
        parts, stale = self._found(job, options)
        with job.locked(*(self.holds or self.writes)(job)) if stale else nullcontext():
            if stale:
                parts, stale = self._found(job, options)  # another job may have made it while this one waited
            self.before(job)
            self._say(job, parts, stale)
            if stale:
                require_room(job.folder, self.room(job, options, stale), self.name, job.console)
                self.make(job, options, stale)
                self._require_unchanged(job, options, stale)
        self.always(job)
        job.console.event(
            "stage",
            pipeline=job.folder.name,
            run=job.run.name,
            stage=self.name,
            made=[part.name for part in stale],
            fresh=len(parts) - len(stale),
            rows=_rows(stale),
            seconds=round(time.perf_counter() - start, 3),
            peak_mib=peak_mib(),
        )

    def _found(self, job: Job, options: Pipeline) -> tuple[list[Part], list[Part]]:
        """Return all parts, and the stale ones among them."""
        parts = list(self.parts(job, options))
        return parts, [part for part in parts if not part.is_fresh]

    def _require_unchanged(self, job: Job, options: Pipeline, made: Sequence[Part]) -> None:
        """Raise ArtifactError where an input is another one now than when the parts were made from it. Those parts then count as absent."""
        require_unchanged(self.name, made, self.parts(job, options))

    def _say(self, job: Job, parts: Sequence[Part], stale: Sequence[Part]) -> None:
        if self.unit and parts:
            fresh, all_parts = len(parts) - len(stale), many(len(parts), self.unit)
            said = f"fresh ({all_parts})" if not stale else f"{fresh} of {all_parts} are fresh"
            job.console.say(f"{self.name}: {said}")
            return
        for part in parts:
            if part not in stale:
                note = self.note(job)
                job.console.say(f"{part.name}: fresh" + (f" ({note})" if note else ""))


def _rows(made: Sequence[Part]) -> dict[str, int]:
    """Return what became of the rows, summed over what was made: `read`, `kept` and so on, of the artifacts that account for them."""
    accounts = [manifest.rows for part in made for path in part.writes if (manifest := artifacts.manifest(path)) and manifest.rows]
    return {name: sum(account[name] for account in accounts) for name in (accounts[0] if accounts else ())}


def peak_mib() -> int:
    """Return the most memory that this process has held at once, or the largest of its children has, in MiB."""
    largest = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return largest // (1 << 20 if sys.platform == "darwin" else 1 << 10)  # bytes there, KiB elsewhere


def require_unchanged(what: str, made: Sequence[Part], now: Sequence[Part]) -> None:
    """Raise ArtifactError where a part that was `made` would be made from other inputs `now`. Such a part then counts as absent."""
    origins = {part.name: part.origin for part in now}
    changed = [part for part in made if origins.get(part.name) != part.origin]
    for path in (path for part in changed for path in part.writes):
        artifacts.unseal(path)
    if changed:
        names = ", ".join(part.name for part in changed)
        raise ArtifactError(f"{what}: what {names} is made from changed meanwhile, expected it to stay. Fix: run again")


def _place(folder: Path, path: Path) -> Path:
    """Return what a lock holds: runs/RUN, examples/FINGERPRINT and the like, or a folder such as events/."""
    parts = path.relative_to(folder).parts
    return folder.joinpath(*parts[: 2 if parts[0] in (EXAMPLES, STATE, ENCODED, LEARNED, RUNS) else 1])


def _holds(one: str, key: str) -> bool:
    return key == one or key.startswith(f"{one}.")


def _plain(value: Any) -> Any:
    """Return options as dictionaries and lists, without those that are paths."""
    match value:
        case Options():
            fields = type(value).model_fields
            return {name: _plain(inner) for name, inner in value.__dict__.items() if not _is_path(fields[name].annotation)}
        case Mapping():
            return {key: _plain(inner) for key, inner in value.items()}
        case tuple():
            return [_plain(entry) for entry in value]
        case _:
            return value


def _is_path(annotation: Any) -> bool:
    return annotation is Path or Path in get_args(annotation)


def described(paths: Sequence[Path]) -> dict[str, str]:
    """Return artifact → fingerprint of its bytes, as its manifest says. Raises ArtifactError where one is absent."""
    found = {path: artifacts.manifest(path) for path in paths}
    for path, manifest in found.items():
        if manifest is None:
            raise ArtifactError(f"{path}: found no manifest, expected a whole artifact. Fix: run again")
    return {f"{path.parent.name}/{path.name}": manifest.content for path, manifest in found.items() if manifest is not None}


def contents(paths: Sequence[Path]) -> dict[str, str]:
    """Return artifact → fingerprint of its bytes, every byte read. Raises ArtifactError where one is damaged or absent."""
    return {f"{path.parent.name}/{path.name}": artifacts.verify(path).content for path in paths}


@contextmanager
def timed(job: Job, what: str) -> Iterator[None]:
    """Say what it took, unless it failed."""
    start = time.perf_counter()
    yield
    job.console.say(f"{what}: {time.perf_counter() - start:.1f} s")
