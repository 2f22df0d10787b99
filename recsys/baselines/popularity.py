"""The item's own mean label so far, by which a feed without a model would rank."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys import artifacts, schema
from recsys.artifacts import Output
from recsys.baselines.base import LearnedBaseline, Position
from recsys.baselines.day_rows import Rows
from recsys.config import Pipeline
from recsys.progress import Console

_MEANS = "means.parquet"  # the item, and its mean of each objective; of the item null, the base means
SHRINKAGE = 20.0  # impressions at the base mean that every item starts from


class Popularity(LearnedBaseline):
    """Means (Σ w·label + c·base) / (Σ w + c) per item and objective, c = `SHRINKAGE`; an unseen item gets the base mean.

    A row's weight w is 1 without `train.weight`, and with it 1 on average over the rows that count. For an ordinal objective the label is
    the level.
    """

    sees_position = False

    def __init__(self, pipeline: Pipeline, console: Console) -> None:
        super().__init__(pipeline, console)
        self._items: pa.Array
        self._means_IK: NDArray[np.float64]  # the last row is the base mean

    def fit(self, train: Rows, validation: Rows | None) -> None:
        self.refit(train)  # nothing to choose

    def refit(self, rows: Rows) -> None:
        labels_NK = rows.labels(self.objectives)
        weights_NK = np.isfinite(labels_NK) * rows.weights()[:, None]
        weights_NK /= weights_NK.sum(0) / (weights_NK > 0).sum(0)
        weighted_NK = np.where(np.isfinite(labels_NK), labels_NK, 0.0) * weights_NK
        base_K = weighted_NK.sum(0) / weights_NK.sum(0)
        encoded = pc.dictionary_encode(rows.read([schema.ITEM_ID])[schema.ITEM_ID]).combine_chunks()
        self._items, item_N = encoded.dictionary, encoded.indices.to_numpy()
        smoothed = [
            (_sum_by(item_N, weighted_N, len(self._items)) + SHRINKAGE * base) / (_sum_by(item_N, weights_N, len(self._items)) + SHRINKAGE)
            for weighted_N, weights_N, base in zip(weighted_NK.T, weights_NK.T, base_K, strict=True)
        ]
        self._means_IK = np.vstack([np.column_stack(smoothed), base_K])

    def predict(self, rows: Rows, *, position: Position = "logged") -> NDArray[np.float64]:
        items = rows.read([schema.ITEM_ID])[schema.ITEM_ID]
        unseen = len(self._items)
        place_N = pc.fill_null(pc.index_in(items, value_set=self._items), unseen).to_numpy()
        predicted_NK: NDArray[np.float64] = self._means_IK[place_N]
        return predicted_NK

    def save(self, output: Output) -> None:
        items = pa.concat_arrays([self._items, pa.nulls(1, self._items.type)])
        means = {schema.prediction_column(o.name): mean_I for o, mean_I in zip(self.objectives, self._means_IK.T, strict=True)}
        output.write_table(_MEANS, pa.table({schema.ITEM_ID: items, **means}))

    def restore(self, folder: Path, encoded: Path) -> None:
        means = artifacts.read_table(folder / _MEANS)
        self._items = means[schema.ITEM_ID].combine_chunks()[:-1]
        self._means_IK = np.column_stack([means[schema.prediction_column(o.name)].to_numpy() for o in self.objectives])


def _sum_by(group_N: NDArray[np.int32], value_N: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    return np.bincount(group_N, weights=value_N, minlength=groups).astype(np.float64)
