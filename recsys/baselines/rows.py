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

    @property
    def are_weighted(self) -> bool:
        return schema.WEIGHT in self.columns()

    def weights(self) -> NDArray[np.float64]:
        """[N] by how much rows count."""
        if not self.are_weighted:
            return np.ones(len(self))
        weight_N: NDArray[np.float64] = self.read([schema.WEIGHT])[schema.WEIGHT].cast(pa.float64()).to_numpy()
        return weight_N

    def encoded_days(self) -> EncodedDays:
        return EncodedDays(self.encoded, list(self.days))

    def _file(self, day: str) -> Path:
        return self.examples / f"day={day}" / "part-0.parquet"


def require_labels(rows: Rows, objectives: tuple[Objective, ...]) -> None:
    """Raises DataError where an objective has no row that counts: with its label observed, and of a weight above 0."""
    counts_NK = np.isfinite(rows.labels(objectives)) & (rows.weights() > 0)[:, None]
    for k, objective in enumerate(objectives):
        if not counts_NK[:, k].any():
            raise data_error(
                f"{rows.examples} column {schema.label_column(objective.name)}",
                found="no observed label on the training days",
                expected="at least one" + (" on a row of a weight above 0" if rows.are_weighted else ""),
                fix=f"widen [split] train, or drop the objective {objective.name}",
            )
