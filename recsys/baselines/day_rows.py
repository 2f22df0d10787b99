"""The rows of some days, read only when asked for: a baseline that predicts a day never opens its labels."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import artifacts, schema
from recsys.encoding import EncodedDays
from recsys.errors import data_error
from recsys.objectives import Objective
from recsys.workspace import PART, day_folder


@dataclass(frozen=True)
class Rows:
    """Some days of examples/FINGERPRINT/ and of encoded/FINGERPRINT/, in the order of the days; the rows of both agree.

    `known_before`: a moment (ms UTC). Labels that become known only then or later are hidden, as for anybody who learns up to that moment.
    """

    examples: Path
    encoded: Path
    days: tuple[str, ...]
    known_before: int | None = None

    def __len__(self) -> int:
        return sum(artifacts.count_rows(self._file(day)) for day in self.days)

    def each_day(self) -> list["Rows"]:
        return [replace(self, days=(day,)) for day in self.days]

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """Return the named columns of the examples (all where None)."""
        return pa.concat_tables([artifacts.read_table(self._file(day), columns) for day in self.days])

    def columns(self) -> list[str]:
        return list(artifacts.read_schema(self._file(self.days[0])).names)

    def labels(self, objectives: tuple[Objective, ...]) -> NDArray[np.float64]:
        """Return [N, K], NaN where a label is not observed, or hidden."""
        labels_NK = self._numbers([schema.label_column(objective.name) for objective in objectives])
        if self.known_before is None:
            return labels_NK
        known_NK = self._numbers([schema.known_column(objective.name) for objective in objectives])  # float64 is exact up to 2⁵³ ms
        return np.where(known_NK < self.known_before, labels_NK, np.nan)

    def _numbers(self, columns: list[str]) -> NDArray[np.float64]:
        """Return [N, C], null as NaN."""
        return np.column_stack([column.cast(pa.float64()).to_numpy() for column in self.read(columns).columns])

    @property
    def are_weighted(self) -> bool:
        return schema.WEIGHT in self.columns()

    def weights(self) -> NDArray[np.float64]:
        """Return [N], how much each row counts."""
        if not self.are_weighted:
            return np.ones(len(self))
        weight_N: NDArray[np.float64] = self.read([schema.WEIGHT])[schema.WEIGHT].cast(pa.float64()).to_numpy()
        return weight_N

    def encoded_days(self) -> EncodedDays:
        return EncodedDays(self.encoded, list(self.days))

    def _file(self, day: str) -> Path:
        return day_folder(self.examples, day) / PART


def require_labels(rows: Rows, objectives: tuple[Objective, ...]) -> None:
    """Raise DataError where an objective has no row that counts.

    A row counts where the objective's label is observed and not hidden, and the row's weight is above 0.
    """
    counts_K = _counting(rows, objectives)
    observed_K = _counting(replace(rows, known_before=None), objectives)
    for objective, count, observed in zip(objectives, counts_K.tolist(), observed_K.tolist(), strict=True):
        if not count:
            late = f" that is known before the next part of the split begins; all {observed:,} are known later" if observed else ""
            raise data_error(
                f"{rows.examples} column {schema.label_column(objective.name)}",
                found=f"no observed label on the training days{late}",
                expected="at least one" + (" on a row of a weight above 0" if rows.are_weighted else ""),
                fix=("a shorter features.label_delay or within of the feedback, or " if observed else "")
                + f"widen [split] train, or drop the objective {objective.name}",
            )


def has_labels(rows: Rows, objectives: tuple[Objective, ...]) -> bool:
    """Return whether each objective has a row that counts, as in `require_labels`."""
    return bool(_counting(rows, objectives).all())


def _counting(rows: Rows, objectives: tuple[Objective, ...]) -> NDArray[np.int64]:
    """Return [K], the number of rows that each objective is learned from."""
    counts_K: NDArray[np.int64] = (np.isfinite(rows.labels(objectives)) & (rows.weights() > 0)[:, None]).sum(axis=0)
    return counts_K
