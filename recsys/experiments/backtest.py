"""A backtest: each of several days predicted by a model that learned only the days before it; baselines alike.

One day of a log tells little: differences of a few thousandths drown in its noise. The runs are ordinary runs, one per config, seed and
day, so a run that stands is not trained again. The baselines learn the first config's examples once per day, with its first seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys import artifacts, evaluation, locks, report, schema, walk
from recsys.config import Pipeline
from recsys.config.grid import Choice
from recsys.errors import ConfigError, DataError, many, percent
from recsys.evaluation import Judged
from recsys.experiments.trained import TO_PREDICTIONS, Run, open_runs, require_direction, trained
from recsys.experiments.variants import Variant, read_variants, require_comparable, require_no_teacher, seeds_from
from recsys.progress import Console
from recsys.stages import baseline_kinds, baseline_run
from recsys.workspace import BACKTESTS, EVENTS, PREDICTIONS, days_in

ROWS_FILE, PAGE_FILE = "backtest.parquet", "backtest.html"
CONFIG = "config of the backtest"
WITH_BASELINES = ("train", "score", "baselines", "calibrate")


@dataclass(frozen=True)
class Asked:
    """Hold what is predicted, from the first to the last day, and by what it is judged: `metrics` as in `judged_by`, or the headline."""

    first: date
    last: date
    seeds: int = 1
    metrics: tuple[str, ...] = ()

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]


def run_backtest(
    path: Path,
    overrides: Sequence[str],
    choices: Sequence[Choice],
    asked: Asked,
    workspace: Path,
    *,
    wait: bool = False,
    console: Console,
) -> Path:
    """Train what is not trained yet, and leave backtest.parquet and backtest.html in the pipeline's folder under backtests/NAME/.

    Each of `choices` is a config, held against the baselines, and against the first one. Before anything is trained, raise ConfigError for
    any config that is refused and for days before which nothing is left to learn, and DataError for days without rows.
    """
    variants = _variants(path, overrides, choices)
    base = variants[0].pipeline
    judged = _judged(base, asked.metrics)
    on_days = [[_on(variant, day) for variant in variants] for day in asked.days]
    require_comparable(on_days[0], CONFIG)
    require_no_teacher(variants, "a teacher has learned the days of one split, and each day of a backtest has a split of its own")
    seeds = seeds_from(variants, asked.seeds)
    _require_rows(on_days[0], asked, workspace, console, wait)
    console.say(f"backtest: {many(len(on_days), 'day')}, {many(len(variants), 'config')}, {many(len(seeds), 'seed')} each")
    scored = [_Day.trained(day, of, seeds, workspace, console, wait) for day, of in zip(asked.days, on_days, strict=True)]
    console.say(f"backtest: judging {many(len(scored), 'day')}")
    return _write(scored, judged, asked, console)


def _variants(path: Path, overrides: Sequence[str], choices: Sequence[Choice]) -> list[Variant]:
    """Return the configs by name. A baseline of the name of a config is left out: it would be that config again."""
    found = read_variants(path, [*overrides, "evaluate.against=[]"], choices or [Choice("", ())], CONFIG)
    named = [Variant(variant.name or variant.pipeline.model.architecture, variant.pipeline) for variant in found]
    names = {variant.name for variant in named}
    kinds = tuple(kind for kind in named[0].pipeline.evaluate.baselines if kind not in names)
    return [_with_baselines(variant, kinds) for variant in named]


def _judged(pipeline: Pipeline, metrics: Sequence[str]) -> tuple[Judged, ...]:
    learned = [objective for objective in pipeline.objective if objective.loss_weight > 0]
    judged = evaluation.judged_by(learned, metrics, conditional=True) if metrics else evaluation.headline(learned)
    require_direction(judged)
    return judged


def _on(variant: Variant, day: date) -> Variant:
    """Return the variant that is tested on this day. As many days before it as the pipeline has validate, all earlier ones train."""
    try:
        days = variant.pipeline.split.ending(day, test_days=1)
    except ValueError as error:
        raise ConfigError(f"--days: {error}") from error
    return Variant(variant.name, variant.pipeline.model_copy(update={"split": days}), variant.stem)


def _require_rows(variants: Sequence[Variant], asked: Asked, workspace: Path, console: Console, wait: bool) -> None:
    """Raise what the source refuses of any config, and DataError where the log has no rows on one of the days.

    That should not be found out after hours of training.
    """
    for variant in variants:
        walk.check(variant.pipeline)
    run, *_ = open_runs(variants[:1], [variants[0].pipeline.seed], workspace, console, wait=wait)
    walk.run(run.job, until="ingest")
    there = days_in(run.job.folder / EVENTS)
    if lacking := [day.isoformat() for day in asked.days if day.isoformat() not in there]:
        raise DataError(
            f"--days: found no rows on {', '.join(lacking)}, expected some on each day. Fix: choose from {there[0]} to {there[-1]}"
        )


# --- One day ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Day:
    """A day that is scored: the runs of each config, and the predictions of the baselines by kind."""

    day: date
    runs: Sequence[Run]
    baselines: dict[str, Path]

    @classmethod
    def trained(cls, day: date, variants: Sequence[Variant], seeds: Sequence[int], workspace: Path, console: Console, wait: bool) -> "_Day":
        what = f"backtest of {day},"
        first, *_ = open_runs(variants[:1], seeds[:1], workspace, console, wait=wait)
        list(trained([first], what, stages=WITH_BASELINES))
        baselines = {kind: baseline_run(first.job, kind) / PREDICTIONS for kind in baseline_kinds(first.job.pipeline)}
        bare = [_with_baselines(variant, ()) for variant in variants]
        runs = open_runs(bare, seeds, workspace, console, wait=wait)
        list(trained(runs, what, stages=TO_PREDICTIONS))
        return cls(day, runs, baselines)

    def scored(self) -> Iterator[tuple[str, Path]]:
        """Yield (name, predictions) of each run and baseline; the same names on each day."""
        for run in self.runs:
            yield f"{run.variant.name}, seed {run.seed}", run.job.run / PREDICTIONS
        yield from self.baselines.items()


def _with_baselines(variant: Variant, kinds: tuple[str, ...]) -> Variant:
    evaluate = variant.pipeline.evaluate.model_copy(update={"baselines": kinds})
    return Variant(variant.name, variant.pipeline.model_copy(update={"evaluate": evaluate}), variant.stem)


# --- Judged together ----------------------------------------------------------------------------------------------
def _tables(days: Sequence[_Day]) -> Iterator[tuple[str, pa.Table]]:
    """Yield the predictions of each run and baseline on the tested days, one after another.

    They keep the first day's training rates, by which normalised entropy is divided.
    """
    for of_days in zip(*(day.scored() for day in days), strict=True):
        tables = [artifacts.read_table(path) for _, path in of_days]
        of_test = [table.filter(pc.equal(table[schema.SPLIT], schema.TEST)) for table in tables]
        together = pa.concat_tables(table.replace_schema_metadata() for table in of_test)
        yield of_days[0][0], together.replace_schema_metadata(tables[0].schema.metadata)


def _rows(days: Sequence[_Day], judged: Sequence[Judged], asked: Asked) -> pa.Table:
    first = days[0]
    pipeline = first.runs[0].job.pipeline
    confidence = pipeline.evaluate.confidence
    names = list(dict.fromkeys(run.variant.name for run in first.runs))
    who = evaluation.Contestants(
        {name: [place for place, run in enumerate(first.runs) if run.variant.name == name] for name in names},
        {kind: len(first.runs) + place for place, kind in enumerate(first.baselines)},
    )

    def found(of: Sequence[_Day], judged: Sequence[Judged]) -> evaluation.Paired:
        options = {"bootstrap": pipeline.evaluate.bootstrap, "seed": pipeline.seed}
        return evaluation.paired(_tables(of), pipeline.objective, judged, split=schema.TEST, **options)

    on_all = found(days, judged)
    on_all = on_all if asked.metrics else evaluation.one_within(on_all)
    rows = list(evaluation.backtest_rows(on_all, who, day=None, confidence=confidence))
    for day in days if len(days) > 1 else ():
        rows += evaluation.backtest_rows(found([day], on_all.judged), who, day=day.day.isoformat(), confidence=confidence)
    return evaluation.backtest_table(rows)


# --- What is left -------------------------------------------------------------------------------------------------
def _write(days: Sequence[_Day], judged: Sequence[Judged], asked: Asked, console: Console) -> Path:
    rows = _rows(days, judged, asked)
    job = days[0].runs[0].job
    pipeline = job.pipeline
    names = [path.parent.name for day in days for _, path in day.scored()]
    fingerprint = artifacts.fingerprint([names, list(asked.metrics), pipeline.evaluate.model_dump(mode="json")])
    folder = job.folder / BACKTESTS / f"{asked.first}-{len(days)}-{fingerprint[:6]}"
    with locks.writing(job.folder, folder, console):
        artifacts.write_file(folder / ROWS_FILE, lambda path: pq.write_table(rows, path), stage="backtest", fingerprint=fingerprint)
        confidence = pipeline.evaluate.confidence
        report.write_backtest(folder / PAGE_FILE, rows, pipeline.name, _facts(days, asked), confidence=confidence, fingerprint=fingerprint)
    console.result("")
    span = f"{asked.first}" + (f" to {asked.last}" if len(days) > 1 else "")
    for name, matrix in report.backtest_matrices(rows).items():
        report.terminal_matrix(f"{pipeline.name}: {name}, {span}, each day by a model of the days before", matrix, console)
    for line in report.backtest_words(rows, pipeline.evaluate.confidence):
        console.result(line)
    console.result(f"backtest: {folder / PAGE_FILE}")
    return folder


def _facts(days: Sequence[_Day], asked: Asked) -> dict[str, str]:
    runs = days[0].runs
    split = runs[0].job.pipeline.split
    validating = "" if split.validation is None else f", the last {(split.validation[1] - split.validation[0]).days + 1} for validation"
    seeds = list(dict.fromkeys(run.seed for run in runs))
    options = runs[0].job.pipeline.evaluate
    noise = "users and seeds" if len(seeds) > 1 else "users alone: one seed says nothing of the noise of seeds"
    return {
        "Days": f"{asked.first} to {asked.last}: {len(days)}, each predicted by models of the days before it",
        "Learned": f"all days from {split.train[0]} to the day before{validating}",
        "Configs": "; ".join(dict.fromkeys(run.variant.name for run in runs)),
        "Seeds": f"{', '.join(map(str, seeds))}; baselines: {seeds[0]}",
        "Runs": f"{len(days) * len(runs)}",
        "Intervals": f"{percent(options.confidence)}, over {noise}; {options.bootstrap:,} bootstrap replicates",
    }
