"""One ensemble of gradient-boosted trees for one objective, by whatever library. N rows, C columns."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.calibration import Isotonic, fit_expected
from recsys.objectives import Objective
from recsys.signals import deferred_interrupt

RARE = 0.05  # share of positives below which a binary objective gets the smaller trees
PATIENCE = 15  # trees without a better loss on the judged rows before stopping
INTERNAL_SHARE = 0.1  # of the learned rows: the last in time, which choose the number of trees where no others have two values
MIN_COLUMNS = 64  # least number that a split chooses from, where there are as many


@dataclass(frozen=True)
class TreeOptions:
    """The size of the trees and their number, the same for all libraries.

    Log loss of click on 2022-05-03 of KuaiRand-Pure, 349 columns, 131,510 rows, by scikit-learn; no other day was looked at: .59385
    (AUC .7395) in 99 trees; .59295 (.7405) in 233 trees with a learning rate of .05, which takes twice as long.
    """

    learning_rate: float = 0.1
    trees: int = 500
    leaves: int = 16
    rows_of_a_leaf: int = 50
    l2: float = 10.0
    columns: float = 0.2  # share of the columns that each split chooses from; larger where there are few columns (`MIN_COLUMNS`)

    def share_of(self, columns: int) -> float:
        """Return the share of so many columns that each split chooses from."""
        return max(self.columns, min(1.0, MIN_COLUMNS / columns))


DENSE_TREES = TreeOptions()
RARE_TREES = TreeOptions(leaves=8, rows_of_a_leaf=100, columns=0.5)


class Labelled(NamedTuple):
    """Rows that count and on which one objective's label is observed."""

    matrix: NDArray[np.float32]  # [N, C]
    label: NDArray[np.float64]  # [N]
    weight: NDArray[np.float64] | None = None  # [N], above 0; None where all rows count alike

    def split(self, cut: int) -> tuple["Labelled", "Labelled"]:
        return self._of(slice(cut)), self._of(slice(cut, None))

    def held_out(self) -> tuple["Labelled", "Labelled"]:
        """Return all but the last rows, and these, a share of `INTERNAL_SHARE`.

        Rows of one value choose the fewest trees, and no tree is fitted to them. So where either part has one value alone, the last rows
        are those of the most common value and those of all others, each by themselves.
        """
        parts = self.split(len(self.label) - _last_of(len(self.label)))
        if all(part.varies for part in parts):
            return parts
        values, counts = np.unique(self.label, return_counts=True)
        is_common_N, is_last_N = self.label == values[counts.argmax()], np.zeros(len(self.label), bool)
        for places in (np.flatnonzero(is_common_N), np.flatnonzero(~is_common_N)):
            is_last_N[places[len(places) - _last_of(len(places)) :]] = True
        return self._of(~is_last_N), self._of(is_last_N)

    @property
    def varies(self) -> bool:
        return len(np.unique(self.label)) > 1

    def _of(self, rows: slice | NDArray[np.bool_]) -> "Labelled":
        return Labelled(self.matrix[rows], self.label[rows], None if self.weight is None else self.weight[rows])

    def mean(self) -> float:
        return float(np.average(self.label, weights=self.weight))


def _last_of(rows: int) -> int:
    return min(rows, max(1, int(rows * INTERNAL_SHARE)))


