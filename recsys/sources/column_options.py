"""The options of a pipeline for reading columns, besides those in [source]."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from recsys.config import Pipeline
from recsys.sources.ids import id_columns
from recsys.sources.inference import infer
from recsys.sources.output_columns import Column
from recsys.sources.staging import Staged


@dataclass(frozen=True)
class Reading:
    max_bad: float
    separators: Mapping[str, str]  # of columns with several values per cell, which are always text
    categories: frozenset[str]  # numbers only where every value is a number
    ids: frozenset[str]  # int64 or text, never float

    @classmethod
    def of(cls, pipeline: Pipeline) -> "Reading":
        features = pipeline.features
        return cls(pipeline.source.max_bad, features.multi, frozenset(features.category), frozenset(features.ids))

    def columns(self, con: duckdb.DuckDBPyConnection, staged: Staged, names: Sequence[str], zone: str) -> dict[str, Column]:
        """Return name → column with its type. `zone` is the zone of times without an offset."""
        plain = [name for name in names if name not in self.ids]
        found = infer(con, staged, plain, texts=self.separators, categories=self.categories, zone=zone)
        for name in sorted(self.ids.intersection(names)):
            found[name] = id_columns(con, staged, {name: name})[0]
        return found
