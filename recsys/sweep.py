"""A sweep, which shows a front instead of a point: every config of a grid with every seed, each an ordinary run, judged together.

Runs are named as any other run. So a run that stands is not trained again, here or by `recsys run`, and an interrupted sweep goes on where
it stopped. All configs are read and checked before anything is trained. Baselines are left out: they are the same for every point.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys import artifacts, config, evaluation, report, schema, walk
from recsys.config import Pipeline
from recsys.config.grid import Choice
from recsys.errors import ConfigError, RecsysError
from recsys.jobs import open_job
from recsys.judge import judging
from recsys.objectives import Objective
from recsys.progress import Console
from recsys.stages import Job, run_identity
from recsys.workspace import PREDICTIONS, SWEEPS

ROWS_FILE, PAGE_FILE = "sweep.parquet", "sweep.html"
OWN = ("name", "source", "seed")  # keys of the pipeline that all points have in common; a point's seeds follow from `seed`
LABEL = ("name", "kind", "label", "observed", "given", "levels", "better")  # keys of an objective that all points have in common


@dataclass(frozen=True)
class Judge:
    """The standard by which points are judged.

    None or empty means: the last part of the split, all objectives that learn, the main metrics.
    """

    split: str | None = None
    objectives: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One training: a point of the sweep with one seed."""

    point: str
    pipeline: Pipeline


def sweep(
    path: Path, overrides: Sequence[str], points: Sequence[Choice], judge: Judge, workspace: Path, *, seeds: int, console: Console
) -> Path:
    """Train what is not trained yet, and leave sweep.parquet and sweep.html in the pipeline's folder under sweeps/NAME/.

    There are `seeds` seeds, from the pipeline's own seed on. Raise ConfigError for any config that is refused, and for points that are not
    judged on the same impressions by the same labels. The error comes before anything is trained, and names the points.
    """
    runs = plan(path, overrides, points, seeds)
    base = runs[0].pipeline
    split = judging(base, judge.split)
    judged = _judged(runs, judge)
    jobs = [open_job(run.pipeline, workspace, run=None, replace=False, console=console) for run in runs]
    _check(runs, jobs)
    console.say(f"sweep: {len(jobs)} runs, {len(points)} points with {seeds} seed{'s' * (seeds > 1)} each")
    _encode(runs, jobs, seeds)
    for place, (run, job) in enumerate(zip(runs, jobs, strict=True), start=1):
        said = f"sweep {place} of {len(jobs)}: {run.point}, seed {run.pipeline.seed}"
        console.say(f"{said} ({job.run.name})")
        with _naming(said):
            for stage in ("train", "score", "calibrate"):
                walk.run_stage(job, stage)
        if place == 1:
            ends = evaluation.anchors(_predictions(job), base.objective, judged, split=split)
    console.say(f"sweep: judging {len(jobs)} runs on {split} days")
    found = [_points(runs, jobs, judged, part, seeds) for part in _parts(base, split)]
    return _write(jobs[0], found, ends, points, console)


def plan(path: Path, overrides: Sequence[str], points: Sequence[Choice], seeds: int) -> list[Run]:
    """Return every point with every seed, the seeds of a point after one another. Raise ConfigError with everything that is wrong."""
    problems: list[str] = []
    loaded: list[Run] = []
    for point in points:
        try:
            loaded.append(Run(point.name, config.load(path, [*overrides, *point.overrides, "evaluate.baselines=[]"])))
        except ConfigError as error:
            problems += [f"sweep point {point.name}: {problem}" for problem in error.problems]
    problems = problems or [*_unlike(loaded), *_alike(loaded)]
    if problems:
        raise ConfigError(problems)
    step = max(run.pipeline.model.members for run in loaded)  # each member has a seed of its own
    return [
        Run(run.point, run.pipeline.model_copy(update={"seed": run.pipeline.seed + place * step}))
        for run in loaded
        for place in range(seeds)
    ]


