"""One ensemble of histogram gradient-boosted trees (scikit-learn) for one objective. N rows, C columns."""

from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from recsys.calibration import Isotonic, fit_expected
from recsys.objectives import Objective
from recsys.options import Options
from recsys.signals import deferred_interrupt

RARE = 0.05  # share of positives below which a binary objective gets the smaller trees
PATIENCE = 15  # trees without a better loss on the judged rows before stopping
INTERNAL_SHARE = 0.1  # of the learned rows: the last in time, which choose the number of trees where no other rows can

Model = Any  # HistGradientBoostingClassifier | HistGradientBoostingRegressor: scikit-learn has no types


class TreeOptions(Options):
    """Options by scikit-learn's names.

    Log loss of click on 2022-05-03 of KuaiRand-Pure, 349 columns, 131,510 rows; no other day was looked at: .59385 (AUC .7395) in 99 trees;
    .59295 (.7405) in 233 trees with a learning rate of .05, which takes twice as long.
    """

    learning_rate: float = 0.1
    max_iter: int = 500
    max_leaf_nodes: int = 16
    min_samples_leaf: int = 50
    l2_regularization: float = 10.0
    max_features: float = 0.2  # share of the columns that each split chooses from; larger where there are few columns (`MIN_COLUMNS`)


DENSE_TREES = TreeOptions()
RARE_TREES = TreeOptions(max_leaf_nodes=8, min_samples_leaf=100, max_features=0.5)
MIN_COLUMNS = 64  # least number that a split chooses from, where there are as many


class Labelled(NamedTuple):
    """Rows that count and on which one objective's label is observed."""

    matrix: NDArray[np.float32]  # [N, C]
    label: NDArray[np.float64]  # [N]
    weight: NDArray[np.float64] | None = None  # [N], above 0; None where all rows count alike

    def split(self, cut: int) -> tuple["Labelled", "Labelled"]:
        first, last = (
            Labelled(self.matrix[rows], self.label[rows], None if self.weight is None else self.weight[rows])
            for rows in (slice(cut), slice(cut, None))
        )
        return first, last

    def mean(self) -> float:
        return float(np.average(self.label, weights=self.weight))


@dataclass(frozen=True)
class Ensemble:
    """The first `trees` trees of a fitted model (none for a label of one value), and a map from their output to an expected value.

    `constant`: the prediction where there are no trees. `curve`: for watch time, the map from an output to the mean label of learned rows.
    One smearing factor (Duan 1983) would not do: it assumes that residuals are alike at every output, while at low outputs most labels are
    zeros.
    """

    objective: Objective
    model: Model  # None: no trees
    trees: int
    constant: float = 0.0
    curve: Isotonic | None = None

    def predict(self, matrix_NC: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return [N] probabilities, or expected values in the label's own unit."""
        if self.model is None:
            return np.full(len(matrix_NC), self.constant)
        output_N = _output(self.model, matrix_NC, self.trees)
        return output_N if self.curve is None else self.curve(output_N)


class Trees:
    """A maker of ensembles for one objective. The same seed gives the same ensembles."""

    def __init__(self, objective: Objective, *, seed: int) -> None:
        self._objective = objective
        self._seed = seed

    def choose(self, learned: Labelled, judged: Labelled) -> Ensemble:
        """Learn `learned`, with the number of trees at which the loss on `judged` is lowest.

        Where `judged` is empty, the last rows of `learned` choose the number, and all of `learned` is then learned.
        """
        if len(judged.label):
            return self._fit(learned, judged, self._options(learned))
        first, last = learned.split(len(learned.label) - max(1, int(len(learned.label) * INTERNAL_SHARE)))
        return self.refit(learned, self._fit(first, last, self._options(learned)))

    def refit(self, learned: Labelled, chosen: Ensemble) -> Ensemble:
        """Learn `learned` with the options and the number of trees of `chosen`."""
        if chosen.model is None:
            return Ensemble(self._objective, None, 0, learned.mean())
        options = {name: chosen.model.get_params()[name] for name in TreeOptions.model_fields}
        return self._fit(learned, None, TreeOptions(**{**options, "max_iter": chosen.trees}))

    def _options(self, learned: Labelled) -> TreeOptions:
        return RARE_TREES if self._objective.is_probability and learned.label.mean() < RARE else DENSE_TREES

    def _fit(self, learned: Labelled, judged: Labelled | None, options: TreeOptions) -> Ensemble:
        matrix_NC, label_N, weight_N = learned
        if len(np.unique(label_N)) < 2:
            return Ensemble(self._objective, None, 0, learned.mean())
        family = HistGradientBoostingClassifier if self._objective.is_probability else HistGradientBoostingRegressor
        least = min(1.0, MIN_COLUMNS / matrix_NC.shape[1])
        model = family(
            **{**options.model_dump(), "max_features": max(options.max_features, least)},
            early_stopping=judged is not None,
            n_iter_no_change=PATIENCE,
            tol=0.0,
            random_state=self._seed,
        )
        held_out = (
            {} if judged is None else {"X_val": judged.matrix, "y_val": self._target(judged.label), "sample_weight_val": judged.weight}
        )
        with deferred_interrupt():  # an interruption inside the loops of compiled code comes out as an error of another kind
            model.fit(matrix_NC, self._target(label_N), weight_N, **held_out)
        # Entry 0 of the scores is the loss before the first tree.
        trees = model.n_iter_ if judged is None else max(1, int(np.argmax(model.validation_score_)))
        if self._objective.kind != "watch_time":
            return Ensemble(self._objective, model, trees)
        return Ensemble(self._objective, model, trees, curve=fit_expected(_output(model, matrix_NC, trees), label_N, weight_N))

    def _target(self, label_N: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log1p(label_N) if self._objective.kind == "watch_time" else label_N


def _output(model: Model, matrix_NC: NDArray[np.float32], trees: int) -> NDArray[np.float64]:
    """Return [N]: the probability of the second class, or the regressor's output, of the first `trees` trees."""
    is_classifier = isinstance(model, HistGradientBoostingClassifier)
    whole, staged = (model.predict_proba, model.staged_predict_proba) if is_classifier else (model.predict, model.staged_predict)
    # scikit-learn keeps the trees after the best one; only the staged prediction can leave them out.
    output = whole(matrix_NC) if trees == model.n_iter_ else next(islice(staged(matrix_NC), trees - 1, None))
    return np.asarray(output[:, 1] if is_classifier else output)
