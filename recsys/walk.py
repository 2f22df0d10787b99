"""A pipeline walked stage by stage; and what is done beside the stages."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from recsys import artifacts, schema
from recsys.beside import BaselinesBeside, baselines_beside
from recsys.config import Pipeline, WorldOptions
from recsys.errors import ArtifactError, ConfigError, DataError
from recsys.jobs import require_own, require_writable
from recsys.judge import problems_of_days
from recsys.progress import Console
from recsys.stages import (
    STAGES,
    Job,
    Stage,
    Status,
    baseline_kinds,
    drop_learned,
    require_later_row,
    require_libraries,
    require_named_runs,
    require_said_closed,
    require_tracking,
    single_tasks,
    statuses,
)
from recsys.workspace import EVENTS


def run(job: Job, *, until: str = "track", through: str | None = None, learn_from: str | None = None) -> None:
    """Run all stages up to `until`. Raises ConfigError where a run to compare with does not stand, or a library is missing.

    `through`: an ISO day that must be closed, where the source says when a day is. Raises NotClosedError where it is not.
    `learn_from`: in time order, the first ISO day that is learned again although it has been learned, where training is among the stages.
    Raises ConfigError in shuffled order.
    """
    names = list(STAGES)[: list(STAGES).index(until) + 1]
    if learn_from is not None and job.pipeline.train.order != "time":
        raise ConfigError('--from: found train.order = "shuffled", expected "time": else all days are learned each time. Fix: leave it out')
    if "baselines" in names:  # all of this before hours of training, not after
        require_libraries(job)
    if "score" in names and (problems := problems_of_days(job.pipeline)):
        raise ConfigError(problems)
    if "track" in names:
        require_tracking(job)
    if "evaluate" in names:
        require_named_runs(job)
    if through is not None:
        require_said_closed(job.pipeline, through)
    _require_begin(job, names[0])
    with job.at_work(), _holding_run(job, names), contextlib.ExitStack() as beside:
        begun: BaselinesBeside | None = None
        for name in names:
            if name == "train" and learn_from is not None:
                for each in (job, *([single_tasks(job)] if schema.SINGLE_TASK in baseline_kinds(job.pipeline) else [])):
                    drop_learned(each, learn_from)
            if name == "train" and "baselines" in names:
                begun = beside.enter_context(baselines_beside(job))
            _walk(job, name, begun if name == "baselines" else None)
            if name == "ingest" and through is not None:
                require_later_row(job, through)


def run_stage(job: Job, name: str, *, through: str | None = None) -> None:
    """Run one stage. Raises ArtifactError where the output of an earlier one, which it reads, is absent or stale.

    `through`: an ISO day that must be closed (`run`); of the log's rows the stages after ingest ask that.
    """
    if through is not None:
        require_said_closed(job.pipeline, through)
        if name != "ingest" and (job.folder / EVENTS).exists():
            require_later_row(job, through)
    _require_begin(job, name)
    with job.at_work(), _holding_run(job, [name]):
        _run_stage(job, name)


def _require_begin(job: Job, name: str) -> None:
    """Raise what the stage would raise where the pipeline has no folder yet, so that a command that is refused leaves none."""
    if not job.folder.exists():
        _require_read(job, STAGES[name])
        STAGES[name].parts(job, STAGES[name].receives(job.pipeline))


def _require_read(job: Job, stage: Stage) -> None:
    for path in stage.reads(job):
        if not path.exists():
            raise _missing(job, path)


def _run_stage(job: Job, name: str) -> None:
    stage = STAGES[name]
    _require_read(job, stage)
    for before in _feeding(job, stage):
        for part in before.parts(job, before.receives(job.pipeline)):
            if not part.is_fresh:
                raise ArtifactError(
                    f"{part.writes[0]}: found none that is made from the present options and inputs."
                    f" Fix: recsys run PIPELINE --until {before.name}"
                )
    if not stage.writes(job):
        job.console.say(f"{name}: not asked for")
    _walk(job, name)


def status(job: Job) -> list[Status]:
    """Return which stages are fresh, and why the others are not."""
    return statuses(job, STAGES)


@contextlib.contextmanager
def _holding_run(job: Job, names: Sequence[str]) -> Iterator[None]:
    """Hold the run's folder where one of the stages writes in it: from the claim to the page, it is of one config."""
    if not any(path.is_relative_to(job.run) for name in names for path in STAGES[name].writes(job)):
        yield
        return
    with job.locked(job.run):
        require_own(job)  # another job may have claimed it since this one was opened
        yield


def _walk(job: Job, name: str, begun: BaselinesBeside | None = None) -> None:
    """Run a stage of this job, or wait for it where it was `begun`. Run before it what a single-task baseline needs: an ordinary run."""
    if schema.SINGLE_TASK in baseline_kinds(job.pipeline):
        other = single_tasks(job)
        if name == "baselines":
            job.console.say(f"baseline single_task: the run {other.run.name}")
        if needed := {"baselines": ("train", "score"), "calibrate": ("calibrate",)}.get(name):
            with other.locked(other.run):
                for stage in needed:
                    STAGES[stage].run(other)
    if begun is None:
        STAGES[name].run(job)
    else:
        begun.end()


def _feeding(job: Job, stage: Stage) -> list[Stage]:
    """Return the stages whose output this one reads, as far as they can be asked whether it is fresh.

    The first two need the raw files, and an engine. The others need what they read to be there.
    """
    read = set(stage.reads(job))
    feeding = [before for before in STAGES.values() if before.name not in ("ingest", "features") and read & set(before.writes(job))]
    return [before for before in feeding if all(path.exists() for path in before.reads(job))]


def _missing(job: Job, path: Path) -> ArtifactError:
    """Return the error that names the stage which leaves this folder or file."""
    names = [stage.name for stage in STAGES.values() if path in stage.writes(job)]
    expected = f"the output of {names[0]}. Fix: recsys run PIPELINE --until {names[0]}" if names else "the output of another run"
    return ArtifactError(f"{path}: found nothing, expected {expected}")


# --- Beside the stages --------------------------------------------------------------------------------------------
def check(pipeline: Pipeline) -> None:
    """Read the first rows of the source and hold the config against them. Raises one error with everything wrong."""
    from recsys import features, sources

    problems = sources.check(pipeline)
    if problems:
        raise DataError("\n".join(problems))
    features.check(pipeline, sources.columns(pipeline))


def make_world(folder: Path, options: WorldOptions, *, seed: int, console: Console) -> None:
    """Write the simulated feed's raw files and its truth to `folder`, whole or not at all."""
    from recsys import world

    require_writable(folder.parent)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: found a file, expected a folder that is new or holds an earlier world. Fix: another folder")
    if folder.exists() and artifacts.manifest(folder) is None and any(folder.iterdir()):
        raise ConfigError(f"{folder}: found a folder with other files in it, expected none or an earlier world. Fix: another folder")
    config = {"seed": seed, **options.model_dump(mode="json")}
    with artifacts.writing(folder, stage="world", fingerprint=artifacts.fingerprint(config), config=config) as output:
        world.simulate(options, seed, output.folder)
    for path in sorted(path for path in folder.iterdir() if not path.name.startswith("_")):
        console.say(str(path))
