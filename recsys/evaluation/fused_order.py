"""The fused order of one split's rows under any fusion weights, and metrics of this order. Each metric is one matrix product.

Shapes: N rows in the order of event_id, K objectives, G lists, M sets of weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys import schema
from recsys.errors import Place, data_error
from recsys.evaluation.inputs.rows import FloatArray, IntArray, Rows, renumber
from recsys.evaluation.inputs.scored_impressions import Impressions
from recsys.evaluation.inputs.scores import Scores
from recsys.evaluation.metrics import Metric
from recsys.evaluation.metrics.lists import best_dcg, counted_lists, discount, places, top_rows, whole_gain
from recsys.list_metrics import ListMetric
from recsys.objectives import Objective
from recsys.predictions import fused_term


@dataclass(frozen=True)
class FusedRows:
    """Rows and the terms of their fused score.

    `terms_NK` is what each objective adds to the fused score at weight 1, finite. Labels are NaN where they are not known.
    """

    terms_NK: FloatArray
    labels_NK: FloatArray
    user_N: IntArray
    list_N: IntArray
    users: int
    lists: int

    def __len__(self) -> int:
        return len(self.list_N)

    def spread(self) -> FloatArray:
        """Return the standard deviation of each term, [K]. A constant term gets 1: it has no effect under any weight."""
        constant_K = (self.terms_NK == self.terms_NK[:1]).all(axis=0)  # the deviation of equal floats is not always 0
        return np.where(constant_K, 1.0, self.terms_NK.std(axis=0))

    def score(self, weights_K: FloatArray) -> FloatArray:
        """Return the fused score, [N]. The terms are added in the order of `predictions.fused_score`, which gives the same bits."""
        score_N = np.zeros(len(self))
        for k, weight in enumerate(weights_K):
            score_N += weight * self.terms_NK[:, k]
        return score_N

    def rows(self, k: int, score_N: FloatArray) -> Rows:
        """Return the rows by which list metrics judge objective k under a score."""
        order = places(score_N, self.list_N)
        assert order is not None, "the terms are finite"
        term_N = self.terms_NK[:, k]
        return Rows(self.labels_NK[:, k], term_N, term_N, self.user_N, self.list_N, self.users, self.lists, **order._asdict())

    def take(self, at_N: IntArray) -> "FusedRows":
        """Return the rows at `at_N`, which is ascending."""
        users_U, user_N = renumber(self.user_N[at_N], self.users)
        lists_G, list_N = renumber(self.list_N[at_N], self.lists)
        return FusedRows(np.asfortranarray(self.terms_NK[at_N]), self.labels_NK[at_N], user_N, list_N, len(users_U), len(lists_G))


def rows_of_split(impressions: Impressions, split: str) -> IntArray:
    """Return the places of a split's rows among all rows; empty where the split has none."""
    split_N, names = impressions.split
    return np.flatnonzero(split_N == names.index(split)) if split in names else np.zeros(0, np.int64)


def fused_rows(at_N: IntArray, scores: Scores, impressions: Impressions, objectives: Sequence[Objective]) -> FusedRows:
    """Return the rows at `at_N`, which is ascending.

    Raises DataError for a row without a prediction, because such a row would have no place in the order.
    """
    terms = []
    for objective in objectives:
        predicted = scores.predicted[objective.name]
        value_N = predicted.ranking_N[at_N]
        if bad := int(np.count_nonzero(~np.isfinite(value_N))):
            column = schema.prediction_column if predicted.ranking_N is predicted.expected_N else schema.rank_column
            raise data_error(
                Place(f"predictions of run {scores.run}", column=column(objective.name)),
                found="null, NaN or infinite", expected="a finite number in every row that is ordered", bad_rows=bad, rows=len(at_N),
                fix="score every impression",
            )  # fmt: skip
        terms.append(fused_term(value_N, objective))
    users_U, user_N = renumber(impressions.user_N[at_N], impressions.users)
    lists_G, list_N = renumber(impressions.list_N[at_N], impressions.lists)
    labels_NK = np.column_stack([scores.label[objective.name][at_N] for objective in objectives])
    return FusedRows(np.asfortranarray(np.column_stack(terms)), labels_NK, user_N, list_N, len(users_U), len(lists_G))


class OrderMetric:
    """A metric of the fused order (`list_metric`) as Σ_n seen_n share_nk. One look at the order serves all objectives.

    `seen_n` is how much of row n the order lets be seen. `share_nk` is the share of objective k that row n holds; it does not depend on the
    weights. Where the metric is undefined, the value is a number without meaning.
    """

    def __init__(self, rows: FusedRows, metric: Metric) -> None:
        asked = ListMetric.parse(metric.name)
        self.kind, self._percent, self._k = asked.kind, asked.percent, asked.k or 0
        self._rows = rows
        any_order_N = np.zeros(len(rows))
        self._share_NK = np.column_stack([self._share(rows.rows(k, any_order_N)) for k in range(rows.terms_NK.shape[1])])

    def values(self, score_N: FloatArray) -> FloatArray:
        """Return the metric of each objective under a score, [K]."""
        return np.asarray(self._seen(score_N) @ self._share_NK)

    def _seen(self, score_N: FloatArray) -> FloatArray:
        if self._percent is not None:
            cut = top_rows(len(score_N), self._percent)
            border = np.partition(score_N, -cut)[-cut]
            seen_N = np.where(score_N > border, 1.0, 0.0)
            seen_N[np.flatnonzero(score_N == border)[: cut - int(seen_N.sum())]] = 1.0  # tied rows in the order of event_id
            return seen_N
        order = places(score_N, self._rows.list_N)
        assert order is not None, "the terms are finite"
        return discount(order.list_place_N, self._k) if self.kind == "ndcg" else (order.list_place_N < self._k).astype(np.float64)

    def _share(self, rows: Rows) -> FloatArray:
        """Return `share_nk` for one objective, [N]."""
        gain_N = np.maximum(np.nan_to_num(rows.label_N), 0.0)
        if self._percent is not None:
            return gain_N / (gain_N.sum() or 1.0)
        whole_G = best_dcg(rows, self._k) if self.kind == "ndcg" else whole_gain(rows)
        counted_G = counted_lists(rows, whole_G, longer_than=1 if self.kind == "ndcg" else self._k)
        scale_G = np.divide(1.0, whole_G * np.count_nonzero(counted_G), out=np.zeros(rows.lists), where=counted_G)
        return np.asarray(gain_N * scale_G[rows.list_N])