def _unlike(runs: Sequence[Run]) -> Iterator[str]:
    """Yield a problem for each point that cannot be judged together with the first point."""
    first = runs[0]
    for run in runs:
        pipeline = run.pipeline
        differing = [key for key in OWN if getattr(pipeline, key) != getattr(first.pipeline, key)]
        if _labels(pipeline.objective) != _labels(first.pipeline.objective):
            differing.append(f"an objective's {', '.join(LABEL)}")
        differing += [
            f"split.{part}"
            for part in (schema.VALIDATION, schema.TEST)
            if pipeline.split.parts().get(part) != first.pipeline.split.parts().get(part)
        ]
        if differing:
            yield (
                f"sweep point {run.point}: found another {'; '.join(differing)} than {first.point} has, expected points judged on the same"
                " impressions by the same labels. Fix: seeds by --seeds, all else in pipelines of its own"
            )


def _labels(objectives: Sequence[Objective]) -> list[dict[str, Any]]:
    return [objective.model_dump(mode="json", include=set(LABEL)) for objective in objectives]


def _alike(runs: Sequence[Run]) -> Iterator[str]:
    """Yield a problem for each point that is the same run as an earlier point. It would be a second name of one thing."""
    known: dict[str, Run] = {}
    for run in runs:
        identity = artifacts.fingerprint(run_identity(run.pipeline))
        first = known.setdefault(identity, run)
        if first is not run:
            yield (
                f"sweep point {run.point}: found the same config as {first.point}, expected another."
                " Fix: sweep keys that a run depends on; seeds by --seeds"
            )


def _judged(runs: Sequence[Run], judge: Judge) -> tuple[evaluation.Judged, ...]:
    """Return the axes of the plane; by default all objectives that learn in some point.

    Raise ConfigError for unknown objectives, and for metrics that are unknown or have no direction.
    """
    objectives = runs[0].pipeline.objective
    names = [objective.name for objective in objectives]
    if unknown := [name for name in judge.objectives if name not in names]:
        raise ConfigError(f"--objective: found {', '.join(unknown)}, expected some of {', '.join(names)}")
    chosen = judge.objectives or {each.name for run in runs for each in run.pipeline.objective if each.loss_weight > 0}
    judged = evaluation.judged_by([objective for objective in objectives if objective.name in chosen], judge.metrics)
    if aimless := [each.metric.name for each in judged if each.better is None]:
        found = ", ".join(dict.fromkeys(aimless))
        raise ConfigError(f"--metric: found {found}, which is best at neither end, expected one with a direction")
    return judged


def _check(runs: Sequence[Run], jobs: Sequence[Job]) -> None:
    """Check each way of making examples against the source, once."""
    checked: dict[Path, Run] = {}
    for run, job in zip(runs, jobs, strict=True):
        checked.setdefault(job.examples, run)
    for run in checked.values():
        with _naming(f"sweep point {run.point}"):
            walk.check(run.pipeline)


def _encode(runs: Sequence[Run], jobs: Sequence[Job], seeds: int) -> None:
    """Encode what there is to learn from, once for each way of making it.

    The first seed of a point is used, because a simulated log depends on its pipeline's seed too.
    """
    done: set[Path] = set()
    for run, job in list(zip(runs, jobs, strict=True))[::seeds]:
        if job.encoded not in done:
            with _naming(f"sweep point {run.point}"):
                walk.run(job, until="encode")
            done.add(job.encoded)


@contextlib.contextmanager
def _naming(what: str) -> Iterator[None]:
    """Put `what` before the text of every error, so that the error names its point."""
    try:
        yield
    except RecsysError as error:
        raise type(error)(f"{what}: {error}") from error


# --- Numbers ------------------------------------------------------------------------------------------------------
def _predictions(job: Job) -> pa.Table:
    return artifacts.read_table(job.run / PREDICTIONS)


