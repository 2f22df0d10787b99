"""A sweep, which shows a front instead of a point: every config of a grid with every seed, judged together.

All configs are read and checked before anything is trained. Baselines are left out: they are the same for every point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsys import artifacts, evaluation, locks, report, schema
from recsys.config import Pipeline
from recsys.config.grid import Choice
from recsys.errors import ConfigError, DataError, many, percent
from recsys.evaluation.metrics import IN_GROUPS
from recsys.experiments.trained import Run, facts, open_runs, paired, points, require_direction, trained
from recsys.experiments.variants import Variant, read_variants, seeds_from
from recsys.judge import judging
from recsys.progress import Console
from recsys.workspace import SWEEPS

ROWS_FILE, PAGE_FILE = "sweep.parquet", "sweep.html"
POINT = "sweep point"


@dataclass(frozen=True)
class Judge:
    """The standard by which points are judged.

    None or empty means: the last part of the split, all objectives that learn, and both questions, each with a front of its own.
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

    There are `seeds` seeds, from the pipeline's own seed on. Raise ConfigError for any config that is refused, for points that are not
    judged on the same impressions by the same labels, and for too few replicates. The error comes before anything is trained, and names the
    points.
    """
    variants = read_variants(path, [*overrides, "evaluate.baselines=[]"], choices, POINT)
    base = variants[0].pipeline
    split = judging(base, judge.split)
    judged = _judged(variants, judge)
    _require_replicates(base)
    runs = open_runs(variants, seeds_from(variants, seeds), workspace, console, wait=wait)
    console.say(f"sweep: {many(len(runs), 'run')}, {many(len(choices), 'point')} with {many(seeds, 'seed')} each")
    ends: list[evaluation.Ends] = []

    def look(run: Run) -> None:
        """Raise where these days cannot be judged: after the first run, and not after hours of training."""
        ends.append(evaluation.anchors(run.predictions(), base.objective, judged, split=split))
        _require_ends(judged, ends[-1], split, asked=bool(judge.metrics))

    list(trained(runs, "sweep", look=look))
    console.say(f"sweep: judging {many(len(runs), 'run')} on {split} days")
    found = _found(runs, judged, _parts(base, split), asked=bool(judge.metrics))
    return _write(runs, found, _ends_of(judged, ends[0]), choices, console)


def _judged(variants: Sequence[Variant], judge: Judge) -> tuple[evaluation.Judged, ...]:
    """Return the numbers that judge; by default those of both questions, of all objectives that learn in some point.

    Raise ConfigError for unknown objectives, and for metrics that are unknown or have no direction.
    """
    objectives = variants[0].pipeline.objective
    names = [objective.name for objective in objectives]
    if unknown := [name for name in judge.objectives if name not in names]:
        raise ConfigError(f"--objective: found {', '.join(unknown)}, expected some of {', '.join(names)}")
    chosen = judge.objectives or {each.name for variant in variants for each in variant.pipeline.objective if each.loss_weight > 0}
    learned = [objective for objective in objectives if objective.name in chosen]
    judged = evaluation.judged_by(learned, judge.metrics) if judge.metrics else evaluation.two_questions(learned)
    require_direction(judged)
    return judged


def _require_replicates(pipeline: Pipeline) -> None:
    """Raise ConfigError where there are too few replicates for an interval: all points that are ahead in a few would dominate."""
    options = pipeline.evaluate
    if options.bootstrap < (least := evaluation.least_replicates(options.confidence)):
        raise ConfigError(
            f"evaluate.bootstrap: found {options.bootstrap}, expected {least:,} or more at a confidence of {options.confidence:g}: points"
            " are told apart by intervals. Fix: leave it out"
        )


def _require_ends(judged: Sequence[evaluation.Judged], ends: evaluation.Ends, split: str, *, asked: bool) -> None:
    """Raise DataError for numbers that no prediction has. Those within lists are left out where they were not asked for."""
    needed = [each for each in zip(judged, *ends, strict=True) if asked or each[0].metric.name not in IN_GROUPS]
    problems = [
        f"{number.metric.name} of {number.objective}: found that no prediction has a value on {split} days, as where no label is known or"
        " all are alike, expected one. Fix: leave the objective out with --objective, or name another --metric"
        for number, low, high in needed
        if low is None and high is None
    ]
    if problems:
        raise DataError("\n".join(problems))


def _parts(pipeline: Pipeline, split: str) -> list[str]:
    """Return the part that judges, and after it the later part that is not used to judge, if there is one."""
    later = split == schema.VALIDATION and schema.TEST in pipeline.split.parts()
    return [split, *([schema.TEST] if later else [])]


@dataclass(frozen=True)
class _Found:
    """The points by question: on the days that decide which are good, and on later days, which do not. `rows` are beside these."""

    deciding: Sequence[evaluation.Points]
    later: Sequence[evaluation.Points]
    rows: Sequence[pa.Table]


def _found(runs: Sequence[Run], judged: Sequence[evaluation.Judged], parts: Sequence[str], *, asked: bool) -> _Found:
    split, *later = parts
    on_split = paired(runs, judged, split)
    confidence = runs[0].job.pipeline.evaluate.confidence
    numbers = {schema.ASKED: on_split} if asked else evaluation.by_question(on_split)
    beside = [] if asked else [evaluation.left_out_rows(on_split, split=split, confidence=confidence)]
    deciding = [points(runs, of, split, question) for question, of in numbers.items()]
    on_later = [(part, paired(runs, judged, part)) for part in later]
    return _Found(
        deciding,
        [
            points(runs, evaluation.only_valued(of_part, each.paired.judged), part, each.question)
            for part, of_part in on_later
            for each in deciding
        ],
        beside,
    )


def _ends_of(judged: Sequence[evaluation.Judged], ends: evaluation.Ends) -> dict[tuple[str, str], tuple[float | None, float | None]]:
    """Return (objective, metric) → the two ends of its scale."""
    return {(j.objective, j.metric.name): (low, high) for j, low, high in zip(judged, *ends, strict=True)}


# --- What is left -------------------------------------------------------------------------------------------------
def _write(
    runs: Sequence[Run],
    found: _Found,
    ends: dict[tuple[str, str], tuple[float | None, float | None]],
    choices: Sequence[Choice],
    console: Console,
) -> Path:
    first = found.deciding[0]
    judged = [[(j.objective, j.metric.name) for j in each.paired.judged] for each in found.deciding]
    of_questions = [
        evaluation.sweep_rows(each, ([ends[at][0] for at in of], [ends[at][1] for at in of]))
        for each, of in zip(found.deciding, judged, strict=True)
    ]
    table = pa.concat_tables([*of_questions, *found.rows, *map(evaluation.later_rows, found.later)])
    pipeline = runs[0].job.pipeline
    fingerprint = artifacts.fingerprint([[first.paired.runs, first.split, judged], pipeline.evaluate.model_dump(mode="json")])
    keys = list(dict.fromkeys(override.partition("=")[0] for choice in choices for override in choice.overrides))
    name = "-".join(dict.fromkeys(key.rpartition(".")[2] for key in keys))
    folder = runs[0].job.folder / SWEEPS / f"{name}-{fingerprint[:6]}"
    with locks.writing(runs[0].job.folder, folder, console):
        artifacts.write_file(folder / ROWS_FILE, lambda path: pq.write_table(table, path), stage="sweep", fingerprint=fingerprint)
        report.write_sweep(folder / PAGE_FILE, table, pipeline.name, _facts(found.deciding, runs, keys), fingerprint=fingerprint)
    console.result("")
    for question, matrix in report.sweep_matrices(table).items():
        report.terminal_matrix(f"{pipeline.name}: {question}, {first.split} days", matrix, console)
    for line in report.sweep_words(table):
        console.result(line)
    console.result(f"sweep: {folder / PAGE_FILE}")
    return folder


def _facts(deciding: Sequence[evaluation.Points], runs: Sequence[Run], keys: Sequence[str]) -> dict[str, str]:
    first = deciding[0]
    seeds = first.seeds
    levels = dict.fromkeys(f"{100 * each.dominated.level:.4g}%" for each in deciding)
    return {
        "Swept": ", ".join(keys),
        "Points": f"{len(first.names)}, {len(seeds)} seed{'s' * (len(seeds) > 1)} each: {', '.join(map(str, seeds))}",
        **facts([each.paired for each in deciding], runs, first.split, "points"),
        "Dominated": f"by a point that in {' or '.join(levels)} of the replicates or more is nowhere worse: so a point that"
        f" none truly beats is called so on one front in {percent(1 - first.confidence)} of sweeps at most",
    }
