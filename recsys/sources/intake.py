"""One run of the stage ingest: where it reads, how, and what it has refused so far."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
import pyarrow as pa

from recsys.progress import Console
from recsys.sources.column_options import Reading
from recsys.sources.description import Description
from recsys.sources.input_files import InputFile
from recsys.sources.output_columns import Column
from recsys.sources.refusals import Typed, typed
from recsys.sources.separators import said
from recsys.sources.staging import Staged, TableFiles, stage


@dataclass
class Intake:
    """The tables of a source on their way through the engine."""

    con: duckdb.DuckDBPyConnection
    description: Description
    reading: Reading
    console: Console
    refused: list[pa.Table] = field(default_factory=list)

    def stage(self, table: TableFiles, name: str, *, before: Sequence[InputFile] = (), **options: Any) -> Staged:
        """Read the files of a table. `before` are other files of it, which were read earlier."""
        staged = stage(self.con, table, name, separators=self.reading.separators, max_bad=self.reading.max_bad, **options)
        for message in said(staged.files, table.role, fields=len(staged.names)):
            self.console.say(message)
        for left_out in table.said_left_out():
            self.console.say(f"{table.role}: left out {left_out}")
        return replace(staged, before=tuple(before))

    def type(self, staged: Staged, columns: Sequence[Column], *, day: str | None = None, keep: bool = False) -> Typed:
        """Give the rows their types, and set aside those that cannot have them."""
        for column in columns:
            if column.said:
                self.console.say(column.said)
        table, refused = typed(self.con, staged, columns, max_bad=self.reading.max_bad, day=day, keep=keep)
        self.refused.append(refused)
        return table
