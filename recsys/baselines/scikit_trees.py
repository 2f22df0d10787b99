"""Histogram gradient-boosted trees of scikit-learn."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from recsys.baselines.trees import PATIENCE, Labelled, Library, Model, TreeOptions

_TRUSTED = [
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
]  # arrays of nodes; skops knows scikit-learn's public classes

_LOOKED_AT = 200_000  # rows of which scikit-learn makes its bins; of more rows it draws so many
_FIRST = 1_000  # rows that tell of most columns that they have values enough


@dataclass(frozen=True)
class ScikitModel(Model):
    """A fitted estimator, of which the first `trees` trees count."""

    estimator: Any  # HistGradientBoostingClassifier | HistGradientBoostingRegressor: scikit-learn has no types
    trees: int

    def output(self, matrix_NC: NDArray[np.float32]) -> NDArray[np.float64]:
        is_classifier = isinstance(self.estimator, HistGradientBoostingClassifier)
        names = ("predict_proba", "staged_predict_proba") if is_classifier else ("predict", "staged_predict")
        whole, staged = (getattr(self.estimator, name) for name in names)
        # scikit-learn keeps the trees after the best one; only the staged prediction can leave them out.
        output = whole(matrix_NC) if self.trees == self.estimator.n_iter_ else next(islice(staged(matrix_NC), self.trees - 1, None))
        return np.asarray(output[:, 1] if is_classifier else output)

    def save(self, path: Path) -> None:
        from skops.io import dump

        dump(self.estimator, path)


@dataclass(frozen=True)
class _Bins:
    """Hold what the step `_bin_data` of an estimator has made of rows: the edges of the bins, and the rows in bins."""

    matrix: NDArray[np.float32]
    weight: NDArray[np.float64] | None
    empty: list[int]  # columns that count as empty
    seed: int
    edges: Any  # sklearn's _BinMapper
    rows: NDArray[np.uint8]

    def are_of(self, learned: Labelled, empty: list[int], seed: int) -> bool:
        """Return whether the same bins would be made of these rows."""
        if self.matrix is not learned.matrix or (self.empty, self.seed) != (empty, seed):
            return False
        if self.weight is None or learned.weight is None:
            return self.weight is learned.weight
        return np.array_equal(self.weight, learned.weight)


class Scikit(Library):
    """HistGradientBoostingClassifier and HistGradientBoostingRegressor.

    A matrix that several objectives learn from one after the other is cut into bins once.
    """

    def __init__(self) -> None:
        self._bins: _Bins | None = None  # of the last fit

    def fit(self, learned: Labelled, judged: Labelled | None, options: TreeOptions, *, classifies: bool, seed: int) -> ScikitModel:
        family = HistGradientBoostingClassifier if classifies else HistGradientBoostingRegressor
        estimator = family(
            learning_rate=options.learning_rate,
            max_iter=options.trees,
            max_leaf_nodes=options.leaves,
            min_samples_leaf=options.rows_of_a_leaf,
            l2_regularization=options.l2,
            max_features=options.share_of(learned.matrix.shape[1]),
            early_stopping=judged is not None,
            n_iter_no_change=PATIENCE,
            tol=0.0,
            random_state=seed,
        )
        empty = _empty(learned.matrix, options.rows_of_a_leaf)
        self._share_bins(estimator, learned, empty, seed)
        held_out = {} if judged is None else {"X_val": judged.matrix, "y_val": judged.label, "sample_weight_val": judged.weight}
        estimator.fit(_with_values(learned.matrix, empty), learned.label, learned.weight, **held_out)
        vars(estimator).pop("_bin_data", None)  # its own step again: ours is not to be saved
        # Entry 0 of the scores is the loss before the first tree.
        return ScikitModel(estimator, estimator.n_iter_ if judged is None else max(1, int(np.argmax(estimator.validation_score_))))

    def _share_bins(self, estimator: Any, learned: Labelled, empty: list[int], seed: int) -> None:
        """Let the estimator take the bins of the last fit where it would make the same ones again.

        To make them takes a quarter of a fit or more (docs/benchmarks.md), and scikit-learn takes no bins. So its own step that makes them
        is replaced. A version without that step makes them for each objective.
        """
        if not hasattr(estimator, "_bin_data"):
            return
        make = estimator._bin_data

        def made_once(*rows: Any, **named: Any) -> NDArray[np.uint8]:
            if not named.get("is_training_data"):
                return np.asarray(make(*rows, **named))
            if self._bins is None or not self._bins.are_of(learned, empty, seed):
                self._bins = None  # two such matrices at once would be too many
                binned = make(*rows, **named)
                self._bins = _Bins(learned.matrix, learned.weight, empty, seed, estimator._bin_mapper, binned)
            estimator._bin_mapper = self._bins.edges
            return self._bins.rows

        estimator._bin_data = made_once

    def load(self, path: Path, trees: int) -> ScikitModel:
        from skops.io import load

        return ScikitModel(load(path, trusted=_TRUSTED), trees)


def _empty(matrix_NC: NDArray[np.float32], rows_of_a_leaf: int) -> list[int]:
    """Return the columns that are missing on all rows.

    Of many rows scikit-learn looks at some, drawn, to which a column of few values is such a column, too: one with fewer values than a leaf
    has rows splits nothing.
    """
    least = rows_of_a_leaf if len(matrix_NC) > _LOOKED_AT else 1
    rare = np.flatnonzero(_known(matrix_NC[:_FIRST]) < least).tolist()
    return [column for column in rare if _known(matrix_NC[:, column]) < least]


def _with_values(matrix_NC: NDArray[np.float32], empty: list[int]) -> NDArray[np.float32]:
    """Return the matrix with zeros in the empty columns. No tree splits by a column of one value.

    scikit-learn 1.9.1 fails where it meets a column without any value, as the history has where every user comes once.
    """
    if not empty:
        return matrix_NC
    filled_NC = matrix_NC.copy()
    filled_NC[:, empty] = 0.0
    return filled_NC


def _known(values: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.asarray((~np.isnan(values)).sum(axis=0))
