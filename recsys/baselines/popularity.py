"""The item's own mean label so far: what a feed without a model would rank by."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys import schema
from recsys.baselines.base import Baseline, Position
from recsys.baselines.rows import Rows, means
from recsys.config import Pipeline
from recsys.progress import Console

SHRINKAGE = 20.0  # impressions at the base mean that every item starts from


class Popularity(Baseline):
    """(Σ label + c·base) / (n + c) per item and objective, c = `SHRINKAGE`; an unseen item gets the base mean."""

    sees_position = False

    def __init__(self, pipeline: Pipeline, console: Console) -> None:
        super().__init__(pipeline, console)
        self._items: pa.Array
        self._means_IK: NDArray[np.float64]  # the last row is the base mean

    def fit(self, train: Rows, validation: Rows | None) -> None:
        self.refit(train)  # nothing to choose

    def refit(self, rows: Rows) -> None:
        labels_NK = rows.labels(self.objectives)
        base_K = means(labels_NK, self.objectives, rows.examples)
        encoded = pc.dictionary_encode(rows.read([schema.ITEM_ID])[schema.ITEM_ID]).combine_chunks()
        self._items, item_N = encoded.dictionary, encoded.indices.to_numpy()
        known_NK = np.isfinite(labels_NK)
        smoothed = [
            (_sum_by(item_N, np.where(known, label, 0.0), len(self._items)) + SHRINKAGE * base)
            / (_sum_by(item_N, known.astype(float), len(self._items)) + SHRINKAGE)
            for label, known, base in zip(labels_NK.T, known_NK.T, base_K, strict=True)
        ]
        self._means_IK = np.vstack([np.column_stack(smoothed), base_K])

    def predict(self, rows: Rows, *, position: Position = "logged") -> NDArray[np.float64]:
        items = rows.read([schema.ITEM_ID])[schema.ITEM_ID]
        unseen = len(self._items)
        place_N = pc.fill_null(pc.index_in(items, value_set=self._items), unseen).to_numpy()
        predicted_NK: NDArray[np.float64] = self._means_IK[place_N]
        return predicted_NK


def _sum_by(group_N: NDArray[np.int32], value_N: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    return np.bincount(group_N, weights=value_N, minlength=groups).astype(np.float64)
