"""The rows of some days, read only when asked for: a baseline that predicts a day never opens its labels."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys import artifacts, schema
from recsys.encoding import EncodedDays
from recsys.errors import data_error
from recsys.objectives import Objective


@dataclass(frozen=True)
class Rows:
    """Some days of examples/FINGERPRINT/ and of encoded/FINGERPRINT/, in the order of the days; the rows of both agree."""

    examples: Path
    encoded: Path
    days: tuple[str, ...]

    def __len__(self) -> int:
        return sum(pq.read_metadata(self._file(day)).num_rows for day in self.days)

    def each_day(self) -> list["Rows"]:
        return [replace(self, days=(day,)) for day in self.days]

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """The named columns of the examples (all where None)."""
        return pa.concat_tables([artifacts.read_table(self._file(day), columns) for day in self.days])

    def columns(self) -> list[str]:
        return list(pq.read_schema(self._file(self.days[0])).names)

    def labels(self, objectives: tuple[Objective, ...]) -> NDArray[np.float64]:
        """[N, K], NaN where a label is not observed."""
        table = self.read([schema.label_column(objective.name) for objective in objectives])
        return np.column_stack([column.cast(pa.float64()).to_numpy() for column in table.columns])

    def encoded_days(self) -> EncodedDays:
        return EncodedDays(self.encoded, list(self.days))

    def _file(self, day: str) -> Path:
        return self.examples / f"day={day}" / "part-0.parquet"


def means(labels_NK: NDArray[np.float64], objectives: tuple[Objective, ...], examples: Path) -> NDArray[np.float64]:
    """[K] mean label over the rows where it is observed. Raises DataError where an objective has no such row."""
    known_NK = np.isfinite(labels_NK)
    for k, objective in enumerate(objectives):
        if not known_NK[:, k].any():
            raise data_error(
                f"{examples} column {schema.label_column(objective.name)}",
                found="no observed label on the training days",
                expected="at least one",
                fix=f"widen [split] train, or drop the objective {objective.name}",
            )
    means_K: NDArray[np.float64] = np.nanmean(labels_NK, axis=0)
    return means_K
