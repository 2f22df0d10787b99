"""A sweep, which shows a front instead of a point: every config of a grid with every seed, judged together.

All configs are read and checked before anything is trained. Baselines are left out: they are the same for every point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsys import artifacts, config, evaluation, locks, report, schema
from recsys.config import Pipeline
from recsys.config.grid import Choice
from recsys.errors import ConfigError
from recsys.experiments.trained import Run, facts, open_runs, points, trained
from recsys.experiments.variants import Variant, require_comparable, seeds_from
from recsys.judge import judging
from recsys.progress import Console
from recsys.workspace import SWEEPS

ROWS_FILE, PAGE_FILE = "sweep.parquet", "sweep.html"
POINT = "sweep point"


@dataclass(frozen=True)
class Judge:
    """The standard by which points are judged.

    None or empty means: the last part of the split, all objectives that learn, the main metrics.
    """

    split: str | None = None
    objectives: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


def run_sweep(
    path: Path,
    overrides: Sequence[str],
    choices: Sequence[Choice],
    judge: Judge,
    workspace: Path,
    *,
    seeds: int,
    wait: bool = False,
    console: Console,
) -> Path:
    """Train what is not trained yet, and leave sweep.parquet and sweep.html in the pipeline's folder under sweeps/NAME/.

    There are `seeds` seeds, from the pipeline's own seed on. Raise ConfigError for any config that is refused, and for points that are not
    judged on the same impressions by the same labels. The error comes before anything is trained, and names the points.
    """
    variants = _variants(path, overrides, choices)
    base = variants[0].pipeline
    split = judging(base, judge.split)
    judged = _judged(variants, judge)
    runs = open_runs(variants, seeds_from(variants, seeds), workspace, console, wait=wait)
    console.say(f"sweep: {len(runs)} runs, {len(choices)} points with {seeds} seed{'s' * (seeds > 1)} each")
    for run in trained(runs, "sweep"):
        if run is runs[0]:  # raises where these days cannot be judged, before hours of training and not after
            ends = evaluation.anchors(run.predictions(), base.objective, judged, split=split)
    console.say(f"sweep: judging {len(runs)} runs on {split} days")
    found = [points(runs, judged, part) for part in _parts(base, split)]
    return _write(runs, found, ends, choices, console)


def _variants(path: Path, overrides: Sequence[str], choices: Sequence[Choice]) -> list[Variant]:
    """Read the config of every point. Raise ConfigError with everything that is wrong."""
    problems: list[str] = []
    variants: list[Variant] = []
    for choice in choices:
        try:
            variants.append(Variant(choice.name, config.load(path, [*overrides, *choice.overrides, "evaluate.baselines=[]"])))
        except ConfigError as error:
            problems += [f"{POINT} {choice.name}: {problem}" for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    require_comparable(variants, POINT)
    return variants


def _judged(variants: Sequence[Variant], judge: Judge) -> tuple[evaluation.Judged, ...]:
    """Return the axes of the plane; by default all objectives that learn in some point.

    Raise ConfigError for unknown objectives, and for metrics that are unknown or have no direction.
    """
    objectives = variants[0].pipeline.objective
    names = [objective.name for objective in objectives]
    if unknown := [name for name in judge.objectives if name not in names]:
        raise ConfigError(f"--objective: found {', '.join(unknown)}, expected some of {', '.join(names)}")
    chosen = judge.objectives or {each.name for variant in variants for each in variant.pipeline.objective if each.loss_weight > 0}
    judged = evaluation.judged_by([objective for objective in objectives if objective.name in chosen], judge.metrics)
    if aimless := [each.metric.name for each in judged if each.better is None]:
        found = ", ".join(dict.fromkeys(aimless))
        raise ConfigError(f"--metric: found {found}, which is best at neither end, expected one with a direction")
    return judged


def _parts(pipeline: Pipeline, split: str) -> list[str]:
    """Return the part that judges, and after it the later part that is not used to judge, if there is one."""
    later = split == schema.VALIDATION and schema.TEST in pipeline.split.parts()
    return [split, *([schema.TEST] if later else [])]


# --- What is left -------------------------------------------------------------------------------------------------
def _write(
    runs: Sequence[Run], found: Sequence[evaluation.Points], ends: evaluation.Ends, choices: Sequence[Choice], console: Console
) -> Path:
    deciding, *later = found
    table = pa.concat_tables([evaluation.sweep_rows(deciding, ends), *(evaluation.later_rows(each) for each in later)])
    pipeline = runs[0].job.pipeline
    asked = [deciding.paired.runs, deciding.split, [(j.objective, j.metric.name) for j in deciding.paired.judged]]
    fingerprint = artifacts.fingerprint([asked, pipeline.evaluate.model_dump(mode="json")])
    keys = list(dict.fromkeys(override.partition("=")[0] for choice in choices for override in choice.overrides))
    name = "-".join(dict.fromkeys(key.rpartition(".")[2] for key in keys))
    folder = runs[0].job.folder / SWEEPS / f"{name}-{fingerprint[:6]}"
    with locks.locked(runs[0].job.folder, [folder], wait=True, console=console):  # written in a moment
        artifacts.write_file(folder / ROWS_FILE, lambda path: pq.write_table(table, path), stage="sweep", fingerprint=fingerprint)
        report.write_sweep(folder / PAGE_FILE, table, pipeline.name, _facts(deciding, runs, keys), fingerprint=fingerprint)
    console.result("")
    report.terminal_matrix(f"{pipeline.name}: {deciding.split} days", report.sweep_matrix(table), console)
    for line in report.sweep_words(table):
        console.result(line)
    console.result(f"sweep: {folder / PAGE_FILE}")
    return folder


def _facts(deciding: evaluation.Points, runs: Sequence[Run], keys: Sequence[str]) -> dict[str, str]:
    seeds = deciding.seeds
    return {
        "Swept": ", ".join(keys),
        "Points": f"{len(deciding.names)}, {len(seeds)} seed{'s' * (len(seeds) > 1)} each: {', '.join(map(str, seeds))}",
        **facts(deciding.paired, runs, deciding.split, "points"),
        "Dominated": f"by a point that in {100 * deciding.dominated.level:.4g}% of the replicates or more is nowhere worse: so a point that"
        f" none truly beats is called so in {1 - deciding.confidence:.0%} of sweeps at most",
    }