class Model(ABC):
    """Fitted trees. The first `trees` of them count: the number with the lowest loss on the judged rows, where there were any."""

    trees: int

    @abstractmethod
    def output(self, matrix_NC: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return [N]: the probability of label 1, or the expected label."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the trees in a form that holds no code. `Library.load` reads it."""


class Library(ABC):
    """A library of boosted trees."""

    @abstractmethod
    def fit(self, learned: Labelled, judged: Labelled | None, options: TreeOptions, *, classifies: bool, seed: int) -> Model:
        """Fit `options.trees` trees to `learned`; fewer where the loss on `judged` has not fallen for `PATIENCE` trees.

        `classifies` asks for the log loss of labels 0 and 1, otherwise squares. The same seed gives the same model on one machine.
        """

    @abstractmethod
    def load(self, path: Path, trees: int) -> Model:
        """Read what `Model.save` wrote with the same version of the library; the first `trees` trees count."""


@dataclass(frozen=True)
class Ensemble:
    """Fitted trees (none for a label of one value), and a map from their output to an expected value.

    `options` are those of the fit, with the number of trees that was chosen. `constant`: the prediction where there are no trees. `curve`:
    for watch time, the map from an output to the mean label of learned rows. One smearing factor (Duan 1983) would not do: it assumes that
    residuals are alike at every output, while at low outputs most labels are zeros.
    """

    objective: Objective
    model: Model | None
    options: TreeOptions = DENSE_TREES
    constant: float = 0.0
    curve: Isotonic | None = None

    def predict(self, matrix_NC: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return [N] probabilities, or expected values in the label's own unit."""
        if self.model is None:
            return np.full(len(matrix_NC), self.constant)
        output_N = self.model.output(matrix_NC)
        return output_N if self.curve is None else self.curve(output_N)

    def facts(self) -> dict[str, Any]:
        """Return all but the trees, JSON-able."""
        curve = None if self.curve is None else self.curve.model_dump(mode="json")
        trees = None if self.model is None else self.model.trees
        return {"options": asdict(self.options), "constant": self.constant, "curve": curve, "trees": trees}

    @classmethod
    def of(cls, objective: Objective, facts: dict[str, Any], model: Model | None) -> "Ensemble":
        """Return the ensemble of these trees and of what `facts` gave."""
        curve = None if facts["curve"] is None else Isotonic.model_validate(facts["curve"])
        return cls(objective, model, TreeOptions(**facts["options"]), facts["constant"], curve)


class Trees:
    """A maker of ensembles for one objective. The same seed gives the same ensembles."""

    def __init__(self, objective: Objective, library: Library, *, seed: int) -> None:
        self._objective = objective
        self._library = library
        self._seed = seed

    def choose(self, learned: Labelled, judged: Labelled) -> Ensemble:
        """Learn `learned`, with the number of trees at which the loss on `judged` is lowest.

        Where `judged` has no two values, the last rows of `learned` choose the number, and all of `learned` is then learned. Where the rows
        before them have one value, or there are none, nothing can be chosen, and the mean is predicted.
        """
        if judged.varies:
            return self._fit(learned, judged, self._options(learned))
        first, last = learned.held_out()
        if not first.varies:
            return self._constant(learned)
        return self.refit(learned, self._fit(first, last, self._options(learned)))

    def refit(self, learned: Labelled, chosen: Ensemble) -> Ensemble:
        """Learn `learned` with the options and the number of trees of `chosen`."""
        return self._fit(learned, None, chosen.options) if chosen.model is not None else self._constant(learned)

    def _options(self, learned: Labelled) -> TreeOptions:
        return RARE_TREES if self._objective.is_probability and learned.label.mean() < RARE else DENSE_TREES

    def _constant(self, learned: Labelled) -> Ensemble:
        return Ensemble(self._objective, None, constant=learned.mean())

    def _fit(self, learned: Labelled, judged: Labelled | None, options: TreeOptions) -> Ensemble:
        if not learned.varies:
            return self._constant(learned)
        targets = learned._replace(label=self._target(learned.label))
        held_out = None if judged is None else judged._replace(label=self._target(judged.label))
        with deferred_interrupt():  # an interruption inside the loops of compiled code comes out as an error of another kind
            model = self._library.fit(targets, held_out, options, classifies=self._objective.is_probability, seed=self._seed)
        chosen = replace(options, trees=model.trees)
        if self._objective.kind != "watch_time":
            return Ensemble(self._objective, model, chosen)
        curve = fit_expected(model.output(learned.matrix), learned.label, learned.weight)
        return Ensemble(self._objective, model, chosen, curve=curve)

    def _target(self, label_N: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log1p(label_N) if self._objective.kind == "watch_time" else label_N
