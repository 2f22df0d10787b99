"""The interface of a baseline: it learns from the rows that any model learns from, and leaves the same predictions.

A row counts by `train.weight` as it does for a model. `train.negatives` is not for baselines: thinning saves a net steps, and baselines see
all rows. For an ordinal objective, baselines learn the level as a number. So they predict the expected level, but no probabilities of
levels. Labels of objectives with `given` are joint in the examples, and are learned as they are.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts import Output
from recsys.baselines.day_rows import Rows
from recsys.config import Pipeline
from recsys.progress import Console

Position = Literal["logged", "missing"]


class Baseline(ABC):
    """A baseline. It depends on the examples, the split, `train.refit`, the seed, and on which objectives follow the position.

    It depends on nothing else of [model], and never on [balance]. The rows that it gets to learn or to choose by hide some labels: those
    that are not known when the next part of the split begins.
    """

    def __init__(self, pipeline: Pipeline, console: Console) -> None:
        self.objectives = pipeline.objective
        self.follows_position = pipeline.follows_position
        self.seed = pipeline.seed
        self.console = console

    @property
    @abstractmethod
    def sees_position(self) -> bool:
        """Return whether a missing position changes the prediction."""

    @abstractmethod
    def fit(self, train: Rows, validation: Rows | None) -> None:
        """Learn `train`. Make all choices on `validation`, which is not learned."""

    @abstractmethod
    def refit(self, rows: Rows) -> None:
        """Learn `rows` (training and validation days) afresh, with everything as `fit` has chosen it."""

    @abstractmethod
    def predict(self, rows: Rows, *, position: Position = "logged") -> NDArray[np.float64]:
        """Return [N, K] probabilities, or expected values in the label's own unit. Read no label."""


class LearnedBaseline(Baseline):
    """A baseline that can be kept: what it has learned is written down, and predicts later days without being fitted again."""

    @abstractmethod
    def save(self, output: Output) -> None:
        """Write all that `predict` needs."""

    @abstractmethod
    def restore(self, folder: Path, encoded: Path) -> None:
        """Take over what `save` wrote into `folder`, to predict days of `encoded`. It predicts the same, to the bit."""
