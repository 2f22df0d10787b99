"""Fusion weights for a stated aim: the most of one objective, without losing more of the others than is allowed.

The weights are searched on the validation days of a run's predictions. They are judged on its test days, which the search does not see. The
result says which constraints held on the test days, and which did not. The order depends only on the ratios of the weights, so their
overall size is kept at that of the present weights.

The metrics are steps in the weights, without a gradient. The search is differential evolution (Storn & Price 1997) from the present weights
and random ones, then Nelder & Mead (1965) around the best. Weights that keep every constraint beat weights that do not. Among those that do
not, the weights nearer to keeping the constraints win (Deb 2000, section 3).

Shapes: N rows, K objectives, G lists, R replicates.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from recsys import schema
from recsys.errors import ConfigError, Place, data_error
from recsys.evaluation import Metric, UserDraws, interval, list_metric, read_scores
from recsys.evaluation.fused_order import FusedRows, fused_rows, rows_of_split
from recsys.evaluation.inputs.rows import FloatArray
from recsys.evaluation.inputs.scored_impressions import as_table, read_impressions
from recsys.evaluation.intervals.bootstrap import Undefined
from recsys.evaluation.measured import Measured, measure
from recsys.fusion.tuned import SLACK, Aim, Effect, Tuned, instead
from recsys.fusion.weight_search import Fitness, search
from recsys.list_metrics import ListMetric
from recsys.objectives import Objective


class InfeasibleError(ConfigError):
    """No weights were found that keep every constraint."""


def tune(
    predictions: pa.Table, objectives: Sequence[Objective], aim: Aim, *, run: str, bootstrap: int, confidence: float, seed: int
) -> Tuned:
    """Search weights on the validation rows of `predictions` (predictions.parquet) and measure them on its test rows.

    Raises InfeasibleError where no weights are found that keep every constraint; the error names the nearest. Raises ConfigError for an
    unknown objective or metric, and for fewer than two objectives. Raises DataError without validation rows, where a prediction is missing,
    and where under the present weights a metric of the aim is undefined, or a constrained one is 0.
    """
    metric = _checked(aim, objectives)
    table = as_table(predictions, run)
    scores = read_scores(table, objectives, run, labels=True)
    impressions = read_impressions(table, run, ())
    validation, test = (
        fused_rows(rows_of_split(impressions, split), scores, impressions, objectives) for split in (schema.VALIDATION, schema.TEST)
    )
    if not len(validation):
        raise data_error(
            Place(f"predictions of run {run}"), found="no validation rows", expected="some to find the weights on",
            fix="name validation days in [split] and score them",
        )  # fmt: skip
    present_K = np.array([objective.fusion_weight for objective in objectives])
    fitness = Fitness(validation, metric, objectives, aim, present_K)
    weights_K = search(validation, fitness, present_K, seed)
    effects = [
        _effects(part, metric, objectives, aim, present_K, weights_K, bootstrap=replicates, confidence=confidence, seed=seed)
        for part, replicates in ((validation, 0), (test, bootstrap))
        if len(part)
    ]
    _refuse_infeasible(effects[0])
    names = [objective.name for objective in objectives]
    why_none = _why_none_better(aim, fitness.beyond) if np.array_equal(weights_K, present_K) else None
    return Tuned(aim, dict(zip(names, weights_K.tolist(), strict=True)), effects[0], effects[1] if len(test) else (), why_none)


def told(predictions: pa.Table, objectives: Sequence[Objective], metric: str, *, run: str) -> set[str]:
    """Return the objectives whose metric, in the present order of validation rows, is above 0: `tune` maximises and keeps these alone."""
    table = as_table(predictions, run)
    scores, impressions = read_scores(table, objectives, run, labels=True), read_impressions(table, run, ())
    rows = fused_rows(rows_of_split(impressions, schema.VALIDATION), scores, impressions, objectives)
    score_N, judged = rows.score(np.array([objective.fusion_weight for objective in objectives])), list_metric(ListMetric.parse(metric))
    values = [judged.estimate(rows.rows(k, score_N)) for k in range(len(objectives))]
    return {each.name for each, value in zip(objectives, values, strict=True) if not isinstance(value, Undefined) and value.value() > 0}


def _checked(aim: Aim, objectives: Sequence[Objective]) -> Metric:
    names = [objective.name for objective in objectives]
    problems = [
        f'fuse: found "{name}", expected an objective; there are {", ".join(names)}'
        for name in dict.fromkeys((aim.maximise, *aim.least))
        if name not in names
    ]
    if len(names) < 2:
        problems.append("fuse: found one objective, expected two or more: the order by one does not depend on its weight")
    try:
        metric = list_metric(ListMetric.parse(aim.metric))
    except ValueError as error:
        raise ConfigError([*problems, f"fuse.metric: {error}"]) from error
    if problems:
        raise ConfigError(problems)
    return metric


def _refuse_infeasible(effects: Sequence[Effect]) -> None:
    broken = [e for e in effects if e.least is not None and e.change is not None and e.change < e.least - SLACK]
    if broken:
        nearest = ", ".join(instead(e.objective, e.change, e.least) for e in broken if e.change is not None and e.least is not None)
        raise InfeasibleError(
            f"fuse: found no weights that keep every constraint on the validation days; the nearest give {nearest}."
            " Fix: ask for less, or train for it"
        )


def _why_none_better(aim: Aim, beyond: Mapping[str, float]) -> str:
    """Return in words that nothing is better than the present weights. `beyond` is that of the fitness."""
    better = f"fuse: found no weights that are better for {aim.maximise} ({aim.metric} on the validation days)"
    if beyond:
        broken = ", ".join(instead(name, change, aim.least[name]) for name, change in beyond.items())
        return f"{better} and keep every constraint: the nearest that are better give {broken}. The present weights stay"
    return f"{better}{', with the constraints or without' if aim.least else ''}. The present weights stay"


# --- Effects of weights on one split -------------------------------------------------------------------------------
def _effects(
    rows: FusedRows, metric: Metric, objectives: Sequence[Objective], aim: Aim, present_K: FloatArray, tuned_K: FloatArray, *,
    bootstrap: int, confidence: float, seed: int,
) -> tuple[Effect, ...]:  # fmt: skip
    """Return one effect per objective. With `bootstrap` replicates, intervals resample the same users for both sets of weights."""
    draws, everyone = UserDraws(rows.users, bootstrap, seed), np.arange(rows.users)
    found = []
    for k, objective in enumerate(objectives):
        present, tuned = (measure([metric], rows.rows(k, rows.score(weights_K)), draws, everyone)[0] for weights_K in (present_K, tuned_K))
        found.append(_effect(objective, present, tuned, aim.least.get(objective.name), confidence))
    return tuple(found)


def _effect(objective: Objective, present: Measured, tuned: Measured, least: float | None, confidence: float) -> Effect:
    before, after = present.value, tuned.value
    if before is None or after is None or before == 0:
        reason = "nothing is captured under the present weights" if before == 0 and after is not None else present.reason or tuned.reason
        return Effect(objective.name, before, after, None, least=least, reason=reason)
    sign = 1.0 if objective.better == schema.HIGHER else -1.0
    change = sign * (after / before - 1)
    if present.replicates_R is None or tuned.replicates_R is None:
        return Effect(objective.name, before, after, change, least=least, reason=tuned.reason)
    with np.errstate(divide="ignore", invalid="ignore"):
        change_R = sign * (tuned.replicates_R / present.replicates_R - 1)
    change_R = np.where(np.isfinite(change_R), change_R, np.nan)
    low, high, why_none = interval(change_R, change, confidence=confidence, effective_users=tuned.effective_users)
    return Effect(objective.name, before, after, change, low, high, least, why_none)
