"""The runs of an experiment: opened, trained where they do not stand yet, and judged together.

They are ordinary runs. So one that stands is not trained again, here or by `recsys run`, and an interrupted experiment goes on where it
stopped.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from recsys import artifacts, evaluation, schema, walk
from recsys.config import Pipeline
from recsys.errors import ConfigError, RecsysError, percent
from recsys.experiments.variants import Variant
from recsys.jobs import open_job
from recsys.processes import Task, run_side_by_side
from recsys.progress import Console
from recsys.signals import deferred_interrupt
from recsys.stages import STAGES, Job, require_libraries, run_name
from recsys.workspace import PREDICTIONS

TO_PREDICTIONS = ("train", "score", "calibrate")
MOST_AT_ONCE = 8  # runs side by side: each process takes some 600 MB beside its net


@dataclass(frozen=True)
class Run:
    """A variant with a seed."""

    variant: Variant
    job: Job

    @property
    def seed(self) -> int:
        return self.job.pipeline.seed

    def predictions(self) -> pa.Table:
        return artifacts.read_table(self.job.run / PREDICTIONS)


def open_runs(variants: Sequence[Variant], seeds: Sequence[int], workspace: Path, console: Console, *, wait: bool = False) -> list[Run]:
    """Return every variant with every seed, the seeds of a variant after one another. Nothing is trained yet."""
    runs = []
    for variant in variants:
        for seed in seeds:
            pipeline = variant.with_seed(seed)
            name = run_name(pipeline, variant.stem)
            runs.append(Run(variant, _open(pipeline, workspace, name, wait, console)))
    return runs


def _open(pipeline: Pipeline, workspace: Path, run: str, wait: bool, console: Console) -> Job:
    return replace(open_job(pipeline, workspace, run=run, wait=wait, console=console), keeps_config=True)


def trained(
    runs: Sequence[Run], what: str, *, stages: Sequence[str] = TO_PREDICTIONS, look: Callable[[Run], None] = lambda run: None
) -> Iterator[Run]:
    """Yield each run once these stages of it stand. `what` is the experiment's name on the console.

    `look` is called with the first run as soon as it stands, so that what it raises ends the others.

    First each way of making examples is checked against the source, and each way of encoding them is walked, by the first run that has it.
    The other runs of this call learn from the same days, whatever their seed, although the log of a simulated feed depends on the seed. An
    experiment in which each seed draws a world of its own makes a call for each seed. Every error says of which variant it is.

    On a CPU with several threads the runs are trained side by side first. Each is walked again here, where all is fresh.
    """
    with runs[0].job.at_work():  # all in one pipeline's folder, and what one run has made the next one needs
        if "baselines" in stages:
            require_libraries(runs[0].job)
        for run in _first_of_each(runs, lambda job: job.examples):
            with _naming(f"{what} of {run.variant.name}"):
                walk.check(run.job.pipeline)
        for run in _first_of_each(runs, lambda job: job.encoded):
            with _naming(f"{what} of {run.variant.name}"):
                walk.run(run.job, until="encode")
        has_looked = _train_side_by_side(runs, what, stages, look)
        for place, run in enumerate(runs, start=1):
            said = _said(what, place, runs)
            run.job.console.say(f"{said} ({run.job.run.name})")
            with _naming(said):
                _walk(run.job, stages)
            if place == 1 and not has_looked:
                look(run)
            yield run


def _said(what: str, place: int, runs: Sequence[Run]) -> str:
    run = runs[place - 1]
    return f"{what} {place} of {len(runs)}: {run.variant.name}, seed {run.seed}"


def _walk(job: Job, stages: Sequence[str]) -> None:
    with job.locked(job.run):
        for stage in stages:
            walk.run_stage(job, stage)


def _first_of_each(runs: Sequence[Run], folder: Callable[[Job], Path]) -> Iterable[Run]:
    """Return the first run that has each folder."""
    found: dict[Path, Run] = {}
    for run in runs:
        found.setdefault(folder(run.job), run)
    return found.values()


@contextlib.contextmanager
def _naming(what: str) -> Iterator[None]:
    """Put `what` before the text of every error."""
    try:
        yield
    except RecsysError as error:
        raise type(error)(f"{what}: {error}") from error


# --- Side by side -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _TrainRun(Task):
    """The walk of one run through some stages."""

    pipeline: Pipeline
    workspace: Path
    run_name: str
    wait: bool
    stages: tuple[str, ...]

    def run(self, console: Console) -> None:
        with _naming(self.name):
            _walk(_open(self.pipeline, self.workspace, self.run_name, self.wait, console), self.stages)


def _train_side_by_side(runs: Sequence[Run], what: str, stages: Sequence[str], look: Callable[[Run], None]) -> bool:
    """Train the runs that do not stand yet, as many at once as there are threads, at most `MOST_AT_ONCE`. Return whether `look` was called.

    The threads of a run depend on the number of all runs, so a run of an interrupted experiment goes on with as many as before.
    """
    if len(runs) < 2 or not (todo := _to_train(runs, stages)):
        return False
    import torch  # not at the top: where all runs stand, it is not needed

    from recsys.processes.together import joined
    from recsys.scoring.devices import decide

    threads = torch.get_num_threads()
    at_once = min(len(runs), threads, MOST_AT_ONCE)
    if at_once < 2 or joined().size > 1 or any(decide(run.job.pipeline.train).device.type != "cpu" for run in runs):
        return False
    console = runs[0].job.console
    console.say(f"{what}: {len(todo)} of {len(runs)} runs to train, {min(at_once, len(todo))} at once")
    tasks = [_task(runs[place - 1].job, _said(what, place, runs), f"{place}: ", stages) for place in todo]
    has_looked = False

    def look_at_first(done: Task) -> None:
        nonlocal has_looked
        if done is tasks[0] and todo[0] == 1:
            look(runs[0])
            has_looked = True

    with deferred_interrupt() as interruption:
        run_side_by_side(tasks, at_once, threads // at_once, interruption, console, look_at_first)
    return has_looked


def _to_train(runs: Sequence[Run], stages: Sequence[str]) -> list[int]:
    """Return the places (1 = the first) of the runs that do not stand, of those with one model the first: the others take its model.

    A run that needs another one of them (`train.init_from`, `train.distil_from`) is left out, because that one does not stand yet.
    """
    train, found = STAGES["train"], dict[str, int]()
    stand = set()
    for place, run in enumerate(runs, start=1):
        try:
            (part,) = train.parts(run.job, train.receives(run.job.pipeline))
        except ConfigError:  # raised again, with the run's name, when its turn comes
            continue
        found.setdefault(part.origin.fingerprint, place)
        if part.is_fresh and ("score" not in stages or (run.job.run / PREDICTIONS).exists()):
            stand.add(place)
    return [place for place in found.values() if place not in stand]


def _task(job: Job, name: str, title: str, stages: Sequence[str]) -> _TrainRun:
    wait = job.wait or job.pipeline.train.order == "time"  # runs that differ in little share the states of their days
    return _TrainRun(name, title, job.pipeline, job.folder.parent, job.run.name, wait, tuple(stages))


# --- Judged together ----------------------------------------------------------------------------------------------
def paired(runs: Sequence[Run], judged: Sequence[evaluation.Judged], split: str) -> evaluation.Paired:
    """Compute the numbers of all runs on the same users, under the options and the seed of the first run."""
    pipeline = runs[0].job.pipeline
    scored = ((run.job.run.name, run.predictions()) for run in runs)
    bootstrap = pipeline.evaluate.bootstrap
    return evaluation.paired(scored, pipeline.objective, judged, split=split, bootstrap=bootstrap, seed=pipeline.seed)


def require_direction(judged: Sequence[evaluation.Judged]) -> None:
    """Raise ConfigError for metrics by which nothing is better than something else."""
    if aimless := [each.metric.name for each in judged if each.better is None]:
        found = ", ".join(dict.fromkeys(aimless))
        raise ConfigError(f"--metric: found {found}, which is best at neither end, expected one with a direction")


def points(runs: Sequence[Run], found: evaluation.Paired, split: str, question: str = schema.ASKED) -> evaluation.Points:
    """Return the variants as points that the numbers of their runs judge. `runs` are as `open_runs` returns them."""
    pipeline = runs[0].job.pipeline
    names = tuple(dict.fromkeys(run.variant.name for run in runs))
    seeds = tuple(dict.fromkeys(run.seed for run in runs))
    return evaluation.Points(names, seeds, found, split, pipeline.evaluate.confidence, pipeline.seed, question)


def facts(found: Sequence[evaluation.Paired], runs: Sequence[Run], split: str, pooled_over: str) -> dict[str, str]:
    """Return how runs were judged, term → text. `pooled_over` says over what the variance between seeds is pooled."""
    pipeline = runs[0].job.pipeline
    noise = "users alone: one seed says nothing of the noise of seeds"
    if len({run.seed for run in runs}) > 1:
        noise = f"users and seeds: the variance between seeds, pooled over {pooled_over}, is added to that over users"
    options = pipeline.evaluate
    users = {judged.objective: count for numbers in found for judged, count in zip(numbers.judged, numbers.users, strict=True)}
    return {
        "Judged on": pipeline.split.said(split),
        "Judged by": ", ".join(f"{judged.metric.name} of {judged.objective}" for numbers in found for judged in numbers.judged),
        "Users": ", ".join(f"{count:,} ({objective})" for objective, count in users.items()),
        "Intervals": f"{percent(options.confidence)}, over {noise}; {options.bootstrap:,} bootstrap replicates",
    }
