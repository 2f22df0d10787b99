"""Find what each objective says of a run that may become the current one, and what else speaks against it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsys import schema
from recsys.config import Pipeline, Promote
from recsys.evaluation import main_metric
from recsys.judge import metrics_of
from recsys.objectives import Objective, chain

_CURRENT = "current model"  # as a run to compare with
_DEFINITION = ("kind", "label", "observed", "given", "levels")  # of an objective: where one differs, its numbers are of other labels


@dataclass(frozen=True)
class Vote:
    """The vote of one objective: its paired difference to the current model, its calibration, and what speaks `against` the run.

    An objective that does not vote says why not, in `silent`.
    """

    objective: str
    metric: str
    positives: int  # of an objective that is no probability: known labels
    margin: float
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    calibration: float | None = None
    calibration_low: float | None = None
    calibration_high: float | None = None
    against: tuple[str, ...] = ()
    silent: str | None = None


def votes_of(pipeline: Pipeline, ours: pa.Table, theirs: pa.Table | None, shared: Sequence[Objective]) -> list[Vote]:
    """Return a vote per objective. Of one that is not `shared` with the current model, only the calibration counts.

    What is compared are the predictions that are served: with the position missing, where the model sees one. What must be calibrated are
    those for the log as it was shown, because only of these the labels are known.
    """
    calibrated = _rows(pipeline, pipeline.objective, ours, None, ["calibration"])
    metrics = sorted({main_metric(objective) for objective in shared})
    differences = [] if theirs is None or not shared else _rows(pipeline, shared, _as_served(ours), _as_served(theirs), metrics)
    return [_vote(objective, pipeline.promote, calibrated, differences) for objective in pipeline.objective]


def shared_objectives(pipeline: Pipeline, of_current: Pipeline) -> list[Objective]:
    """Return the objectives that both predict, by the same labels; with `given`, so must be what they are given."""
    theirs = {objective.name: objective for objective in of_current.objective}

    def is_same(objective: Objective) -> bool:
        return objective.name in theirs and all(getattr(objective, key) == getattr(theirs[objective.name], key) for key in _DEFINITION)

    return [each for each in pipeline.objective if all(map(is_same, chain(each, pipeline.objective)))]


def other_objectives(pipeline: Pipeline, of_current: Pipeline) -> list[str]:
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


def _as_served(predictions: pa.Table) -> pa.Table:
    """Return the predictions with those of a missing position in the place of those for the log as it was shown."""
    table = predictions
    for rank in [name for name in predictions.column_names if name.startswith(schema.RANK)]:
        name = schema.prediction_column(schema.strip(rank, schema.RANK))
        table = table.set_column(table.column_names.index(name), name, table[rank]).drop_columns([rank])
    derived = [name for name in table.column_names if name.startswith(schema.PREDICTION) and ("|" in name or "=" in name)]
    return table.drop_columns(derived)


def _rows(
    pipeline: Pipeline, objectives: Sequence[Objective], ours: pa.Table, theirs: pa.Table | None, metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the numbers of our predictions over all rows; with `theirs`, the paired differences."""
    of_these = pipeline.model_copy(update={"objective": tuple(objectives)})
    against = {} if theirs is None else {_CURRENT: theirs}
    found = metrics_of(of_these, ours, run="run", against=against, metrics=metrics)
    whole = found.filter(pc.and_(pc.is_null(found["day"]), pc.equal(found["slice"], schema.ALL)))
    return [row for row in whole.to_pylist() if (row["against"] is not None) == bool(against)]


def _vote(
    objective: Objective, options: Promote, calibrated: Sequence[Mapping[str, Any]], differences: Sequence[Mapping[str, Any]]
) -> Vote:
    name, metric, margin = objective.name, main_metric(objective), options.margin_of(objective.name)

    def found(among: Sequence[Mapping[str, Any]], what: str) -> Mapping[str, Any]:
        return next((row for row in among if row["objective"] == name and row["metric"] == what), {})

    total, difference = found(calibrated, "calibration"), found(differences, metric)
    positives = int((total.get("n_positive") if objective.is_probability else total.get("n")) or 0)
    if positives < options.min_positives:
        return Vote(name, metric, positives, margin, silent="too few positives" if objective.is_probability else "too few labels")
    against = [*_against_difference(name, metric, margin, difference), *_against_calibration(name, options.calibration, total)]
    compared = difference or total  # without a current model the calibration counts alone
    if compared.get("low") is None and not against:
        return Vote(name, metric, positives, margin, silent=str(compared.get("reason") or "nothing is known"))
    return Vote(
        *(name, metric, positives, margin, difference.get("value"), difference.get("low"), difference.get("high")),
        *(total.get("value"), total.get("low"), total.get("high"), tuple(against)),
    )


def _against_difference(name: str, metric: str, margin: float, difference: Mapping[str, Any]) -> list[str]:
    if difference.get("low") is None or difference["low"] >= -margin:
        return []
    interval = f"{difference['value']:+.4f} [{difference['low']:+.4f}, {difference['high']:+.4f}]"
    return [f"{name}: {metric} {interval} against the current model: its lower bound is below -{margin:g}"]


def _against_calibration(name: str, off: float, total: Mapping[str, Any]) -> list[str]:
    if total.get("low") is None or (total["low"] <= 1 + off and total["high"] >= 1 - off):
        return []
    interval = f"{total['value']:.3f} [{total['low']:.3f}, {total['high']:.3f}]"
    return [f"{name}: predictions sum up to {interval} of the labels, expected 1 ± {off:g}"]
