"""The encoder from examples to packed arrays, fitted on the training days."""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import artifacts, schema
from recsys.config import Pipeline
from recsys.days import ordinals
from recsys.encoding import history, packing
from recsys.encoding.bias_codes import BiasCodes
from recsys.encoding.fitting import Fitting
from recsys.encoding.history import SignalScale
from recsys.encoding.layout import Layout
from recsys.encoding.normaliser import Normaliser
from recsys.encoding.packing import Packed
from recsys.encoding.roles import (
    DEVICE,
    HISTORY_ITEM_ID,
    POSITION,
    Roles,
    array,
    categories,
    check_numbers,
    check_types,
    elements,
    first_elements,
    lengths_of,
    numbers,
    require,
)
from recsys.encoding.vocabulary import Vocabulary
from recsys.errors import ArtifactError, many, short

LAYOUT_FILE = "layout.json"
SCALES_FILE = "scales.json"
VOCABULARY_FILE = "vocabulary.parquet"
QUANTILES_FILE = "quantiles.parquet"


@dataclass(frozen=True)
class Encoder:
    """An encoder, fitted on training days only. Its `transform` is then a function of the row alone."""

    layout: Layout
    vocabulary: Vocabulary
    normaliser: Normaliser
    scales: tuple[SignalScale, ...]  # of the history's signals
    bias: BiasCodes

    @staticmethod
    def fit(days: Iterable[tuple[str, pa.Table]], pipeline: Pipeline, fitting: Fitting | None = None) -> "Encoder":
        """Fit on (day, examples) pairs in the order of the days. A day may come in several tables, one after another.

        `fitting` is a new one, made for the schema of the examples, where the tables hold its columns alone; None: one for the first table.
        Raises ArtifactError where a table lacks a column. Raises ValueError where there is no table or the days are out of order.
        """
        previous = ""
        for day, tables in groupby(days, key=lambda pair: pair[0]):
            if day <= previous:
                raise ValueError(f"found day {day} after {previous}, expected the days in order: rows of the vocabulary are given in it")
            for _, table in tables:
                fitting = fitting or Fitting(table.schema, pipeline)
                fitting.add(table, f"examples/day={day}")
            if fitting is not None:
                fitting.end_day()
            previous = day
        if fitting is None or not previous:
            raise ValueError("found no examples to fit on, expected those of the training days")
        return Encoder(*fitting.finish())

    def with_vocabulary(self, vocabulary: Vocabulary) -> "Encoder":
        """Return the same encoder with another vocabulary of the same spaces."""
        return replace(self, vocabulary=vocabulary, layout=self.layout.with_rows(vocabulary.num_rows))

    def transform(self, table: pa.Table, *, place: str = "examples", labelled: bool = True) -> pa.RecordBatch:
        """Return the packed arrays of the table's rows, in their order. `place` names the table in an error.

        A label that is null or not finite is not observed. If not `labelled`, the table needs no labels and no weights: then no
        label is observed and every row has weight 1. Raises ArtifactError where a column that the encoder was fitted on is
        absent or of another type.
        """
        self._check(table.schema, place, labelled)
        packed = packing.empty(len(table), self.layout)
        packed.dense[:] = self.normaliser.transform(table)
        for slot in self.layout.slots:
            cells = categories(array(table, slot.feature), slot.width)
            packed.rows[cells.row, slot.start + cells.place] = self.vocabulary.lookup(slot.space, cells.values)
        if self.layout.history_length:
            self._fill_history(packed, table, place)
        packed.bias[:] = self.bias.transform(table)
        if labelled:
            for k, objective in enumerate(self.layout.objectives):
                packed.labels[:, k] = numbers(array(table, schema.label_column(objective)))
                packed.known[:, k] = self._known(table, objective, packed.labels[:, k], place)
        for a, column in enumerate(self.layout.durations):
            packed.durations[:, a] = numbers(array(table, column))
        if labelled and self.layout.weighted:
            packed.weights[:] = numbers(array(table, schema.WEIGHT))
        return packing.pack(packed, self.layout)

    def unknown_values(self, table: pa.Table, columns: Collection[str]) -> dict[str, list[str]]:
        """Return column → the values of all rows that the vocabulary lacks, of those columns that are categories. Null is none."""
        found = {}
        for slot in self.layout.slots:
            if slot.feature in columns:
                values = categories(array(table, slot.feature), slot.width).values.drop_null()
                is_unknown = self.vocabulary.lookup(slot.space, values) == self.layout.unknown_rows[slot.space]
                found[slot.feature] = values.filter(pa.array(is_unknown)).to_pylist()
        return found

    def _fill_history(self, packed: Packed, table: pa.Table, place: str) -> None:
        lengths = lengths_of(array(table, HISTORY_ITEM_ID))
        past = elements(array(table, HISTORY_ITEM_ID), self.layout.history_length)
        packed.history_length[:] = np.bincount(past.row, minlength=len(table))
        if self.scales:
            signals = {scale.name: numbers(self._past(table, scale.name, lengths, place)) for scale in self.scales}
            packed.history_signals[past.row, past.place] = history.transform(self.scales, signals)
        for slot in self.layout.history_slots:
            cells = categories(self._past(table, slot.feature, lengths, place), slot.width)
            rows = self.vocabulary.lookup(slot.space, cells.values)
            packed.history_rows[past.row[cells.row], past.place[cells.row], slot.start + cells.place] = rows

    def _known(self, table: pa.Table, objective: str, label_N: NDArray[np.float32], place: str) -> NDArray[np.int32]:
        """Return [N] the day on which each label becomes known. Raises ArtifactError where a label has no such moment."""
        moments = array(table, schema.known_column(objective))
        there_N = moments.is_valid().to_numpy(zero_copy_only=False)
        missing = int(np.count_nonzero(~np.isnan(label_N) & ~there_N))
        if missing:
            raise ArtifactError(
                f"{place} column {schema.known_column(objective)}: found null beside a label, expected the moment at which it is known;"
                f" {missing:,} of {many(len(table), 'row')}. Fix: delete the examples and run features again"
            )
        known_N = np.zeros(len(table), np.int32)
        known_N[there_N] = ordinals(moments.drop_null().to_numpy(), self.layout.zone)
        return known_N

    def _past(self, table: pa.Table, column: str, expected: NDArray[np.int64], place: str) -> pa.Array:
        """Return the values of a history column, one per past impression. Raises ArtifactError where its lists have other lengths."""
        lists = array(table, column)
        wrong = int((lengths_of(lists) != expected).sum())
        if wrong:
            raise ArtifactError(
                f"{place} column {column}: found lists of other lengths than those of {HISTORY_ITEM_ID}, expected equal ones;"
                f" {wrong:,} of {many(len(table), 'row')}. Fix: delete the examples and run features again"
            )
        return first_elements(lists, self.layout.history_length)

    def _check(self, examples: pa.Schema, place: str, labelled: bool) -> None:
        layout = self.layout
        roles = Roles(
            dense=self.normaliser.columns,
            categories=tuple(slot.feature for slot in layout.slots),
            history_categories=tuple(slot.feature for slot in layout.history_slots),
            history_signals=tuple(scale.name for scale in self.scales),
        )
        check_types(examples, roles, place)
        others = [HISTORY_ITEM_ID] if layout.history_length else []
        others += [column for column, codes in ((POSITION, layout.positions), (DEVICE, layout.devices)) if codes]
        for of_label in (schema.label_column, schema.known_column):
            others += [of_label(objective) for objective in layout.objectives if labelled]
        others += [schema.WEIGHT] if labelled and layout.weighted else []
        require(examples, others, place)
        check_numbers(examples, layout.durations, place)

    def save(self, output: artifacts.Output, folder: str = ".") -> None:
        """Write JSON and parquet into a folder of the output, byte for byte the same for the same encoder."""
        output.write_json(f"{folder}/{LAYOUT_FILE}", self.layout.model_dump(mode="json"))
        output.write_json(f"{folder}/{SCALES_FILE}", {"history": [asdict(scale) for scale in self.scales], "bias": asdict(self.bias)})
        output.write_table(f"{folder}/{VOCABULARY_FILE}", self.vocabulary.table())
        output.write_table(f"{folder}/{QUANTILES_FILE}", self.normaliser.table())

    @staticmethod
    def load(folder: Path) -> "Encoder":
        """Read an encoder that `save` wrote. Raises ArtifactError where a file is absent or cannot be read."""
        layout = load_layout(folder)
        try:
            raw = json.loads(artifacts.checked(folder / SCALES_FILE).read_bytes())
            scales = tuple(SignalScale(**scale) for scale in raw["history"])
            bias = BiasCodes(**{**raw["bias"], "devices": tuple(raw["bias"]["devices"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unreadable(folder / SCALES_FILE, error) from error
        vocabulary = Vocabulary.from_table(artifacts.read_table(folder / VOCABULARY_FILE), layout.unknown_rows)
        normaliser = Normaliser.from_table(artifacts.read_table(folder / QUANTILES_FILE))
        return Encoder(layout, vocabulary, normaliser, scales, bias)


def load_layout(folder: Path) -> Layout:
    """Read only the layout of a saved encoder. Raises ArtifactError where it is absent or cannot be read."""
    try:
        return Layout.model_validate_json(artifacts.checked(folder / LAYOUT_FILE).read_bytes())
    except (OSError, ValueError) as error:  # pydantic's errors are ValueErrors
        raise _unreadable(folder / LAYOUT_FILE, error) from error


def _unreadable(path: Path, error: Exception) -> ArtifactError:
    what = short(" ".join(str(error).split()))
    return ArtifactError(f"{path}: cannot be read ({what}), expected part of a saved encoder. Fix: delete {path.parent} and run again")
