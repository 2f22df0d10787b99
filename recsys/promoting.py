"""A run's model becomes the current one if it is provably no worse than the one that is (`recsys promote`), and can be taken back."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsys import artifacts, calibration, locks, registry, schema
from recsys.config import Pipeline, Promote
from recsys.errors import ConfigError, NotPromotedError
from recsys.evaluation import main_metric
from recsys.health import stops
from recsys.judge import metrics_of
from recsys.objectives import Objective, chain
from recsys.progress import Console, aligned
from recsys.runs import pipeline_of
from recsys.stages import STAGES, Job, encoded_of, examples_of
from recsys.workspace import CALIBRATION, MODEL, MODELS, PREDICTIONS, RUNS, require_inside

_CURRENT = "current model"  # as a run to compare with
_DEFINITION = ("kind", "label", "observed", "given", "levels")  # of an objective: where one differs, its numbers are of other labels


@dataclass(frozen=True)
class Vote:
    """The vote of one objective: its paired difference to the current model, its calibration, and what speaks `against` the run."""

    objective: str
    metric: str
    positives: int  # of an objective that is no probability: known labels
    votes: bool
    margin: float
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    calibration: float | None = None
    calibration_low: float | None = None
    calibration_high: float | None = None
    against: tuple[str, ...] = ()


def promote(run: Path, console: Console, *, wait: bool = False) -> dict[str, Any]:
    """Make the run's model the current one of its pipeline, if nothing speaks against it. Return the decision, which is written down.

    The run is judged on its last test days, which its model has not learned. The current model predicts the same impressions, frozen.
    Raises NotPromotedError with every reason where the run is refused, ConfigError where the two cannot be compared.
    """
    run = run.resolve()
    pipeline, folder = pipeline_of(run), run.parent.parent
    days = _judged_days(pipeline, run)
    require_inside(folder, folder.parent)
    job = _job(pipeline, folder, run, console, wait=wait)
    with job.at_work(), job.locked(folder / MODELS):
        ours = _of_days(artifacts.read_table(run / PREDICTIONS), days)
        standing = registry.current_run(folder)
        theirs = None if standing is None else _by_current(standing, days, console, wait=wait)
        of_current = pipeline if standing is None else pipeline_of(standing)
        votes = _votes(pipeline, ours, theirs, [] if standing is None else _shared(pipeline, of_current))
        reasons = [reason for vote in votes for reason in vote.against]
        reasons += _other_objectives(pipeline, of_current)
        reasons += stops(job, [*_learned_days(pipeline), *days])
        if not any(vote.votes for vote in votes):
            reasons.append(f"no objective has {pipeline.promote.min_positives:,} positives on {days[0]} to {days[-1]}: none votes")
        decision = registry.record(
            folder,
            registry.REFUSED if reasons else registry.PROMOTED,
            run.name,
            model=_content(run),
            days=[days[0], days[-1]],
            rows=len(ours),
            objectives=[asdict(vote) for vote in votes],
            reasons=reasons,
        )
    _say(decision, votes, console)
    console.event("decision", pipeline=pipeline.name, **decision)
    if reasons:
        raise NotPromotedError([f"promote: {run.name} is not promoted: {reason}" for reason in reasons])
    return decision


def rollback(folder: Path, console: Console) -> dict[str, Any]:
    """Make the run current that was before the current one. Return the decision. Raises ConfigError where there is none, or it is gone."""
    with locks.at_work(folder, wait=False, console=console), locks.locked(folder, [folder / MODELS], wait=False, console=console):
        promotions = registry.standing(folder)
        if len(promotions) < 2:
            raise ConfigError(f"rollback: found {len(promotions)} promotions that stand in {folder}, expected two or more")
        before, current = promotions[-2:]
        run = folder / RUNS / str(before["run"])
        if not (run / MODEL).exists() or _content(run) != before["model"]:
            raise ConfigError(
                f"rollback: found no longer the model of {run.name} that decision {before['decision']} promoted. Fix: promote a run"
            )
        decision = registry.record(folder, registry.ROLLED_BACK, run.name, model=before["model"])
    console.result(f"current: {run.name} (before: {current['run']})")
    return decision


# --- Judging ------------------------------------------------------------------------------------------------------
def _judged_days(pipeline: Pipeline, run: Path) -> list[str]:
    """Return the last test days of the run, in order. Raise ConfigError where it has none."""
    days = pipeline.split.days(schema.TEST)
    if not days or not (run / PREDICTIONS).exists():
        what = "no test days" if not days else "no predictions"
        raise ConfigError(
            f"promote: found {what} of {run.name}, expected days that its model has not learned. Fix: run the pipeline with split.test"
        )
    return days[-(pipeline.promote.days or len(days)) :]


def _learned_days(pipeline: Pipeline) -> list[str]:
    parts = (schema.TRAIN, schema.VALIDATION) if pipeline.train.refit else (schema.TRAIN,)
    return [day for part in parts for day in pipeline.split.days(part)]


def _of_days(predictions: pa.Table, days: Sequence[str]) -> pa.Table:
    return predictions.filter(pc.is_in(predictions[schema.DAY], value_set=pa.array(days)))


def _by_current(standing: Path, days: Sequence[str], console: Console, *, wait: bool) -> pa.Table:
    """Return what the current model, frozen, predicts of these days: with the features that it has learned, calibrated by its own maps.

    Raise ConfigError where it has learned one of these days.
    """
    from recsys import scoring

    pipeline, folder = pipeline_of(standing), standing.parent.parent
    if (learned := pipeline.learned_through) >= days[0]:
        raise ConfigError(
            f"promote: found that the current model, {standing.name}, has learned through {learned}, expected that it does not know"
            f" {days[0]}, the first day to judge on. Fix: promote a run with later test days, or set promote.days"
        )
    until = pipeline.split.model_copy(update={"test": (date.fromisoformat(days[0]), date.fromisoformat(days[-1]))})
    job = _job(pipeline.model_copy(update={"split": until}), folder, standing, console, wait=wait)
    STAGES["features"].run(job)  # examples of days that its own split does not reach
    predicted = scoring.score_frozen(pipeline, job.examples, standing, days)
    if pipeline.evaluate.calibrate == "none":
        return predicted
    return calibration.read(standing / CALIBRATION).applied(predicted, pipeline.objective, run=standing.name)


def _votes(pipeline: Pipeline, ours: pa.Table, theirs: pa.Table | None, shared: Sequence[Objective]) -> list[Vote]:
    """Return a vote per objective. Of one that is not `shared` with the current model, only the calibration counts."""
    rows = _rows(pipeline, pipeline.objective, ours, {})
    differences = _rows(pipeline, shared, ours, {_CURRENT: theirs}) if shared else []
    return [_vote(objective, pipeline.promote, rows, differences) for objective in pipeline.objective]


def _shared(pipeline: Pipeline, of_current: Pipeline) -> list[Objective]:
    """Return the objectives that both predict, by the same labels; with `given`, so must be what they are given."""
    theirs = {objective.name: objective for objective in of_current.objective}

    def is_same(objective: Objective) -> bool:
        return objective.name in theirs and all(getattr(objective, key) == getattr(theirs[objective.name], key) for key in _DEFINITION)

    return [each for each in pipeline.objective if all(map(is_same, chain(each, pipeline.objective)))]


def _rows(
    pipeline: Pipeline, objectives: Sequence[Objective], ours: pa.Table, against: Mapping[str, pa.Table | None]
) -> list[dict[str, Any]]:
    of_these = pipeline.model_copy(update={"objective": tuple(objectives)})
    metrics = sorted({*map(main_metric, objectives), "calibration"})
    found = metrics_of(
        of_these, ours, run="run", against={name: table for name, table in against.items() if table is not None}, metrics=metrics
    )
    whole = found.filter(pc.and_(pc.is_null(found["day"]), pc.equal(found["slice"], schema.ALL)))
    return [row for row in whole.to_pylist() if (row["against"] is not None) == bool(against)]


def _vote(objective: Objective, options: Promote, rows: Sequence[dict[str, Any]], differences: Sequence[dict[str, Any]]) -> Vote:
    name, metric, margin = objective.name, main_metric(objective), options.margin_of(objective.name)

    def found(among: Sequence[dict[str, Any]], what: str) -> dict[str, Any]:
        return next((row for row in among if row["objective"] == name and row["metric"] == what), {})

    calibrated, difference = found(rows, "calibration"), found(differences, metric)
    counted = calibrated.get("n_positive") if objective.is_probability else calibrated.get("n")
    positives = int(counted or 0)
    if positives < options.min_positives:
        return Vote(name, metric, positives, votes=False, margin=margin)
    against = []
    if differences and difference and difference["low"] is None:
        against.append(f"{name}: its {metric} minus that of the current model has no interval ({difference['reason']})")
    elif difference and difference["low"] < -margin:
        against.append(
            f"{name}: {metric} {difference['value']:+.4f} [{difference['low']:+.4f}, {difference['high']:+.4f}] against the current model:"
            f" its lower bound is below -{margin:g}"
        )
    off = options.calibration
    if calibrated["low"] is not None and (calibrated["low"] > 1 + off or calibrated["high"] < 1 - off):
        against.append(
            f"{name}: predictions sum up to {calibrated['value']:.3f} [{calibrated['low']:.3f}, {calibrated['high']:.3f}] of the labels,"
            f" expected 1 ± {off:g}"
        )
    return Vote(
        *(name, metric, positives, True, margin, difference.get("value"), difference.get("low"), difference.get("high")),
        *(calibrated["value"], calibrated["low"], calibrated["high"], tuple(against)),
    )


def _other_objectives(pipeline: Pipeline, of_current: Pipeline) -> list[str]:
    """Return a reason for each objective that the current model predicts, and this run does not, or by another label."""
    ours = {objective.name: objective for objective in pipeline.objective}
    reasons = []
    for each in of_current.objective:
        if each.name not in ours:
            reasons.append(f"{each.name}: the current model predicts it, and this run does not")
            continue
        for key in _DEFINITION:
            one, other = getattr(ours[each.name], key), getattr(each, key)
            if one != other:
                reasons.append(f"{each.name}: its {key} is {one}, that of the current model {other}: the two cannot be compared")
    return reasons


# --- Saying -------------------------------------------------------------------------------------------------------
def _say(decision: Mapping[str, Any], votes: Sequence[Vote], console: Console) -> None:
    before = decision["current before"]
    against = "the first one: there is no current model to compare with" if before is None else f"against {before}"
    console.result(
        f"{decision['run']} {decision['outcome']} (decision {decision['decision']}), {against}; {decision['rows']:,} impressions"
    )
    table = [("objective", "positives", "difference", "margin", "calibration", "vote")]
    table += [(v.objective, f"{v.positives:,}", _said(v, v.difference, v.low, v.high, "+.4f"), f"{v.margin:g}",
               _said(v, v.calibration, v.calibration_low, v.calibration_high, ".3f"), _word(v)) for v in votes]  # fmt: skip
    for line in aligned(table):
        console.result(line)
    console.give(decision)


def _said(vote: Vote, value: float | None, low: float | None, high: float | None, form: str) -> str:
    if value is None:
        return "-"
    name = f"{vote.metric} " if form.startswith("+") else ""
    return f"{name}{value:{form}}" + ("" if low is None or high is None else f" [{low:{form}}, {high:{form}}]")


def _word(vote: Vote) -> str:
    if not vote.votes:
        return "none: too few positives"
    return "against" if vote.against else "for"


def _job(pipeline: Pipeline, folder: Path, run: Path, console: Console, *, wait: bool) -> Job:
    examples = examples_of(pipeline, folder)
    return Job(pipeline, folder, run, examples, encoded_of(pipeline, folder, examples), console, wait=wait)


def _content(run: Path) -> str:
    return artifacts.verify(run / MODEL).content
