"""Hold the numbers that the rules of next steps look at, and the steps that they give."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys import schema
from recsys.config import Pipeline
from recsys.evaluation import Scores
from recsys.objectives import Twin, twins
from recsys.predictions import known_before
from recsys.report.tables.cells import Grid
from recsys.report.tables.frame import splits
from recsys.report.training_log import Journal

ENOUGH = 100  # rows or positives for a claim about labels
NAMED = 3  # objectives that a step names


@dataclass(frozen=True)
class Step:
    """Something to do next: what, why, and, if there is one, the command that does it or the lines that the TOML gets."""

    what: str
    why: str
    command: str | None = None
    in_toml: str | None = None


@dataclass(frozen=True)
class Seen:
    """The numbers that the rules look at.

    `main` holds the main metrics of the part of the split that the run is judged on, `changed` the numbers before and after calibration.
    """

    run: str
    pipeline: Pipeline
    table: pd.DataFrame
    predictions: pa.Table
    scores: Scores
    journal: Journal | None
    main: Grid
    changed: pd.DataFrame | None = None

    @property
    def split(self) -> str:
        return splits(self.table)[0]

    @cached_property
    def one_answers(self) -> dict[str, tuple[float, int]]:
        """Objective → its answer and the number of its labels, where all labels are that answer and there are enough to say so."""
        known = {objective.name: self.scores.label[objective.name] for objective in self.pipeline.objective}
        known = {name: label_N[~np.isnan(label_N)] for name, label_N in known.items()}
        return {name: (label_N[0], len(label_N)) for name, label_N in known.items() if len(label_N) >= ENOUGH and np.ptp(label_N) == 0}

    @cached_property
    def doubles(self) -> list[Twin]:
        """Pairs of objectives whose labels are one, in enough rows to say so. Of a group of equal labels the first one stays."""
        found: dict[str, Twin] = {}
        for twin in twins(self.pipeline.objective, self.scores.label):
            if twin.rows >= ENOUGH and not {twin.first, twin.second} & found.keys():
                found[twin.second] = twin
        return list(found.values())

    def is_left_out(self, target: str) -> bool:
        """Return whether a step says to leave an objective out, or of a conditional form one of its two: then more days are of no use."""
        names = schema.conditional_parts(target) or (target,)
        return any(name in self.one_answers or name in [twin.second for twin in self.doubles] for name in names)

    @property
    def fitted_to(self) -> pa.Table:
        """The predictions with the labels that what is fitted to the validation days may know."""
        return known_before(self.predictions, self.pipeline.border_after(schema.VALIDATION))


def several(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
