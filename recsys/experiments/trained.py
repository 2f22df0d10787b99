"""The runs of an experiment: opened, trained where they do not stand yet, and judged together.

They are ordinary runs. So one that stands is not trained again, here or by `recsys run`, and an interrupted experiment goes on where it
stopped.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from recsys import artifacts, evaluation, schema, walk
from recsys.errors import ConfigError, RecsysError
from recsys.experiments.variants import Variant
from recsys.jobs import open_job
from recsys.progress import Console
from recsys.stages import Job, run_name
from recsys.workspace import PREDICTIONS

TO_PREDICTIONS = ("train", "score", "calibrate")


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
            runs.append(Run(variant, open_job(pipeline, workspace, run=name, wait=wait, console=console)))
    return runs


def trained(runs: Sequence[Run], what: str, *, stages: Sequence[str] = TO_PREDICTIONS) -> Iterator[Run]:
    """Yield each run once these stages of it stand. `what` is the experiment's name on the console.

    First each way of making examples is checked against the source, and each way of encoding them is walked, by the first run that has it.
    The other runs of this call learn from the same days, whatever their seed, although the log of a simulated feed depends on the seed. An
    experiment in which each seed draws a world of its own makes a call for each seed. Every error says of which variant it is.
    """
    with runs[0].job.at_work():  # all in one pipeline's folder, and what one run has made the next one needs
        for run in _first_of_each(runs, lambda job: job.examples):
            with _naming(f"{what} of {run.variant.name}"):
                walk.check(run.job.pipeline)
        for run in _first_of_each(runs, lambda job: job.encoded):
            with _naming(f"{what} of {run.variant.name}"):
                walk.run(run.job, until="encode")
        for place, run in enumerate(runs, start=1):
            said = f"{what} {place} of {len(runs)}: {run.variant.name}, seed {run.seed}"
            run.job.console.say(f"{said} ({run.job.run.name})")
            with _naming(said), run.job.locked(run.job.run):
                for stage in stages:
                    walk.run_stage(run.job, stage)
            yield run


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
        "Intervals": f"{options.confidence:.0%}, over {noise}; {options.bootstrap:,} bootstrap replicates",
    }
