"""Scores around zero from numbers of any scale.

Aggregates are logarithms by construction (lifts, counts, ages), and a logit is nearly linear in them. They are standardised:
(x − mean) / std, within ±5. Every other number may have any scale and shape. It becomes its standard normal score, Φ⁻¹ of its
mid-rank. The mid-rank is the share of training rows below the number plus half the share equal to it. So ties and columns of
few values need no special case. A constant column is 0 either way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import schema
from recsys.encoding.hashing import mixed
from recsys.encoding.layout import NUM_QUANTILES
from recsys.encoding.roles import array, numbers

MAX_SCORE = 3.0
MAX_DEVIATIONS = 5.0
_MAX_KNOTS = 256
_SAMPLE_ROWS = 200_000  # the knots' mid-ranks are then off by 0.001 (standard error, at the median)


@dataclass(frozen=True)
class Normaliser:
    """Piecewise linear maps from numbers to scores, one per column, and which columns had missing values in training."""

    columns: tuple[str, ...]
    knots: tuple[NDArray[np.float64], ...]  # per column: at most 256 values, increasing; none where all of training was null
    scores: tuple[NDArray[np.float64], ...]  # of the knots, of the same length
    is_sparse: tuple[bool, ...]  # had a null in training, so gets an indicator

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns that `transform` returns: the scores, then the indicators."""
        return self.columns + tuple(f"{column}?" for column, sparse in zip(self.columns, self.is_sparse, strict=True) if sparse)

    def transform(self, table: pa.Table) -> NDArray[np.float32]:
        """Return [N, D]: scores, 0 where a number is missing, then 0/1 missing-value indicators. Always finite."""
        out_ND = np.zeros((len(table), len(self.names)), np.float32)
        indicator = len(self.columns)
        for d, column in enumerate(self.columns):
            values = numbers(array(table, column))
            is_missing = np.isnan(values)
            if len(self.knots[d]):
                out_ND[:, d] = np.where(is_missing, 0.0, np.interp(values, self.knots[d], self.scores[d]))
            if self.is_sparse[d]:
                out_ND[:, indicator] = is_missing
                indicator += 1
        return out_ND

    def table(self) -> pa.Table:
        return pa.table(
            {
                "column": pa.array(self.columns, pa.string()),
                "knots": pa.array(list(self.knots), pa.list_(pa.float64())),
                "scores": pa.array(list(self.scores), pa.list_(pa.float64())),
                "is_sparse": pa.array(self.is_sparse, pa.bool_()),
            }
        )

    @staticmethod
    def from_table(table: pa.Table) -> "Normaliser":
        knots, scores = (tuple(np.array(cell, np.float64) for cell in table[name].to_pylist()) for name in ("knots", "scores"))
        return Normaliser(tuple(table["column"].to_pylist()), knots, scores, tuple(table["is_sparse"].to_pylist()))


class NormaliserFitter:
    """Keep the rows whose event ids have the smallest hashes: a uniform sample, the same in whatever order rows come.

    The sample is bounded, whatever the number of days. Every training row is equally likely to be in it.
    """

    def __init__(self, columns: Sequence[str], sample_rows: int = _SAMPLE_ROWS) -> None:
        self._columns = tuple(columns)
        self._sample_rows = sample_rows
        self._hashes = np.zeros(0, np.uint64)
        self._sample_DN = np.empty((len(columns), 0))
        self._is_sparse = np.zeros(len(columns), bool)

    def add(self, event_ids: NDArray[np.int64], table: pa.Table) -> None:
        hashes = np.concatenate([self._hashes, mixed(event_ids)])
        if len(hashes) > self._sample_rows:
            kept = np.sort(np.argpartition(hashes, self._sample_rows)[: self._sample_rows])
        else:
            kept = np.arange(len(hashes))
        old, new = kept[kept < len(self._hashes)], kept[kept >= len(self._hashes)] - len(self._hashes)
        # A column at a time, and in place once the sample is whole: else the sample before, what stays of it and the sample after would be
        # in memory together.
        sample_DN = self._sample_DN if self._sample_DN.shape[1] == len(kept) else np.empty((len(self._columns), len(kept)))
        for d, column in enumerate(self._columns):
            values = numbers(array(table, column))
            self._is_sparse[d] |= np.isnan(values).any()
            sample_DN[d] = np.concatenate([self._sample_DN[d, old], values[new]])
        self._hashes, self._sample_DN = hashes[kept], sample_DN

    def normaliser(self) -> Normaliser:
        fitted = [
            (_standard if column.startswith(schema.AGGREGATE) else _normal)(values[~np.isnan(values)])
            for column, values in zip(self._columns, self._sample_DN, strict=True)
        ]
        knots, scores = tuple(knots for knots, _ in fitted), tuple(scores for _, scores in fitted)
        return Normaliser(self._columns, knots, scores, tuple(bool(sparse) for sparse in self._is_sparse))

    def quantiles(self, normaliser: Normaliser) -> tuple[tuple[float, ...], ...]:
        """Return `Layout.quantiles` of the columns that the normaliser gives, by the same sample."""
        found: list[tuple[float, ...]] = []
        for values, knots, scores in zip(self._sample_DN, normaliser.knots, normaliser.scores, strict=True):
            at_ranks = _at_ranks(values[~np.isnan(values)])
            found.append(tuple(np.interp(at_ranks, knots, scores).tolist()) if len(at_ranks) else (0.0,) * NUM_QUANTILES)
        return (*found, *[()] * (len(normaliser.names) - len(found)))


def _standard(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two knots of the line (x − mean) / std, within ±5 standard deviations and the range seen in training, and their scores."""
    if not len(values) or values.min() == values.max():  # a constant's std is not always 0, because its mean is rounded
        return values[:1], np.zeros(len(values[:1]))
    mean, std = values.mean(), values.std()
    knots = np.array([max(values.min(), mean - MAX_DEVIATIONS * std), min(values.max(), mean + MAX_DEVIATIONS * std)])
    return knots, (knots - mean) / std


def _at_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values at NUM_QUANTILES evenly spaced ranks, the lowest and the highest among them; nothing of no value."""
    ranks = np.ceil(np.linspace(0.0, 1.0, NUM_QUANTILES) * len(values)).clip(1).astype(np.int64)
    return np.sort(values)[ranks - 1] if len(values) else values


def _normal(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return knots (all distinct values where these are few, else quantiles that are values themselves) and their scores."""
    values = np.sort(values)
    knots = np.unique(values)
    if len(knots) > _MAX_KNOTS:
        knots = np.unique(values[np.linspace(0, len(values) - 1, _MAX_KNOTS).round().astype(np.int64)])
    below, up_to = np.searchsorted(values, knots, "left"), np.searchsorted(values, knots, "right")
    ranks = (below + up_to) / (2 * max(len(values), 1))
    normal = NormalDist()
    return knots, np.array([normal.inv_cdf(rank) for rank in ranks]).clip(-MAX_SCORE, MAX_SCORE)
