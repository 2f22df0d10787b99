"""The columns that a pipeline's names stand for, and the kind of feature that each becomes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa

from recsys import schema
from recsys.config import Features

Table = Literal["events", "users", "items"]
Kind = Literal["number", "text", "multi", "date"]


@dataclass(frozen=True)
class Column:
    """One column of one input table. `name` is bare, as the user writes it; `stored` is its name in the table."""

    name: str
    table: Table
    stored: str
    kind: Kind
    dtype: dt.DataType

    @property
    def is_categorical(self) -> bool:
        return self.kind in ("text", "multi")


@dataclass(frozen=True)
class Columns:
    """The Arrow schemas of events, users and items; a table that a source lacks has no fields.

    `folder` holds events/, in which messages look for values; None where there is none.
    """

    events: pa.Schema
    users: pa.Schema
    items: pa.Schema
    folder: Path | None = field(default=None, compare=False)

    @classmethod
    def untyped(cls, names: Mapping[str, Sequence[str]]) -> "Columns":
        """Make columns from names alone, as `sources.columns` gives them: "log", "feedback", "users", "items" and "known".

        "known" lists our own column names that the log has. Every type is null, which fits every other type. So checks can find
        only wrong names and forms.
        """
        events = [*names["known"], *map(schema.log_column, names["log"]), *map(schema.feedback_column, names["feedback"])]
        sides = ([key, *names[side]] for side, key in (("users", schema.USER_ID), ("items", schema.ITEM_ID)))
        return cls(*(pa.schema([(name, pa.null()) for name in some]) for some in (events, *sides)))

    def types(self, table: Table) -> Mapping[str, dt.DataType]:
        fields: pa.Schema = getattr(self, table)
        return {field.name: ibis.schema(pa.schema([field]))[field.name] for field in fields}

    def find(self, name: str, tables: Iterable[Table], features: Features) -> Column | None:
        """Find the column of a bare name in the first of `tables` that has it.

        In events, a name is a canonical column or one of the log's own columns. Feedback is not searched, because it comes
        after the impression.
        """
        for table in tables:
            types = self.types(table)
            stored = next((candidate for candidate in _stored(name, table) if candidate in types), None)
            if stored is not None:
                return Column(name, table, stored, _kind(name, types[stored], features), types[stored])
        return None

    def names(self, tables: Iterable[Table]) -> list[str]:
        """List the bare names in `tables`, for a message."""
        found: list[str] = []
        for table in tables:
            for name in self.types(table):
                if table != "events" or name in schema.KNOWN_COLUMNS:
                    found.append(name)
                elif name.startswith(schema.LOG):
                    found.append(schema.strip(name, schema.LOG))
        return list(dict.fromkeys(found))


def _stored(name: str, table: Table) -> tuple[str, ...]:
    if table != "events":
        return (name,)
    return (name, schema.log_column(name)) if name in schema.KNOWN_COLUMNS else (schema.log_column(name),)


def _kind(name: str, dtype: dt.DataType, features: Features) -> Kind:
    if name in features.multi or dtype.is_array():
        return "multi"
    if name in features.category or dtype.is_string():
        return "text"
    if dtype.is_date() or dtype.is_timestamp():
        return "date"
    if dtype.is_numeric() or dtype.is_boolean() or dtype.is_null():
        return "number"
    return "text"