def _parts(pipeline: Pipeline, split: str) -> list[str]:
    """Return the part that judges, and after it the later part that is not used to judge, if there is one."""
    later = split == schema.VALIDATION and schema.TEST in pipeline.split.parts()
    return [split, *([schema.TEST] if later else [])]


def _points(runs: Sequence[Run], jobs: Sequence[Job], judged: Sequence[evaluation.Judged], split: str, seeds: int) -> evaluation.Points:
    pipeline = runs[0].pipeline
    scored = ((job.run.name, _predictions(job)) for job in jobs)
    options = pipeline.evaluate
    paired = evaluation.paired(scored, pipeline.objective, judged, split=split, bootstrap=options.bootstrap, seed=pipeline.seed)
    names = tuple(dict.fromkeys(run.point for run in runs))
    return evaluation.Points(names, tuple(run.pipeline.seed for run in runs[:seeds]), paired, split, options.confidence, pipeline.seed)


# --- What is left -------------------------------------------------------------------------------------------------
def _write(job: Job, found: Sequence[evaluation.Points], ends: evaluation.Ends, points: Sequence[Choice], console: Console) -> Path:
    judging, *later = found
    table = pa.concat_tables([evaluation.sweep_rows(judging, ends), *(evaluation.later_rows(each) for each in later)])
    pipeline = job.pipeline
    asked = [judging.paired.runs, judging.split, [(j.objective, j.metric.name) for j in judging.paired.judged]]
    fingerprint = artifacts.fingerprint([asked, pipeline.evaluate.model_dump(mode="json")])
    name = "-".join(dict.fromkeys(key.rpartition(".")[2] for key in _keys(points)))
    folder = job.folder / SWEEPS / f"{name}-{fingerprint[:6]}"
    artifacts.write_file(folder / ROWS_FILE, lambda path: pq.write_table(table, path), stage="sweep", fingerprint=fingerprint)
    report.write_sweep(folder / PAGE_FILE, table, pipeline.name, _facts(judging, pipeline, points), fingerprint=fingerprint)
    console.say("")
    report.terminal_matrix(f"{pipeline.name}: {judging.split} days", report.sweep_matrix(table), console)
    for line in report.sweep_words(table):
        console.say(line)
    console.say(f"sweep: {folder / PAGE_FILE}")
    return folder


def _keys(points: Sequence[Choice]) -> list[str]:
    """Return the keys that were swept over, each once."""
    return list(dict.fromkeys(override.partition("=")[0] for point in points for override in point.overrides))


def _facts(points: evaluation.Points, pipeline: Pipeline, choices: Sequence[Choice]) -> dict[str, str]:
    keys = _keys(choices)
    first, last = pipeline.split.parts()[points.split]
    seeds = points.seeds
    noise = "users alone: one seed says nothing of the noise of seeds"
    if len(seeds) > 1:
        noise = "users and seeds: the variance between seeds, pooled over points, is added to that over users"
    return {
        "Swept": ", ".join(keys),
        "Points": f"{len(choices)}, {len(seeds)} seed{'s' * (len(seeds) > 1)} each: {', '.join(map(str, seeds))}",
        "Judged on": f"{points.split} days, {first}" + (f" to {last}" if first != last else ""),
        "Judged by": ", ".join(f"{judged.metric.name} of {judged.objective}" for judged in points.paired.judged),
        "Users": ", ".join(f"{users:,} ({j.objective})" for users, j in zip(points.paired.users, points.paired.judged, strict=True)),
        "Intervals": f"{points.confidence:.0%}, over {noise}; {pipeline.evaluate.bootstrap:,} bootstrap replicates",
        "Dominated": f"by a point that in {100 * points.dominated.level:.4g}% of the replicates or more is nowhere worse: so a point that"
        f" none truly beats is called so in {1 - points.confidence:.0%} of sweeps at most",
    }
