"""The search for fusion weights by a fitness. `tune.py` says by which methods, and why. Shapes: N rows, K objectives."""

from collections.abc import Sequence

import numpy as np
from scipy import optimize

from recsys import schema
from recsys.errors import data_error
from recsys.evaluation import Metric
from recsys.evaluation.fused_order import FusedRows, OrderMetric
from recsys.evaluation.inputs.rows import FloatArray
from recsys.evaluation.intervals.bootstrap import Undefined
from recsys.fusion.tuned import SLACK, Aim
from recsys.objectives import Objective

GENERATIONS = 40
PER_OBJECTIVE = 12  # members of a generation, per objective
DIGITS = 4  # significant digits of a weight


class Fitness:
    """The fitness of weights, the lower the better. It is below 2 where they keep every constraint, else 2 plus the missing change.

    Of the weights tried that are better than the present ones but for a constraint, `beyond` holds what those nearest to the constraints
    break: objective → its change.
    """

    def __init__(self, rows: FusedRows, metric: Metric, objectives: Sequence[Objective], aim: Aim, present_K: FloatArray) -> None:
        self._rows, self._metric = rows, OrderMetric(rows, metric)
        names = [objective.name for objective in objectives]
        self._sign_K = np.array([1.0 if objective.better == schema.HIGHER else -1.0 for objective in objectives])
        self._least_K = np.array([aim.least.get(name, -np.inf) for name in names])
        self._names, self._of = names, names.index(aim.maximise)
        self._missing_beyond, self.beyond = np.inf, dict[str, float]()
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
        missing_K = np.maximum(self._least_K - SLACK - change_K, 0.0)
        missing, gain_K = float(missing_K.sum()), self._sign_K * (value_K - self._present_K)
        if 0 < missing < self._missing_beyond and gain_K[self._of] > 0:
            self._missing_beyond = missing
            self.beyond = {name: float(change_K[k]) for k, name in enumerate(self._names) if missing_K[k] > 0}
        return 2 + missing if missing > 0 else float(-self._sign_K[self._of] * value_K[self._of])

    def values(self, weights_K: FloatArray) -> FloatArray:
        """Return the metric of each objective. Where it is undefined, the value is a number that nothing reads."""
        return self._metric.values(self._rows.score(weights_K))


def search(rows: FusedRows, fitness: Fitness, present_K: FloatArray, seed: int) -> FloatArray:
    """Return the best weights found, rounded as they will be written down: the present ones, where nothing is better by more than rounding.

    Equal seeds give equal weights.
    """
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
    written = [_written(weights(np.clip(x_K, 0.0, 1.0)), present_K, spread_K) for x_K in (refined.x, found.x)]
    fit = [fitness(present_K) - SLACK, *map(fitness, written)]
    return [present_K, *written][int(np.argmin(fit))]


def _written(weights_K: FloatArray, present_K: FloatArray, spread_K: FloatArray) -> FloatArray:
    """Return the weights rounded as they are written down, and scaled so that their summed effect on the score is unchanged."""
    scale = (present_K @ spread_K or 1.0) / (weights_K @ spread_K or 1.0)
    return np.array([float(f"{weight:.{DIGITS}g}") for weight in weights_K * scale])
