"""A check whether single users dominate the numbers.

Intervals resample users. Where one user holds many of the rows, the intervals depend on whether that user is drawn.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from recsys import schema
from recsys.errors import one_line
from recsys.evaluation.inputs.groups import codes
from recsys.evaluation.inputs.prediction_columns import ids, numbers, require, texts
from recsys.evaluation.inputs.rows import IntArray
from recsys.objectives import Objective

LIMIT = 0.05  # share of the rows


@dataclass(frozen=True)
class Dominant:
    """A user with `rows` of the `of` rows of a split. With an `objective`, only rows with a known label of it count."""

    split: str
    objective: str | None
    user: str
    rows: int
    of: int

    def __str__(self) -> str:
        among = "rows" if self.objective is None else f"rows with a known label of {self.objective}"
        return (
            f"{self.split}: user {one_line(self.user)} holds {self.rows / self.of:.1%} of {self.of:,} {among}; numbers and their intervals"
            " depend much on this one user. Fix: leave the rows out if this is no person, or evaluate more days"
        )


def dominant_users(
    predictions: pa.Table | pd.DataFrame, objectives: Sequence[Objective], *, run: str = "mine", limit: float = LIMIT
) -> list[Dominant]:
    """Return the largest user of each split who holds more than `limit` of its rows, and likewise of each objective's known labels.

    An objective is reported only where its largest user is not the one already reported for all rows of the split. Raises DataError for a
    missing or unusable column.
    """
    table = predictions if isinstance(predictions, pa.Table) else pa.Table.from_pandas(predictions, preserve_index=False)
    labels = {objective.name: schema.label_column(objective.name) for objective in objectives}
    require(table, [schema.USER_ID, *labels.values()], run)
    user_N, users = codes(ids(table, schema.USER_ID, run))
    split_N, splits = (
        texts(table, schema.SPLIT, run) if schema.SPLIT in table.column_names else (np.zeros(len(table), np.int64), [schema.TEST])
    )
    known = {name: ~np.isnan(numbers(table, column, run)) for name, column in labels.items()}
    return [
        Dominant(split, objective, str(users[user].as_py()), rows, of)
        for code, split in enumerate(splits)
        for objective, user, rows, of in _of_split(user_N, split_N == code, known, limit)
    ]


def _of_split(
    user_N: IntArray, inside_N: NDArray[np.bool_], known: dict[str, NDArray[np.bool_]], limit: float
) -> Iterator[tuple[str | None, int, int, int]]:
    """Yield (objective or None, user, rows, all rows) for each user above the limit."""
    everything: dict[str | None, NDArray[np.bool_]] = {None: np.ones(len(user_N), bool)}
    said = None  # the user already reported for all rows
    for objective, known_N in (everything | known).items():
        rows_U = np.bincount(user_N[inside_N & known_N], minlength=1)
        user, of = int(rows_U.argmax()), int(rows_U.sum())
        if rows_U[user] <= limit * of or user == said:
            continue
        if objective is None:
            said = user
        yield objective, user, int(rows_U[user]), of
