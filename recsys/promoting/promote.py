"""A run is judged against the current model on days that neither has learned, and becomes the current one, or is refused with reasons."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsys import artifacts, calibration, locks, registry, schema
from recsys.config import Pipeline
from recsys.errors import ArtifactError, ConfigError, NotPromotedError, many
from recsys.found_runs import is_made_of, of_another_model
from recsys.health import stops
from recsys.jobs import job_of
from recsys.progress import Console, aligned
from recsys.promoting.votes import Vote, other_objectives, shared_objectives, votes_of
from recsys.runs import learned_through, pipeline_of
from recsys.signals import deferred_interrupt
from recsys.stages import STAGES, Job, predicted_before, predicted_days, raw_predictions
from recsys.workspace import CALIBRATION, MODEL, MODELS, PREDICTIONS, RUNS, require_inside


def promote(run: Path, console: Console, *, because: str | None = None, wait: bool = False) -> dict[str, Any]:
    """Make the run's model the current one of its pipeline, if nothing speaks against it. Return the decision, which is written down.

    The run is judged on its last test days, in time order also on days before them, as they were predicted before they were learned. The
    current model predicts the same impressions, frozen as it is. `because` is a reason to promote the run unjudged: when the current model
    is gone, or predicts something else on purpose. Raises NotPromotedError with every reason where the run is refused, ConfigError where
    the two cannot be compared, ArtifactError where files are damaged, or of another model than the run's.
    """
    run = run.resolve()
    if run.parent.name != RUNS:
        raise ConfigError(f"promote: found {run}, which is no run of a workspace, expected WORKSPACE/NAME/{RUNS}/RUN")
    pipeline, folder = pipeline_of(run), run.parent.parent
    require_inside(folder, folder.parent)
    job = job_of(pipeline, run, console, wait=wait)
    with job.at_work(), job.locked(folder / MODELS, run):
        if because is not None:
            if not because.strip():
                raise ConfigError("--because: found no text, expected the reason why the run is promoted unjudged")
            decision = registry.record(folder, registry.PROMOTED, run.name, serves=_serves(run), because=because)
            console.result(f"{run.name} promoted unjudged (decision {decision['decision']}): {because}")
        else:
            decision = _judged(job, console, wait=wait)
    console.event("decision", pipeline=pipeline.name, **decision)
    console.give(decision)
    if decision["outcome"] == registry.REFUSED:
        raise NotPromotedError([f"promote: {run.name} is not promoted: {reason}" for reason in decision["reasons"]])
    return decision


def rollback(folder: Path, console: Console, *, to: str | None = None, wait: bool = False) -> dict[str, Any]:
    """Make the newest run current that was promoted before the current one and still serves the same. Return the decision.

    `to` names that run, so that the same command again goes no further back: where it is the current one, the decision that made it so is
    returned, and nothing is written. Raises ConfigError where there is none to go back to.
    """
    _target_and_current(folder, to)  # before a lock makes a folder
    with locks.at_work(folder, wait=wait, console=console), locks.locked(folder, [folder / MODELS], wait=wait, console=console):
        target, current = _target_and_current(folder, to)
        decision = None
        # After Ctrl-C the same command is given again. Of a rollback that is written down it would go back once more.
        with contextlib.suppress(KeyboardInterrupt), deferred_interrupt():
            if target == current:
                decision = [line for line in registry.decisions(folder) if line["outcome"] != registry.REFUSED][-1]
                console.result(f"current: {target['run']}, as before")
            else:
                decision = registry.record(folder, registry.ROLLED_BACK, target["run"], to=target["decision"], serves=target["serves"])
                console.result(f"current: {target['run']} (before: {current['run']})")
                console.event("decision", pipeline=folder.name, **decision)
            console.give(decision)
        if decision is None:
            raise KeyboardInterrupt
    return decision


def _target_and_current(folder: Path, to: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the promotion that a rollback goes back to, and the current one. Raise ConfigError where there is none to go back to."""
    promotions = registry.standing(folder)
    there = [each for each in (promotions[:-1] if to is None else promotions) if registry.is_there(folder, each)]
    if not there:
        was = "no promotion before the current one" if len(promotions) < 2 else "no earlier promotion whose model is still there"
        raise ConfigError(f"rollback: found {was} in {folder}, expected one to go back to. Fix: recsys promote RUN --because REASON")
    if not (named := [each for each in there if to in (None, each["run"])]):
        names = ", ".join(dict.fromkeys(each["run"] for each in there))
        raise ConfigError(f'--to: found "{to}", expected a run that was promoted, stands and is still there: {names}')
    return named[-1], promotions[-1]


