"""The fitting of vocabularies, quantiles, scales and codes to the training days, in one walk over their tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from recsys import schema
from recsys.config import Pipeline
from recsys.encoding.bias_codes import BiasCodes, BiasFitter
from recsys.encoding.history import ScalesFitter, SignalScale, signal_names
from recsys.encoding.layout import Layout, Slot
from recsys.encoding.normaliser import Normaliser, NormaliserFitter
from recsys.encoding.roles import (
    array,
    categories,
    check_numbers,
    check_types,
    elements,
    numbers,
    require,
    roles,
    space_of,
    width_of,
)
from recsys.encoding.vocabulary import Vocabulary, VocabularyFitter
from recsys.objectives import durations


class Fitting:
    """The fitting of an encoder. Memory holds the vocabulary, a bounded sample and sums: never a day, never the log."""

    def __init__(self, examples: pa.Schema, pipeline: Pipeline) -> None:
        features = pipeline.features
        of = roles(examples, features)
        self._read = replace(of, history_categories=())  # they share the vocabulary of the columns themselves
        self._needed = [schema.EVENT_ID, *(schema.BIAS + name for name in features.bias)]
        self._history_length = features.history
        self._objectives = tuple(objective.name for objective in pipeline.objective)
        self._durations = duration_columns(pipeline)
        self._weighted = pipeline.train.weight is not None
        self._zone = pipeline.zone
        types = {field.name: field.type for field in examples}
        history_types = {name: types[name].value_type for name in of.history_categories}
        self._slots = tuple(_slots(of.categories, types, features.max_values))
        self._history_slots = tuple(_slots(of.history_categories, history_types, features.max_values))
        self._vocabulary = VocabularyFitter((slot.space for slot in self._slots + self._history_slots), features.min_count)
        self._normaliser = NormaliserFitter(of.dense)
        self._scales = ScalesFitter(of.history_signals)
        self._bias = BiasFitter(tuple(schema.BIAS + name for name in features.bias), features.min_count)

    @property
    def columns(self) -> list[str]:
        """The columns of the examples that `add` reads, each once."""
        read = self._read
        return list(dict.fromkeys([*self._needed, *read.dense, *read.categories, *read.history_signals, *self._durations]))

    def add(self, table: pa.Table, place: str) -> None:
        """Add some rows of the day. Raises ArtifactError, which names `place`, where a column is absent or of another type."""
        check_types(table.schema, self._read, place)
        check_numbers(table.schema, self._durations, place)
        require(table.schema, self._needed, place)
        count_categories(self._vocabulary, self._slots, table)
        self._normaliser.add(array(table, schema.EVENT_ID).to_numpy(), table)
        for column in self._read.history_signals:
            self._scales.add(column, numbers(elements(array(table, column), self._history_length).values))
        self._bias.add(table)

    def end_day(self) -> None:
        """Give vocabulary rows to the values that this day has made frequent enough."""
        self._vocabulary.end_day()
        self._bias.end_day()

    def counts(self) -> pa.Table:
        """Return the counts of the values without a row, as `VocabularyFitter.counts` has them."""
        return self._vocabulary.counts()

    def finish(self) -> tuple[Layout, Vocabulary, Normaliser, tuple[SignalScale, ...], BiasCodes]:
        vocabulary, normaliser = self._vocabulary.vocabulary(), self._normaliser.normaliser()
        scales, bias = self._scales.scales(), self._bias.codes()
        layout = Layout(
            dense=normaliser.names,
            quantiles=self._normaliser.quantiles(normaliser),
            slots=self._slots,
            history_length=self._history_length,
            history_slots=self._history_slots,
            history_signals=signal_names(scales),
            num_rows=vocabulary.num_rows,
            unknown_rows=dict(vocabulary.unknown_rows),
            positions=bias.positions,
            devices=len(bias.devices),
            objectives=self._objectives,
            durations=self._durations,
            zone=self._zone,
            weighted=self._weighted,
        )
        return layout, vocabulary, normaliser, scales, bias


def count_categories(fitter: VocabularyFitter, slots: Sequence[Slot], table: pa.Table) -> None:
    """Count the values of all categorical columns in some rows of the day."""
    for space in {slot.space for slot in slots}:
        columns = [slot for slot in slots if slot.space == space]
        fitter.add(space, [categories(array(table, slot.feature), slot.width) for slot in columns])


def duration_columns(pipeline: Pipeline) -> tuple[str, ...]:
    """List the columns of the examples that hold the lengths that some objective's loss reads."""
    return tuple(pipeline.features.example_column(name) for name in durations(pipeline.objective))


def _slots(columns: Sequence[str], types: Mapping[str, pa.DataType], max_values: int) -> Iterator[Slot]:
    """Yield one slot per column, side by side, in order. A slot is `max_values` wide where a cell is a list, else 1 wide."""
    start = 0
    for column in columns:
        slot = Slot(feature=column, space=space_of(column), start=start, width=width_of(types[column], max_values))
        yield slot
        start += slot.width
