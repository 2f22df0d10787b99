"""Gradient-boosted trees on the model's own inputs, which a careful user would pick instead of a net."""

from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys import artifacts
from recsys.artifacts import Output
from recsys.baselines.base import LearnedBaseline, Position
from recsys.baselines.day_rows import Rows
from recsys.baselines.lightgbm_trees import LightGBM
from recsys.baselines.scikit_trees import Scikit
from recsys.baselines.tree_columns import TreeColumns
from recsys.baselines.trees import Ensemble, Labelled, Library, Trees
from recsys.encoding import EncodedDays
from recsys.errors import many

MAX_ROWS = 1_000_000  # of training rows, held in memory as one matrix; of more rows every n-th is learned, and the console says so
POSITION_DROPOUT = 0.1  # share of training rows that lose their position, so that "missing" is learned (as in Zhao et al. 2019)
_FACTS = "trees.json"


class GBDT(LearnedBaseline):
    """One ensemble per objective. The number of trees is the one with the lowest validation loss; `refit` keeps this number.

    An objective that does not follow the position has trees without the bias inputs. For an ordinal objective the level is regressed.
    """

    name = "gbdt"
    library: type[Library] = Scikit

    @property
    def sees_position(self) -> bool:
        return self._columns.position is not None and any(self.follows_position)

    def fit(self, train: Rows, validation: Rows | None) -> None:
        self._see(train)
        learned_K = self._labelled(train)
        judged_K = [labelled.split(0)[0] for labelled in learned_K] if validation is None else self._labelled(validation)
        self._ensembles: list[Ensemble] = []
        with self.console.bar(f"{self.name}: choosing the number of trees", len(self.objectives)) as advance:
            for trees, learned, judged in zip(self._trees(), learned_K, judged_K, strict=True):
                self._ensembles.append(trees.choose(learned, judged))
                advance()
        for objective, ensemble in zip(self.objectives, self._ensembles, strict=True):
            constant = f"the constant {ensemble.constant:g}: no two values of its label on the rows to fit trees to"
            found = constant if ensemble.model is None else many(ensemble.options.trees, "tree")
            self.console.say(f"{self.name}: {objective.name}: {found}")

    def refit(self, rows: Rows) -> None:
        self._see(rows)
        learned_K = self._labelled(rows)
        with self.console.bar(f"{self.name}: learning the validation days too", len(self.objectives)) as advance:
            for k, trees in enumerate(self._trees()):
                self._ensembles[k] = trees.refit(learned_K[k], self._ensembles[k])
                advance()

    def predict(self, rows: Rows, *, position: Position = "logged") -> NDArray[np.float64]:
        matrix_NC = self._columns.matrix(rows.encoded_days(), position=position)
        seen = [self._columns.seen(matrix_NC, follows_position=follows) for follows in self.follows_position]
        return np.column_stack([ensemble.predict(seen_NC) for ensemble, seen_NC in zip(self._ensembles, seen, strict=True)])

    def save(self, output: Output) -> None:
        ensembles = [ensemble.facts() for ensemble in self._ensembles]
        output.write_json(_FACTS, {"num_rows": self._layout.num_rows, "ensembles": ensembles})
        for k, ensemble in enumerate(self._ensembles):
            if ensemble.model is not None:
                ensemble.model.save(output.path(_trees_of(k)))

    def restore(self, folder: Path, encoded: Path) -> None:
        facts, library = artifacts.read_json(folder / _FACTS), self.library()
        self._layout = EncodedDays(encoded, []).layout.with_rows(facts["num_rows"])
        self._columns = TreeColumns(self._layout)
        self._ensembles = []
        for k, (objective, of) in enumerate(zip(self.objectives, facts["ensembles"], strict=True)):
            model = None if of["trees"] is None else library.load(artifacts.checked(folder / _trees_of(k)), of["trees"])
            self._ensembles.append(Ensemble.of(objective, of, model))

    def _see(self, rows: Rows) -> None:
        """See columns with the vocabulary as it is after the last of these days."""
        self._layout = rows.encoded_days().layout
        self._columns = TreeColumns(self._layout)

    def _trees(self) -> list[Trees]:
        library = self.library()
        return [Trees(objective, library, seed=self.seed) for objective in self.objectives]

    def _labelled(self, rows: Rows) -> list[Labelled]:
        """Return for each objective the rows that count, with its label observed; a tenth of the rows has the position missing."""
        stride = ceil(len(rows) / MAX_ROWS)
        if stride > 1:
            self.console.say(f"{self.name}: learns 1 in {stride} of {len(rows):,} rows: at most {MAX_ROWS:,} are held in memory")
        matrix_NC = np.concatenate([self._columns.matrix(day.encoded_days())[::stride] for day in rows.each_day()])
        labels_NK = np.concatenate([day.labels(self.objectives)[::stride] for day in rows.each_day()])
        if self._columns.position is not None:
            dropped_N = np.random.default_rng(self.seed).random(len(matrix_NC)) < POSITION_DROPOUT
            matrix_NC[dropped_N, self._columns.position] = np.nan
        weight_N = np.concatenate([day.weights()[::stride] for day in rows.each_day()])
        counts_NK = np.isfinite(labels_NK) & (weight_N > 0)[:, None]
        matrices: dict[tuple[bool, bytes], NDArray[np.float32]] = {}  # one for all objectives that see the same columns of the same rows
        found = []
        for counts_N, label_N, follows in zip(counts_NK.T, labels_NK.T, self.follows_position, strict=True):
            key = (follows, counts_N.tobytes())
            if key not in matrices:
                seen_NC = self._columns.seen(matrix_NC, follows_position=follows)
                matrices[key] = seen_NC if counts_N.all() else seen_NC[counts_N]
            found.append(Labelled(matrices[key], label_N[counts_N], _relative(weight_N[counts_N]) if rows.are_weighted else None))
        return found


class LightGBMTrees(GBDT):
    """The same by LightGBM, where it is installed."""

    name = "lightgbm"
    library = LightGBM


def _relative(weight_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights as 1 on average: the penalty of a tree's leaves is in rows of weight 1."""
    return weight_N / weight_N.mean() if len(weight_N) else weight_N


def _trees_of(k: int) -> str:
    return f"objective-{k}.trees"