# --- Judging ------------------------------------------------------------------------------------------------------
def _judged(job: Job, console: Console, *, wait: bool) -> dict[str, Any]:
    """Judge the run, and write the decision down."""
    pipeline, run, folder = job.pipeline, job.run, job.folder
    tested = _last_test_days(_predictions(pipeline, run), pipeline.promote.days, run)
    test_days = sorted(set(tested[schema.DAY].to_pylist()))
    if (learned := learned_through(run)) >= test_days[0]:
        raise ConfigError(
            f"promote: found that {run.name} has learned through {learned}, with the run that it started from, expected that"
            f" {test_days[0]} is new to it. Fix: later test days"
        )
    current = registry.current_run(folder)
    before = _days_before_learned(job, "" if current is None else _known_through(current), test_days)
    days, ours = [*before, *test_days], _with_days_before(job, before, tested)
    theirs = None if current is None else _by_current(current, days, console, wait=wait)
    of_current = pipeline if current is None else pipeline_of(current)
    shared = [] if current is None else shared_objectives(pipeline, of_current)
    if theirs is not None:
        _require_as_logged(run, ours, theirs, [schema.label_column(objective.name) for objective in shared])
    votes = votes_of(pipeline, ours, theirs, shared)
    reasons = [reason for vote in votes for reason in vote.against]
    reasons += other_objectives(pipeline, of_current)
    reasons += stops(job, [*_learned_days(pipeline), *days])
    if all(vote.silent for vote in votes):
        reasons.append(f"no objective can vote on {days[0]} to {days[-1]}: {'; '.join(f'{v.objective}: {v.silent}' for v in votes)}")
    decision = registry.record(
        folder,
        registry.REFUSED if reasons else registry.PROMOTED,
        run.name,
        serves=_serves(run),
        days=[days[0], days[-1]],
        predicted_before_learned=before,
        rows=len(ours),
        objectives=[asdict(vote) for vote in votes],
        reasons=reasons,
    )
    _say(decision, votes, console)
    return decision


def _serves(run: Path) -> str:
    found = registry.serves(run)
    if found is None:
        raise ArtifactError(f"{run}: found no model, expected that of a trained run. Fix: run the pipeline")
    return found


def _predictions(pipeline: Pipeline, run: Path) -> pa.Table:
    """Read what the run's own model predicted, calibrated as the run is. Raise ArtifactError where it is of an earlier model."""
    file, raw = run / PREDICTIONS, raw_predictions(run, pipeline)
    if not file.exists() or not raw.exists():
        raise ConfigError(
            f"promote: found no predictions of {run.name}, expected those of its test days. Fix: run the pipeline with split.test"
        )
    for made, source in pairwise(dict.fromkeys((file, raw, run / MODEL))):  # those of a run without calibration are its raw ones
        artifacts.verify(source)
        if not is_made_of(run, made.name, source.name):
            raise of_another_model(made)
    return artifacts.read_table(file)


def _last_test_days(predictions: pa.Table, most: int | None, run: Path) -> pa.Table:
    """Return the rows of the last test days that have impressions. Raise ConfigError where there is none."""
    tested = predictions.filter(pc.equal(predictions[schema.SPLIT], schema.TEST))
    days = sorted(set(tested[schema.DAY].to_pylist()))
    if not days:
        raise ConfigError(f"promote: found no test days of {run.name}, expected days that its model has not learned. Fix: split.test")
    return tested.filter(pc.is_in(tested[schema.DAY], value_set=pa.array(days[-(most or len(days)) :])))


def _known_through(current: Path) -> str:
    """Return the last ISO day that the current model knows: that it has learned, or that its calibration was fitted on."""
    pipeline, learned = pipeline_of(current), learned_through(current)
    fitted = [day for day in pipeline.split.days(schema.VALIDATION) if pipeline.evaluate.calibrate != "none"]
    return max([learned, *fitted])


def _days_before_learned(job: Job, known: str, test_days: Sequence[str]) -> list[str]:
    """Return the days before the test days that are judged, too: they were predicted before they were learned.

    The current model, which knows all through the ISO day `known`, must not know them either. They fill up `promote.days`. There are none
    in shuffled order, and none where predictions are calibrated, because the maps of the run know labels of these days.
    """
    pipeline = job.pipeline
    most = 0 if pipeline.promote.days is None else pipeline.promote.days - len(test_days)
    if most <= 0 or pipeline.train.order != "time" or pipeline.evaluate.calibrate != "none":
        return []
    return [day for day in predicted_days(job) if known < day < test_days[0]][-most:]


