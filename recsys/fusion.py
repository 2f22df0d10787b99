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
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy import optimize

from recsys import schema
from recsys.errors import ConfigError, Place, data_error
from recsys.evaluation import Metric, UserDraws, interval, list_metric, read_scores
from recsys.evaluation.fused_order import FusedRows, OrderMetric, fused_rows, rows_of_split
from recsys.evaluation.inputs.rows import FloatArray
from recsys.evaluation.inputs.scored_impressions import as_table, read_impressions
from recsys.evaluation.intervals.bootstrap import Undefined
from recsys.evaluation.measured import Measured, measure
from recsys.list_metrics import ListMetric
from recsys.objectives import Objective

GENERATIONS = 40
PER_OBJECTIVE = 12  # members of a generation, per objective
SLACK = 1e-9  # tolerance of a constraint, for the last bits of a quotient
DIGITS = 4  # significant digits of a weight


class InfeasibleError(ConfigError):
    """No weights were found that keep every constraint."""


@dataclass(frozen=True)
class Aim:
    """The aim of the search: maximise a metric of one objective, under constraints.

    `least` maps an objective to the least relative change of its metric. A change above 0 is better for the objective; −0.01 means that it
    may lose 1 %.
    """

    maximise: str
    metric: str
    least: Mapping[str, float]


@dataclass(frozen=True)
class Effect:
    """The effect of new weights on the metric of one objective. `change` is relative, and above 0 where it is for the better.

    Values are None where the metric is undefined, with the `reason`. Bounds are None where there is no interval. `least` is the constraint
    that the aim asked for.
    """

    objective: str
    present: float | None
    tuned: float | None
    change: float | None
    low: float | None = None
    high: float | None = None
    least: float | None = None
    reason: str | None = None

    def __str__(self) -> str:
        if self.change is None:
            return "–" if self.present is None or self.tuned is None else f"{self.present:.4f} → {self.tuned:.4f}"
        bounds = "" if self.low is None or self.high is None else f" [{self.low:+z.1%}, {self.high:+z.1%}]"
        return f"{self.change:+z.1%}{bounds} of {self.present:.4f}"

    @property
    def verdict(self) -> str:
        """Return the verdict on the constraint or, without one, on the change. It is inconclusive unless the interval decides."""
        if self.low is None or self.high is None:
            return f"no verdict: {self.reason}" if self.reason else "no verdict"
        if self.least is None:
            return "better" if self.low > 0 else "worse" if self.high < 0 else "inconclusive"
        if self.low >= self.least - SLACK:
            return "held"
        return "did not hold" if self.high < self.least - SLACK else "inconclusive"


@dataclass(frozen=True)
class Tuned:
    """Weights by objective, and their effects on the validation days that they were found on, and on the test days."""

    aim: Aim
    weights: Mapping[str, float]
    validation: tuple[Effect, ...]
    test: tuple[Effect, ...]

    @property
    def toml(self) -> str:
        """The weights as lines of a pipeline's TOML, and as options of the command line in comments."""
        lines = [f"# fusion weights: {self.aim.metric} of {self.aim.maximise}, found on validation days", "# the same on the command line:"]
        lines += [f"#   --set objective.{name}.fusion_weight={weight:g}" for name, weight in self.weights.items()]
        for name, weight in self.weights.items():
            lines += ["", "[[objective]]", f'name = "{name}"', f"fusion_weight = {weight:g}"]
        return "\n".join(lines) + "\n"

    @property
    def text(self) -> str:
        """The result as a table for people to read."""
        head = f"{self.aim.metric} under new fusion weights, relative to the present ones; above 0 is better"
        rows = [("objective", "weight", "asked for", "validation", "test", "")]
        for place, (name, weight) in enumerate(self.weights.items()):
            effect = self.validation[place]
            parts = ["as much as possible"] if name == self.aim.maximise else []
            asked = ", ".join([*parts, *([] if effect.least is None else [f"at least {effect.least:+z.2%}"])])
            on_test = self.test[place] if self.test else None
            rows.append((name, f"{weight:g}", asked, str(effect), *(("", "") if on_test is None else (str(on_test), on_test.verdict))))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [f"{effect.objective}, validation: {effect.reason}" for effect in self.validation if effect.change is None]
        return "\n".join([head, *lines, *([] if self.test else ["no test rows: what holds on other days is not known"])])


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
    weights_K = _search(validation, _Fitness(validation, metric, objectives, aim, present_K), present_K, seed)
    effects = [
        _effects(part, metric, objectives, aim, present_K, weights_K, bootstrap=replicates, confidence=confidence, seed=seed)
        for part, replicates in ((validation, 0), (test, bootstrap))
        if len(part)
    ]
    _refuse_infeasible(effects[0])
    names = [objective.name for objective in objectives]
    return Tuned(aim, dict(zip(names, weights_K.tolist(), strict=True)), effects[0], effects[1] if len(test) else ())


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
        nearest = ", ".join(_instead(e.objective, e.change, e.least) for e in broken if e.change is not None and e.least is not None)
        raise InfeasibleError(
            f"fuse: found no weights that keep every constraint on the validation days; the nearest give {nearest}."
            " Fix: ask for less, or train for it"
        )


