"""Scores of several runs in, long rows out: every metric of every target in every cell, with intervals and paired differences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from recsys import schema
from recsys.evaluation.bootstrap import UserDraws
from recsys.evaluation.cells import Cell, cells, splits
from recsys.evaluation.inputs import Impressions
from recsys.evaluation.lists import Places, places
from recsys.evaluation.measure import Measured, difference, measure
from recsys.evaluation.metrics import OFF_POLICY, Metric
from recsys.evaluation.rows import IntArray, Rows, renumber
from recsys.evaluation.scores import Scores
from recsys.evaluation.targets import Target


@dataclass(frozen=True)
class Settings:
    """What stays the same through one evaluation."""

    run: str
    bootstrap: int
    confidence: float
    seed: int
    train_means: Mapping[str, float]


def long_rows(
    impressions: Impressions, runs: Sequence[Scores], settings: Settings, of: Sequence[Target], metrics: Sequence[Metric]
) -> pa.Table:
    """Rows of schema.METRICS of the first run, and of its differences to the others; `runs` scored `impressions` in one order."""
    rows: list[dict[str, Any]] = []
    for split, at_N in splits(impressions):
        evaluation = _SplitEvaluation(split, at_N, impressions, runs, settings)
        rows += (row for target in of for row in evaluation.rows(target, metrics))
    return pa.Table.from_pylist(rows, schema=schema.METRICS)


class _SplitEvaluation:
    """One split: its users are numbered and drawn once, for all objectives, cells and runs."""

    def __init__(self, split: str, at_N: IntArray, impressions: Impressions, runs: Sequence[Scores], settings: Settings) -> None:
        self.split, self.impressions, self.runs, self.settings = split, impressions, runs, settings
        self.cells = list(cells(impressions, at_N))
        self.user_N = np.full(len(impressions.user_N), -1)
        users_U, self.user_N[at_N] = renumber(impressions.user_N[at_N], impressions.users)
        self.draws = UserDraws(len(users_U), settings.bootstrap, settings.seed)
        self.places = [self._places(scores, at_N) for scores in runs]

    def _places(self, scores: Scores, at_N: IntArray) -> Places | None:
        """The fused order of the split's rows, at their places among the rows of all splits; None where the run has none."""
        found = None if scores.score_N is None else places(scores.score_N[at_N], self.impressions.list_N[at_N])
        if found is None:
            return None
        spread = np.zeros((len(found), len(self.impressions.user_N)), np.int64)
        spread[:, at_N] = found
        return Places(*spread)

    def rows(self, target: Target, metrics: Sequence[Metric]) -> Iterator[dict[str, Any]]:
        """The long rows of one objective, or of its conditional form, which has no value of its own; the whole split first."""
        metrics = [m for m in metrics if target.objective.kind in m.kinds and not (target.given and (m.of_lists or m in OFF_POLICY))]
        for cell in self.cells:
            yield from self._cell(cell, target, [metric for metric in metrics if metric.main or cell.is_whole])

    def _cell(self, cell: Cell, target: Target, metrics: Sequence[Metric]) -> Iterator[dict[str, Any]]:
        label_N = self.runs[0].label[target.name][cell.at_N]
        known_N = ~np.isnan(label_N)
        shared = {
            "run": self.settings.run,
            "objective": target.name,
            "group": target.objective.group,
            "split": self.split,
            "day": cell.day,
            "slice": cell.slice,
            "slice_value": cell.slice_value,
            "n": np.count_nonzero(known_N),
            "n_positive": np.count_nonzero(label_N > 0) if target.objective.is_probability else None,
        }
        by_run: list[list[Measured]] = [[] for _ in self.runs]
        for with_unknown, some in groupby(metrics, lambda metric: metric.of_lists and not known_N.all()):
            together = list(some)
            users_U, rows_by_run = self._rows_by_run(cell.at_N if with_unknown else cell.at_N[known_N], target)
            for measured, rows in zip(by_run, rows_by_run, strict=True):
                measured += measure(together, rows, self.draws, users_U)
        for metric, this, *others in zip(metrics, *by_run, strict=True):
            yield shared | {"metric": metric.name, "against": None} | self._number(metric, target, this)
            for scores, other in zip(self.runs[1:], others, strict=True):
                yield (
                    shared
                    | {"metric": metric.name, "against": scores.run}
                    | self._number(metric, target, difference(this, other, scores.run))
                )

    def _rows_by_run(self, at_N: IntArray, target: Target) -> tuple[IntArray, list[Rows]]:
        """These impressions as each run scored them, and their users in the numbering of the draws."""
        name = target.name
        label_N = self.runs[0].label[name][at_N]
        users_U, user_N = renumber(self.user_N[at_N], self.draws.users)
        lists_G, list_N = renumber(self.impressions.list_N[at_N], self.impressions.lists)
        rows_by_run = []
        for scores, order in zip(self.runs, self.places, strict=True):
            predicted = scores.predicted[name]
            expected_N = predicted.expected_N[at_N]
            rows = Rows(
                label_N=label_N,
                prediction_N=expected_N,
                ranking_N=expected_N if predicted.ranking_N is predicted.expected_N else predicted.ranking_N[at_N],
                user_N=user_N,
                list_N=list_N,
                users=len(users_U),
                lists=len(lists_G),
                train_mean=self.settings.train_means.get(name),
                levels=target.objective.levels,
                probability_NL=None if predicted.probability_NL is None else predicted.probability_NL[at_N],
                importance_N=None if scores.importance is None else scores.importance.weight_N[at_N],
                policy_N=policy_N[at_N] if scores.importance and (policy_N := scores.importance.policy.get(name)) is not None else None,
                place_N=None if order is None else order.place_N[at_N],
                list_place_N=None if order is None else order.list_place_N[at_N],
                list_size_N=None if order is None else order.list_size_N[at_N],
            )
            rows_by_run.append(rows)
        return users_U, rows_by_run

    def _number(self, metric: Metric, target: Target, measured: Measured) -> dict[str, Any]:
        low, high, reason = measured.interval(confidence=self.settings.confidence, centred=metric.centred)
        return {
            "value": measured.value,
            "low": low,
            "high": high,
            "method": measured.method,
            "coverage": measured.coverage,
            "seed": None if measured.method is None else self.settings.seed,
            "better": metric.better_of(target.objective),
            "reason": reason,
        }