def _with_days_before(job: Job, days: Sequence[str], tested: pa.Table) -> pa.Table:
    """Return the predictions of these days and of the test days, in this order."""
    before = [predicted_before(job, job.pipeline, day) for day in days]
    return pa.concat_tables([*(table.select(_shared(table, tested)) for table in before), tested.select(_shared(tested, *before))])


def _require_as_logged(run: Path, ours: pa.Table, theirs: pa.Table, labels: Sequence[str]) -> None:
    """Raise ArtifactError where the log has other impressions, or labels, than the run was scored on: the current model predicts these."""
    scored, logged = ({day: _rows_of(table, day, labels) for day in table[schema.DAY].unique().to_pylist()} for table in (ours, theirs))
    if other := [day for day in sorted({*scored, *logged}) if day not in scored or scored[day] != logged.get(day)]:
        raise ArtifactError(
            f"{run / PREDICTIONS}: found other impressions or labels on {', '.join(other)} than the log has now, expected the same: the day"
            f" has changed since {run.name} was scored. Fix: run the pipeline to its end with --run {run.name}, then promote it"
        )


def _rows_of(table: pa.Table, day: str, labels: Sequence[str]) -> pa.Table:
    rows = table.filter(pc.equal(table[schema.DAY], day)).select([schema.EVENT_ID, *labels])
    return rows.sort_by(schema.EVENT_ID).combine_chunks()


def _shared(table: pa.Table, *others: pa.Table) -> list[str]:
    return [name for name in table.column_names if all(name in other.column_names for other in others)]


def _learned_days(pipeline: Pipeline) -> list[str]:
    return [day for part in schema.SPLITS for day in pipeline.split.days(part) if day <= pipeline.learned_through]


def _by_current(current: Path, days: Sequence[str], console: Console, *, wait: bool) -> pa.Table:
    """Return what the current model, frozen, predicts of these days: with the features that it has learned, calibrated by its own maps.

    Raise ConfigError where it, or its calibration, knows one of these days.
    """
    from recsys import scoring

    pipeline = pipeline_of(current)
    if (known := _known_through(current)) >= days[0]:
        how = "has learned" if learned_through(current) == known else "is calibrated"
        raise ConfigError(
            f"promote: found that the current model, {current.name}, {how} through {known}, expected that it does not know"
            f" {days[0]}, the first day to judge on. Fix: promote a run with later test days, or set promote.days"
        )
    until = pipeline.split.model_copy(update={"test": (date.fromisoformat(days[0]), date.fromisoformat(days[-1]))})
    job = job_of(pipeline.model_copy(update={"split": until}), current, console, wait=wait)
    STAGES["features"].run(job)  # examples of days that its own split does not reach
    predicted = scoring.score_frozen(pipeline, job.examples, current, days)
    if pipeline.evaluate.calibrate == "none":
        return predicted
    return calibration.read(current / CALIBRATION).applied(predicted, pipeline.objective, run=current.name)


# --- Saying -------------------------------------------------------------------------------------------------------
def _say(decision: Mapping[str, Any], votes: Sequence[Vote], console: Console) -> None:
    before = decision["current before"]
    against = "the first one: there is no current model to compare with" if before is None else f"against {before}"
    number, rows = decision["decision"], decision["rows"]
    console.result(f"{decision['run']} {decision['outcome']} (decision {number}), {against}; {many(rows, 'impression')}")
    lines = [("objective", "positives", "difference", "margin", "calibration", "vote")]
    for vote in votes:
        difference = _said(f"{vote.metric} ", vote.difference, vote.low, vote.high, "+.4f")
        calibrated = _said("", vote.calibration, vote.calibration_low, vote.calibration_high, ".3f")
        word = f"none: {vote.silent}" if vote.silent else "against" if vote.against else "for"
        lines.append((vote.objective, f"{vote.positives:,}", difference, f"{vote.margin:g}", calibrated, word))
    for line in aligned(lines):
        console.result(line)


def _said(name: str, value: float | None, low: float | None, high: float | None, form: str) -> str:
    if value is None:
        return "-"
    return f"{name}{value:{form}}" + ("" if low is None or high is None else f" [{low:{form}}, {high:{form}}]")