def _instead(objective: str, change: float, least: float) -> str:
    """Return in words what weights give in place of what was asked for, with as many digits as tell the two apart."""
    pairs = ((f"{change:+z.{digits}%}", f"{least:+z.{digits}%}") for digits in range(2, 10))
    given, asked = next(pair for pair in pairs if pair[0] != pair[1])
    return f"{objective} {given} instead of {asked} or more"


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


# --- The search ---------------------------------------------------------------------------------------------------
class _Fitness:
    """The fitness of weights, the lower the better. It is below 2 where they keep every constraint, else 2 plus the missing change."""

    def __init__(self, rows: FusedRows, metric: Metric, objectives: Sequence[Objective], aim: Aim, present_K: FloatArray) -> None:
        self._rows, self._metric = rows, OrderMetric(rows, metric)
        names = [objective.name for objective in objectives]
        self._sign_K = np.array([1.0 if objective.better == schema.HIGHER else -1.0 for objective in objectives])
        self._least_K = np.array([aim.least.get(name, -np.inf) for name in names])
        self._of = names.index(aim.maximise)
        self._present_K = self.values(present_K)
        for k in sorted({self._of, *(names.index(name) for name in aim.least)}):  # the objectives of the aim
            estimate = metric.estimate(rows.rows(k, rows.score(present_K)))
            reason = estimate.reason if isinstance(estimate, Undefined) else None
            if reason is None and self._present_K[k] == 0 and names[k] in aim.least:
                reason = "0 under the present weights"
            if reason is not None:
                raise data_error(
                    f"validation days, {metric.name} of {names[k]}", found=reason, expected="a number, above 0 if it is constrained",
                    fix="more validation days (labels count if known before the test begins), or an aim that leaves this objective out",
                )  # fmt: skip

    def __call__(self, weights_K: FloatArray) -> float:
        value_K = self.values(weights_K)
        change_K = self._sign_K * np.divide(
            value_K - self._present_K, self._present_K, out=np.zeros(len(value_K)), where=self._present_K > 0
        )
        missing = float(np.maximum(self._least_K - SLACK - change_K, 0.0).sum())
        return 2 + missing if missing > 0 else float(-self._sign_K[self._of] * value_K[self._of])

    def values(self, weights_K: FloatArray) -> FloatArray:
        """Return the metric of each objective. Where it is undefined, the value is a number that nothing reads."""
        return self._metric.values(self._rows.score(weights_K))


def _search(rows: FusedRows, fitness: _Fitness, present_K: FloatArray, seed: int) -> FloatArray:
    """Return the best weights found, rounded as they will be written down. Equal seeds give equal weights."""
    spread_K, size = rows.spread(), len(present_K)

    def weights(x_K: FloatArray) -> FloatArray:
        """Map a point of the search to weights. The square makes small effects on the score as easy to reach as large ones."""
        return np.asarray(np.square(x_K) / spread_K)

    start_K = np.sqrt(present_K * spread_K)
    start_K = start_K / start_K.max() if start_K.max() > 0 else np.ones(size)
    rng = np.random.default_rng(seed)
    first = np.concatenate([[start_K], np.eye(size), rng.random((max(24, PER_OBJECTIVE * size) - size - 1, size))])
    found = optimize.differential_evolution(
        lambda x_K: fitness(weights(x_K)), [(0.0, 1.0)] * size, init=first, maxiter=GENERATIONS, tol=1e-6, polish=False, rng=rng
    )
    corners = np.clip(found.x + np.concatenate([np.zeros((1, size)), 0.05 * np.where(found.x < 0.5, 1, -1) * np.eye(size)]), 0.0, 1.0)
    refined = optimize.minimize(
        lambda x_K: fitness(weights(np.clip(x_K, 0.0, 1.0))), found.x, method="Nelder-Mead",
        options={"initial_simplex": corners, "maxfev": 100 * size, "xatol": 1e-4, "fatol": 0.0},
    )  # fmt: skip
    candidates = [present_K, *(_written(weights(np.clip(x_K, 0.0, 1.0)), present_K, spread_K) for x_K in (refined.x, found.x))]
    return candidates[int(np.argmin([fitness(weights_K) for weights_K in candidates]))]


def _written(weights_K: FloatArray, present_K: FloatArray, spread_K: FloatArray) -> FloatArray:
    """Return the weights rounded as they are written down, and scaled so that their summed effect on the score is unchanged."""
    scale = (present_K @ spread_K or 1.0) / (weights_K @ spread_K or 1.0)
    return np.array([float(f"{weight:.{DIGITS}g}") for weight in weights_K * scale])
