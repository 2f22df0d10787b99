"""Histogram gradient-boosted trees of LightGBM (Ke et al., NeurIPS 2017), an optional package."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.baselines.trees import PATIENCE, Labelled, Library, Model, TreeOptions
from recsys.errors import ConfigError
from recsys.threads import most_threads


def require_lightgbm() -> None:
    """Raise ConfigError where LightGBM cannot be imported: it is not installed, or a library of the system that it needs is not."""
    try:
        import_module("lightgbm")
    except (ImportError, OSError) as error:
        raise ConfigError(
            f'evaluate.baselines: found "lightgbm", which cannot be imported ({error}). Fix: pip install lightgbm, or leave it out'
        ) from error


@dataclass(frozen=True)
class LightGBMModel(Model):
    """A fitted booster, of which the first `trees` trees count."""

    booster: Any  # lightgbm.Booster: LightGBM has no types
    trees: int

    def output(self, matrix_NC: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(self.booster.predict(matrix_NC, num_iteration=self.trees, **_threads()))

    def save(self, path: Path) -> None:
        self.booster.save_model(path, num_iteration=self.trees)


class LightGBM(Library):
    """Boosters of LightGBM. A matrix that several objectives learn from one after the other is cut into bins once.

    A column without a missing value among the learned rows takes a missing one for 0; scikit-learn sends it where most rows went.
    """

    def __init__(self) -> None:
        require_lightgbm()
        self._matrix: NDArray[np.float32] | None = None  # the last one
        self._bins_of_it: Any = None
        self._is_weighted = False  # LightGBM keeps weights that were set once: neither None nor ones take them back

    def fit(self, learned: Labelled, judged: Labelled | None, options: TreeOptions, *, classifies: bool, seed: int) -> LightGBMModel:
        import lightgbm

        parameters = {
            "objective": "binary" if classifies else "regression",
            "learning_rate": options.learning_rate,
            "num_leaves": options.leaves,
            "min_data_in_leaf": options.rows_of_a_leaf,
            "lambda_l2": options.l2,
            "feature_fraction_bynode": options.share_of(learned.matrix.shape[1]),
            "feature_pre_filter": False,  # the bins serve objectives whose leaves have other sizes
            "seed": seed,
            "deterministic": True,
            "force_col_wise": True,  # else it is chosen by a race, and sums are in another order
            "verbosity": -1,
            **_threads(),
        }
        bins = self._bins(learned, parameters)
        held_out = [] if judged is None else [lightgbm.Dataset(judged.matrix, judged.label, weight=judged.weight, reference=bins)]
        stop = [lightgbm.early_stopping(PATIENCE, verbose=False)] if held_out else []
        booster = lightgbm.train(parameters, bins, num_boost_round=options.trees, valid_sets=held_out, callbacks=stop)
        return LightGBMModel(booster, max(1, booster.best_iteration if held_out else booster.num_trees()))

    def load(self, path: Path, trees: int) -> LightGBMModel:
        import lightgbm

        return LightGBMModel(lightgbm.Booster(model_file=path), trees)

    def _bins(self, learned: Labelled, parameters: dict[str, Any]) -> Any:
        import lightgbm

        is_weighted = learned.weight is not None and bool((learned.weight != 1).any())
        if self._matrix is not learned.matrix or self._is_weighted != is_weighted:
            self._matrix, self._is_weighted = learned.matrix, is_weighted
            self._bins_of_it = lightgbm.Dataset(learned.matrix, params=parameters, free_raw_data=False).construct()
        self._bins_of_it.set_label(learned.label)
        self._bins_of_it.set_weight(learned.weight if is_weighted else None)
        return self._bins_of_it


def _threads() -> dict[str, int]:
    number = most_threads()
    return {} if number is None else {"num_threads": number}
