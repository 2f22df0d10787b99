"""The count of the rows of a staged table that cannot be used: which refusal holds in how many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from recsys.errors import Place
from recsys.sources.batch import SOURCE_ROW
from recsys.sources.output_columns import Column, Refusal
from recsys.sources.staging import SOURCE_FILE, Staged


@dataclass(frozen=True)
class Tally:
    """The number of rows that each refusal refuses, by its place, where a row counts for the first one alone: they sum to the rows."""

    con: duckdb.DuckDBPyConnection
    staged: Staged
    by_column: Sequence[Sequence[Refusal]]
    counts: Mapping[int, int]

    @classmethod
    def of(cls, con: duckdb.DuckDBPyConnection, staged: Staged, columns: Sequence[Column]) -> "Tally":
        by_column = [column.refusals for column in columns if column.refusals]
        if not by_column:
            return cls(con, staged, by_column, {})
        codes = f"SELECT {first_refusal([each for refusals in by_column for each in refusals])} AS code FROM {staged.table}"
        rows = con.execute(f"SELECT code, count(*) FROM ({codes}) WHERE code > 0 GROUP BY code").fetchall()
        return cls(con, staged, by_column, {code - 1: count for code, count in rows})

    @property
    def refusals(self) -> list[Refusal]:
        return [refusal for refusals in self.by_column for refusal in refusals]

    @property
    def torn(self) -> int:
        return sum(len(bad.rows) for bad in self.staged.unbalanced)

    @property
    def total(self) -> int:
        return sum(self.counts.values()) + self.torn

    def of_each(self, which: str = "TRUE") -> dict[int, int]:
        """Return how many rows each refusal refuses, by its place, among those of the SQL condition `which`.

        A row counts for each of its bad columns; of two refusals of one column, for the first. This reads the rows once more.
        """
        if not self.counts:
            return {}
        codes = [f"{first_refusal(refusals)} AS k{column}" for column, refusals in enumerate(self.by_column)]
        counted = [
            f"count(*) FILTER (WHERE k{column} = {place + 1})"
            for column, refusals in enumerate(self.by_column)
            for place in range(len(refusals))
        ]
        rows = f"SELECT {', '.join(codes)} FROM {self.staged.table} WHERE {which}"
        (row,) = self.con.execute(f"SELECT {', '.join(counted)} FROM ({rows})").fetchall()
        return {place: count for place, count in enumerate(row) if count}

    def rows(self) -> list[tuple[dict[str, Any], list[Refusal]]]:
        """Return the refused rows as they were staged, in order, each with its refusals: the first of each of its bad columns."""
        codes = ", ".join(first_refusal(refusals) for refusals in self.by_column)
        refused = f"({first_refusal(self.refusals)}) > 0"  # and not by the list, so that it is made of the refused rows alone
        found = self._coded(f"[{codes}]", f"{refused} ORDER BY {SOURCE_FILE}, {SOURCE_ROW}").to_pylist()
        by_column = [[refusals[code - 1] for refusals, code in zip(self.by_column, row.pop("code"), strict=True) if code] for row in found]
        return list(zip(found, by_column, strict=True))

    def example(self, place: int, which: str = "TRUE") -> tuple[Place, Any]:
        """Return where the first row stands that this refusal refuses, among those of the SQL condition `which`, and its value."""
        refusal = self.refusals[place]
        of_column = next(refusals for refusals in self.by_column if refusal in refusals)
        code = of_column.index(refusal) + 1
        (row,) = self._coded(
            first_refusal(of_column), f"code = {code} AND {which} ORDER BY {SOURCE_FILE}, {SOURCE_ROW} LIMIT 1"
        ).to_pylist()
        return self.staged.place(row[SOURCE_FILE], row[SOURCE_ROW], refusal.column), row[self.staged.column(refusal.column)]

    def _coded(self, code: str, which: str) -> pa.Table:
        columns = ", ".join(f"c{place}" for place in range(len(self.staged.names)))
        rows = f"SELECT {code} AS code, {SOURCE_FILE}, {SOURCE_ROW}, {columns} FROM {self.staged.table}"
        return self.con.sql(f"SELECT * FROM ({rows}) WHERE {which}").to_arrow_table()


def first_refusal(refusals: Sequence[Refusal]) -> str:
    """Return SQL that gives 0 for a usable row, else 1 + the place of the first refusal that holds."""
    return "CASE " + " ".join(f"WHEN {refusal.condition} THEN {place + 1}" for place, refusal in enumerate(refusals)) + " ELSE 0 END"
