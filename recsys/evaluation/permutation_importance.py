"""The fall of each objective's main metric when predictions are made from spoiled inputs, with paired intervals over users."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from recsys import schema
from recsys.evaluation.inputs.groups import codes
from recsys.evaluation.inputs.prediction_columns import ids
from recsys.evaluation.inputs.rows import IntArray, Rows, renumber
from recsys.evaluation.inputs.scores import read_scores
from recsys.evaluation.inputs.targets import Target, targets
from recsys.evaluation.intervals.bootstrap import UserDraws
from recsys.evaluation.measured import Measured, difference, measure, shared_reason
from recsys.evaluation.metrics import METRICS, Metric, main_metric
from recsys.objectives import Objective

# Shapes: N rows, U users, R replicates.


def falls(
    base: pa.Table,
    spoiled: Iterable[tuple[str, Sequence[pa.Table]]],
    objectives: Sequence[Objective],
    *,
    run: str,
    split: str,
    bootstrap: int,
    confidence: float,
    seed: int,
) -> pa.Table:
    """Return rows of schema.IMPORTANCE: the main metric on `base` minus the main metric on each group's tables, averaged over the tables.

    The main metric is AUC, or XAUC for values. All tables hold event_id, user_id, and each objective's `label.X` and `pred.X`, for the same
    rows in the same order. Conditional forms are judged too. An interval resamples the same users for both sides, and keeps the spoiled
    predictions fixed. A fall that the rows do not define is null, with a reason. Raises DataError for columns that cannot be judged.
    """
    judge = _Judge(base, objectives, run, UserDraws(len(np.unique(_users(base, run))), bootstrap, seed))
    wholes = judge.measured(base)
    rows: list[dict[str, Any]] = []
    for group, tables in spoiled:
        each = [judge.measured(table) for table in tables]
        for place, (target, metric, whole) in enumerate(zip(judge.targets, judge.metrics, wholes, strict=True)):
            fall = _mean([difference(whole, part[place], f"{group} permuted") for part in each])
            low, high, reason = fall.interval(confidence=confidence, centred=metric.centred)
            label_N = judge.labels[target.name]
            rows.append(
                {
                    "run": run,
                    "objective": target.name,
                    "feature_group": group,
                    "metric": metric.name,
                    "split": split,
                    "value": fall.value,
                    "low": low,
                    "high": high,
                    "method": fall.method,
                    "n": np.count_nonzero(~np.isnan(label_N)),
                    "n_positive": np.count_nonzero(label_N > 0) if target.objective.is_probability else None,
                    "permutations": len(tables),
                    "seed": seed,
                    "reason": reason,
                }
            )
    return pa.Table.from_pylist(rows, schema=schema.IMPORTANCE)


class _Judge:
    """The rows that all tables share, and the bootstrap draws of their users."""

    def __init__(self, base: pa.Table, objectives: Sequence[Objective], run: str, draws: UserDraws) -> None:
        self._objectives, self._run, self._draws = objectives, run, draws
        self._user_N = _users(base, run)
        by_name = {metric.name: metric for metric in METRICS}
        self.targets: Sequence[Target] = targets(objectives)
        self.metrics: Sequence[Metric] = [by_name[main_metric(target.objective)] for target in self.targets]
        self.labels = read_scores(base, objectives, run, labels=True).label

    def measured(self, table: pa.Table) -> list[Measured]:
        """Compute the main metric of each target on one table."""
        predicted = read_scores(table, self._objectives, self._run, labels=True).predicted
        found = []
        for target, metric in zip(self.targets, self.metrics, strict=True):
            at_N = np.flatnonzero(~np.isnan(self.labels[target.name]))
            users_U, user_N = renumber(self._user_N[at_N], self._draws.users)
            order_N = predicted[target.name].ordering[at_N]
            rows = Rows(
                label_N=self.labels[target.name][at_N],
                prediction_N=order_N,  # neither metric reads its size
                ranking_N=order_N,
                user_N=user_N,
                list_N=user_N,  # neither AUC nor XAUC reads lists
                users=len(users_U),
                lists=len(users_U),
            )
            found += measure([metric], rows, self._draws, users_U)
        return found


def _users(table: pa.Table, run: str) -> IntArray:
    return codes(ids(table, schema.USER_ID, run))[0]


def _mean(found: Sequence[Measured]) -> Measured:
    """Average differences to the same base, replicate by replicate. Each permutation counts alike."""
    undefined = [each for each in found if each.value is None]
    if undefined:
        return undefined[0]
    replicates = [each.replicates_R for each in found if each.replicates_R is not None]
    return Measured(
        float(np.mean([each.value for each in found if each.value is not None])),
        coverage=min(each.coverage for each in found),
        method=found[0].method,
        replicates_R=np.mean(replicates, axis=0) if len(replicates) == len(found) else None,
        reason=shared_reason(found),
        effective_users=found[0].effective_users,
    )
