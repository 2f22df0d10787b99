"""Long-format rows from the scores of several runs: every metric of every target in every cell, with intervals and paired differences."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, groupby
from typing import Any

import numpy as np
import pyarrow as pa

from recsys import schema
from recsys.evaluation.inputs.rows import IntArray, Rows, renumber, taken
from recsys.evaluation.inputs.scored_impressions import Impressions
from recsys.evaluation.inputs.scores import Scores
from recsys.evaluation.inputs.slices import Cell, cells, splits
from recsys.evaluation.inputs.targets import Target
from recsys.evaluation.intervals.bootstrap import UserDraws
from recsys.evaluation.measured import Measured, difference, measure_runs
from recsys.evaluation.metrics import OFF_POLICY, Metric
from recsys.evaluation.metrics.lists import Places, places
from recsys.threads import most_threads, one_thread_each

THREADS = 2  # objectives at a time: numpy sorts, counts and multiplies without Python's lock, but each objective needs its own memory


@dataclass(frozen=True)
class Settings:
    """The settings that stay the same throughout one evaluation."""

    run: str
    bootstrap: int
    confidence: float
    seed: int
    train_means: Mapping[str, float]
    also: Sequence[str] = ()  # other runs whose own numbers are wanted beside the differences to them


def long_rows(
    impressions: Impressions, runs: Sequence[Scores], settings: Settings, of: Sequence[Target], metrics: Sequence[Metric]
) -> pa.Table:
    """Return rows of schema.METRICS of the first run and of its differences to the others, and rows of the runs of `settings.also`.

    All `runs` scored `impressions` in one order.
    """
    rows: list[dict[str, Any]] = []
    at_once = min(THREADS, most_threads() or THREADS)
    for split, at_N in splits(impressions):
        evaluation = SplitEvaluation(split, at_N, impressions, runs, settings)
        with ThreadPoolExecutor(at_once) as threads, one_thread_each():
            rows += chain.from_iterable(threads.map(partial(evaluation.rows, metrics=metrics), of))
    return pa.Table.from_pylist(rows, schema=schema.METRICS)


class SplitEvaluation:
    """The evaluation of one split. Its users are numbered and drawn once, for all objectives, cells and runs."""

    def __init__(self, split: str, at_N: IntArray, impressions: Impressions, runs: Sequence[Scores], settings: Settings) -> None:
        self.split, self.at_N, self.impressions, self.runs, self.settings = split, at_N, impressions, runs, settings
        users_U, self.user_N = renumber(taken(impressions.user_N, at_N), impressions.users)
        if len(at_N) < len(impressions.user_N):
            self.user_N = self._spread(self.user_N)
        self.draws = UserDraws(len(users_U), settings.bootstrap, settings.seed)

    @cached_property
    def places(self) -> list[Places | None]:
        """The fused order of each run."""
        return [self._places(scores, self.at_N) for scores in self.runs]

    @cached_property
    def cells(self) -> list[Cell]:
        return list(cells(self.impressions, self.at_N))

    def _places(self, scores: Scores, at_N: IntArray) -> Places | None:
        """Return the fused order of the split's rows, at their places among the rows of all splits. None where the run has none."""
        found = None if scores.score_N is None else places(scores.score_N[at_N], self.impressions.list_N[at_N])
        if found is None:
            return None
        return Places(*map(self._spread, found))

    def _spread(self, of_split_N: IntArray) -> IntArray:
        """Put values of the split's rows at their places among the rows of all splits, and 0 elsewhere."""
        spread_N = np.zeros(len(self.impressions.user_N), np.int64)
        spread_N[self.at_N] = of_split_N
        return spread_N

    def rows(self, target: Target, metrics: Sequence[Metric]) -> list[dict[str, Any]]:
        """Return the long rows of one target, the whole split first. A conditional form has no list metrics and no off-policy values."""
        metrics = [m for m in metrics if target.objective.kind in m.kinds and not (target.given and (m.of_lists or m in OFF_POLICY))]
        of_cells = (self._cell(cell, target, [metric for metric in metrics if metric.main or cell.is_whole]) for cell in self.cells)
        return list(chain.from_iterable(of_cells))

    def _cell(self, cell: Cell, target: Target, metrics: Sequence[Metric]) -> Iterator[dict[str, Any]]:
        label_N = taken(self.runs[0].label[target.name], cell.at_N)
        known_N = ~np.isnan(label_N)
        shared = {
            "run": self.settings.run,
            "against": None,
            "objective": target.name,
            "group": target.objective.group,
            "split": self.split,
            "day": cell.day,
            "slice": cell.slice,
            "slice_value": cell.slice_value,
            "n": np.count_nonzero(known_N),
            "n_positive": np.count_nonzero(label_N > 0) if target.objective.is_probability else None,
        }
        for metric, this, *others in zip(metrics, *self.measured(cell.at_N, target, metrics), strict=True):
            yield self._row(shared, metric, target, this)
            for scores, other in zip(self.runs[1:], others, strict=True):
                yield self._row({**shared, "against": scores.run}, metric, target, difference(this, other, scores.run))
                if scores.run in self.settings.also:
                    yield self._row({**shared, "run": scores.run}, metric, target, other)

    def measured(self, at_N: IntArray, target: Target, metrics: Sequence[Metric]) -> list[list[Measured]]:
        """Compute the metrics of a target on these rows of the split, for each run."""
        known_N = ~np.isnan(taken(self.runs[0].label[target.name], at_N))
        by_run: list[list[Measured]] = [[] for _ in self.runs]
        for with_unknown, some in groupby(metrics, lambda metric: metric.of_lists and not known_N.all()):
            together = list(some)
            users_U, rows_by_run = self._rows_by_run(at_N if with_unknown or known_N.all() else at_N[known_N], target, together)
            for measured, found in zip(by_run, measure_runs(together, rows_by_run, self.draws, users_U), strict=True):
                measured += found
        return by_run

    def _users(self, at_N: IntArray) -> tuple[IntArray, IntArray]:
        """Return the users of these rows by their numbers in the draws, and for each row the place of its user among them."""
        if len(at_N) == len(self.at_N):
            return np.arange(self.draws.users), taken(self.user_N, at_N)
        return renumber(taken(self.user_N, at_N), self.draws.users)

    def _lists(self, at_N: IntArray, metrics: Sequence[Metric]) -> tuple[IntArray, int]:
        """Return the list of each row, from 0, and the number of lists. Where no metric reads lists, all rows are one list."""
        if not any(metric.reads_lists for metric in metrics):
            return np.zeros(len(at_N), np.int64), 1
        lists_G, list_N = renumber(taken(self.impressions.list_N, at_N), self.impressions.lists)
        return list_N, len(lists_G)

    def _rows_by_run(self, at_N: IntArray, target: Target, metrics: Sequence[Metric]) -> tuple[IntArray, list[Rows]]:
        """Return the users of these impressions by their numbers in the draws, and the rows of each run as far as the metrics read them."""
        name = target.name
        label_N = taken(self.runs[0].label[name], at_N)
        users_U, user_N = self._users(at_N)
        list_N, lists = self._lists(at_N, metrics)
        rows_by_run = []
        fused = self.places if any(metric.of_lists for metric in metrics) else [None] * len(self.runs)
        for scores, order in zip(self.runs, fused, strict=True):
            predicted = scores.predicted[name]
            expected_N = taken(predicted.expected_N, at_N)
            order_N = expected_N if predicted.percentile_N is None else taken(predicted.percentile_N, at_N)
            rows = Rows(
                label_N=label_N,
                prediction_N=expected_N,
                ranking_N=order_N if predicted.list_ordering is predicted.ordering else taken(predicted.list_ordering, at_N),
                user_N=user_N,
                list_N=list_N,
                users=len(users_U),
                lists=lists,
                train_mean=self.settings.train_means.get(name),
                levels=target.objective.levels,
                probability_NL=None if predicted.probability_NL is None else taken(predicted.probability_NL, at_N),
                importance_N=None if scores.importance is None else taken(scores.importance.weight_N, at_N),
                policy_N=taken(policy_N, at_N)
                if scores.importance and (policy_N := scores.importance.policy.get(name)) is not None
                else None,
                place_N=None if order is None else taken(order.place_N, at_N),
                list_place_N=None if order is None else taken(order.list_place_N, at_N),
                list_size_N=None if order is None else taken(order.list_size_N, at_N),
                percentile_N=None if predicted.percentile_N is None else order_N,
            )
            rows_by_run.append(rows)
        return users_U, rows_by_run

    def _row(self, shared: Mapping[str, Any], metric: Metric, target: Target, measured: Measured) -> dict[str, Any]:
        low, high, reason = measured.interval(confidence=self.settings.confidence, centred=metric.centred)
        return {
            **shared,
            "metric": metric.name,
            "value": measured.value,
            "low": low,
            "high": high,
            "method": measured.method,
            "coverage": measured.coverage,
            "seed": None if measured.method is None else self.settings.seed,
            "better": metric.better_of(target.objective),
            "reason": reason,
        }
