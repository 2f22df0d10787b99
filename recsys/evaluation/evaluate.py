"""Predictions in, long rows out: every metric of every objective, with intervals and paired differences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys import predictions as prediction_files
from recsys import schema
from recsys.errors import ConfigError
from recsys.evaluation.bootstrap import UserDraws
from recsys.evaluation.cells import Cell, cells, splits
from recsys.evaluation.inputs import Impressions, as_table, read_impressions
from recsys.evaluation.measure import Measured, difference, measure
from recsys.evaluation.metrics import METRICS, Metric
from recsys.evaluation.rows import IntArray, Rows, renumber
from recsys.evaluation.scores import Scores, check_predictions, check_same_impressions, read_scores
from recsys.evaluation.targets import Target, targets
from recsys.objectives import Objective, chain


@dataclass(frozen=True)
class Settings:
    """What stays the same through one evaluation."""

    run: str
    bootstrap: int
    confidence: float
    seed: int
    train_means: Mapping[str, float]


def evaluate(
    predictions: pa.Table | pd.DataFrame,
    objectives: Sequence[Objective],
    *,
    run: str,
    against: Mapping[str, pa.Table | pd.DataFrame] | None = None,
    train_means: Mapping[str, float] | None = None,
    bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    slices: Sequence[str] | None = None,
) -> pa.Table:
    """The metrics of one run's predictions as rows of schema.METRICS.

    `predictions` has the columns of predictions.parquet; event_id, user_id, timestamp and each objective's `label.X` and
    `pred.X` are needed. Without a split all rows are "test". Rows come per split and objective: every metric on the whole
    (slice "all"), the main ones also by day, where a split has several, and by each value of `slices` (default: all
    `slice.…` columns; a null value of a slice has slice_value null).
    `gauc_list` orders by `rank.X` where there is one; all other metrics judge `pred.X`, the prediction for the log as it was shown.
    An objective with `given` is judged twice: jointly, on all rows with a known label, and under the name `like|click` as
    `pred.like|click` (where that column is absent: `pred.like` / `pred.click`) on those of them whose given label is 1. An ordinal one
    is judged by its expected value, and where the run has `pred.X=LEVEL` by the probabilities of its levels.

    `against`: other runs' predictions of the same impressions, joined by event_id. Their rows say this run minus the
    other; both are resampled with the same users.
    `train_means`: the mean training label by objective or conditional form, for normalised entropy; default what the table's metadata says.
    `bootstrap` replicates over users give `low` and `high` at `confidence`; 0: none.

    A metric that the rows do not define is null with a reason. `reason` beside a value says why it has no interval.
    `n` counts rows with a known label, `n_positive` those of a positive label (binary objectives), `coverage` is the share of
    `n` that the value rests on.

    Raises DataError for predictions that cannot be judged (a missing column, repeated impressions, a prediction missing
    where the label is known, runs that scored different impressions), ConfigError for options out of range.
    """
    _check_options(objectives, run, against or {}, bootstrap, confidence)
    table = as_table(predictions, run)
    this = read_scores(table, objectives, run, labels=True)
    check_predictions(this, this.label)
    impressions = read_impressions(table, run, slices)
    others = [_other(this, name, other, objectives) for name, other in (against or {}).items()]
    means = prediction_files.train_means(table.schema) if train_means is None else train_means
    settings = Settings(run, bootstrap, confidence, seed, means)
    rows: list[dict[str, Any]] = []
    for split, at_N in splits(impressions):
        evaluation = _SplitEvaluation(split, at_N, impressions, [this, *others], settings)
        rows += (row for target in targets(objectives) for row in evaluation.rows(target))
    return pa.Table.from_pylist(rows, schema=schema.METRICS)


def _check_options(objectives: Sequence[Objective], run: str, against: Mapping[str, object], bootstrap: int, confidence: float) -> None:
    problems = []
    names = [objective.name for objective in objectives]
    if not names or len(set(names)) < len(names):
        problems.append(f"objectives: found {names}, expected at least one and no name twice. Fix: pass each objective once")
    for objective in objectives:
        try:
            chain(objective, objectives)
        except ValueError as error:
            problems.append(f"objectives: {error}. Fix: pass the objective that it is given too")
    if bootstrap < 0:
        problems.append(f"bootstrap: found {bootstrap}, expected a number of replicates, 0 or more. Fix: 1000 is usual")
    if not 0 < confidence < 1:
        problems.append(f"confidence: found {confidence}, expected more than 0 and less than 1. Fix: 0.95 is usual")
    if run in against:
        problems.append(f"against: found run {run} itself, expected other runs. Fix: leave it out")
    if problems:
        raise ConfigError(problems)


def _other(this: Scores, run: str, predictions: pa.Table | pd.DataFrame, objectives: Sequence[Objective]) -> Scores:
    other = read_scores(as_table(predictions, run), objectives, run, labels=False)
    check_same_impressions(this, other)
    check_predictions(other, this.label)
    return other


class _SplitEvaluation:
    """One split: its users are numbered and drawn once, for all objectives, cells and runs."""

    def __init__(self, split: str, at_N: IntArray, impressions: Impressions, runs: Sequence[Scores], settings: Settings) -> None:
        self.split, self.impressions, self.runs, self.settings = split, impressions, runs, settings
        self.cells = list(cells(impressions, at_N))
        self.user_N = np.full(len(impressions.user_N), -1)
        users_U, self.user_N[at_N] = renumber(impressions.user_N[at_N], impressions.users)
        self.draws = UserDraws(len(users_U), settings.bootstrap, settings.seed)

    def rows(self, target: Target) -> Iterator[dict[str, Any]]:
        """The long rows of one objective, or of its conditional form; the whole split first."""
        metrics = [metric for metric in METRICS if target.objective.kind in metric.kinds]
        for cell in self.cells:
            yield from self._cell(cell, target, [metric for metric in metrics if metric.main or cell.is_whole])

    def _cell(self, cell: Cell, target: Target, metrics: Sequence[Metric]) -> Iterator[dict[str, Any]]:
        users_U, rows_by_run = self._rows_by_run(cell, target)
        label_N = rows_by_run[0].label_N
        shared = {
            "run": self.settings.run,
            "objective": target.name,
            "group": target.objective.group,
            "split": self.split,
            "day": cell.day,
            "slice": cell.slice,
            "slice_value": cell.slice_value,
            "n": len(label_N),
            "n_positive": np.count_nonzero(label_N) if target.objective.is_probability else None,
        }
        by_run = [measure(metrics, rows, self.draws, users_U) for rows in rows_by_run]
        for metric, this, *others in zip(metrics, *by_run, strict=True):
            yield shared | {"metric": metric.name, "against": None} | self._number(metric, this)
            for scores, other in zip(self.runs[1:], others, strict=True):
                yield shared | {"metric": metric.name, "against": scores.run} | self._number(metric, difference(this, other, scores.run))

    def _rows_by_run(self, cell: Cell, target: Target) -> tuple[IntArray, list[Rows]]:
        """The cell's rows with a known label as each run scored them, and their users in the numbering of the draws."""
        name = target.name
        label_N = self.runs[0].label[name]
        known_N = cell.at_N[~np.isnan(label_N[cell.at_N])]
        users_U, user_N = renumber(self.user_N[known_N], self.draws.users)
        lists_G, list_N = renumber(self.impressions.list_N[known_N], self.impressions.lists)
        rows_by_run = []
        for scores in self.runs:
            predicted = scores.predicted[name]
            expected_N = predicted.expected_N[known_N]
            rows = Rows(
                label_N=label_N[known_N],
                prediction_N=expected_N,
                ranking_N=expected_N if predicted.ranking_N is predicted.expected_N else predicted.ranking_N[known_N],
                user_N=user_N,
                list_N=list_N,
                users=len(users_U),
                lists=len(lists_G),
                train_mean=self.settings.train_means.get(name),
                levels=target.objective.levels,
                probability_NL=None if predicted.probability_NL is None else predicted.probability_NL[known_N],
            )
            rows_by_run.append(rows)
        return users_U, rows_by_run

    def _number(self, metric: Metric, measured: Measured) -> dict[str, Any]:
        low, high, reason = measured.interval(confidence=self.settings.confidence, centred=metric.centred)
        return {
            "value": measured.value,
            "low": low,
            "high": high,
            "method": measured.method,
            "coverage": measured.coverage,
            "seed": None if measured.method is None else self.settings.seed,
            "better": metric.better,
            "reason": reason,
        }
