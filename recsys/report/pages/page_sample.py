"""The sample that the sliders of a page compute with: whole lists of one split, drawn with a seed, in 32 bits.

Shapes: N rows of the sample, K objectives.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import schema
from recsys.evaluation import read_scores
from recsys.evaluation.fused_order import FusedRows, fused_rows
from recsys.evaluation.inputs.rows import IntArray
from recsys.evaluation.inputs.scored_impressions import Impressions, as_table, read_impressions
from recsys.evaluation.inputs.scores import Scores, check_same_impressions
from recsys.objectives import Objective
from recsys.report.tables.frame import SPLIT_ORDER

MAX_ROWS = 20_000
MAX_BYTES = 800_000  # of terms, labels and list numbers together: 1.1 MB in a page that is to stay below 3 MB


@dataclass(frozen=True)
class Sample:
    """A sample. `rows` hold terms and labels rounded to 32 bits, as a page does. `table` holds the same rows of predictions.parquet."""

    split: str
    table: pa.Table
    rows: FusedRows
    at_N: IntArray  # places among the rows of the split in the order of event_id
    of_rows: int
    of_lists: int
    scores: Scores  # of all rows of the split
    impressions: Impressions  # all rows of the split

    @property
    def is_whole(self) -> bool:
        return len(self.at_N) == self.of_rows


def row_bytes(objectives: Sequence[Objective]) -> int:
    """Return the bytes of one row: one term and one label per objective (one byte for a binary label), and the number of the list."""
    return sum(4 + (1 if objective.is_probability else 4) for objective in objectives) + 2


def most_rows(objectives: Sequence[Objective]) -> int:
    return min(MAX_ROWS, MAX_BYTES // row_bytes(objectives))


def take_sample(predictions: pa.Table, objectives: Sequence[Objective], run: str, *, most: int, seed: int) -> Sample:
    """Draw lists of the first split in the predictions (test before validation), until the next would make more than `most` rows.

    Lists longer than `most` are left out. Raises DataError as `evaluate` does, and where a row lacks a prediction.
    """
    split = next(name for name in SPLIT_ORDER if pc.any(pc.equal(predictions[schema.SPLIT], name)).as_py())
    table = as_table(predictions.filter(pc.equal(predictions[schema.SPLIT], split)), run)
    scores, impressions = read_scores(table, objectives, run, labels=True), read_impressions(table, run, ())
    whole = fused_rows(np.arange(len(table)), scores, impressions, objectives)
    at_N = _whole_lists(whole.list_N, whole.lists, most, seed)
    return Sample(split, table.take(pa.array(at_N)), _narrow(whole.take(at_N)), at_N, len(table), whole.lists, scores, impressions)


def same_rows(sample: Sample, predictions: pa.Table, objectives: Sequence[Objective], run: str) -> FusedRows:
    """Return the rows of a sample as another run scored them. Raises DataError where that run scored other impressions.

    Of `predictions`, the columns of `judged_beside` are enough.
    """
    table = as_table(predictions.filter(pc.equal(predictions[schema.SPLIT], sample.split)), run)
    scores = read_scores(table, objectives, run, labels=True)
    check_same_impressions(sample.scores, scores)
    return _narrow(fused_rows(np.arange(len(table)), scores, sample.impressions, objectives).take(sample.at_N))


def _whole_lists(list_N: IntArray, lists: int, most: int, seed: int) -> IntArray:
    """Return the rows, ascending, of whole lists. Lists are taken in a random order while their rows are at most `most`."""
    size_G = np.bincount(list_N, minlength=lists)
    order_G = np.random.default_rng(seed).permutation(lists)
    order_G = order_G[size_G[order_G] <= most]
    taken_G = np.zeros(lists, bool)
    taken_G[order_G[np.cumsum(size_G[order_G]) <= most]] = True
    return np.flatnonzero(taken_G[list_N])


def _narrow(rows: FusedRows) -> FusedRows:
    terms_NK, labels_NK = (values_NK.astype(np.float32).astype(np.float64) for values_NK in (rows.terms_NK, rows.labels_NK))
    return FusedRows(terms_NK, labels_NK, rows.user_N, rows.list_N, rows.users, rows.lists)
