"""Encoded days as arrays: all rows with all labels, or only the labels that become known in a period."""

from collections.abc import Callable, Sequence
from copy import copy
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import artifacts
from recsys.encoding import packing
from recsys.encoding.encoder import load_layout
from recsys.encoding.layout import Layout, Slot
from recsys.encoding.packing import Packed
from recsys.encoding.thinning import Thinning
from recsys.errors import ArtifactError
from recsys.workspace import ENCODED_PART, ENCODER, day_folder

# Legend: N rows of the days, S slot columns, K objectives.

_PLACES: dict[str, Callable[[Layout], tuple[Slot, ...]]] = {
    "rows": lambda layout: layout.slots,
    "history_rows": lambda layout: layout.history_slots,
}  # arrays of rows of the vocabulary


class Period(NamedTuple):
    """A half-open period, in days since 1970-01-01. With `until` None it has no end."""

    since: int = 0
    until: int | None = None

    def holds(self, known: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return whether each day lies in the period, in the shape of `known`."""
        inside = known >= self.since
        return inside if self.until is None else inside & (known < self.until)


Arrivals = dict[int, NDArray[np.int64]]  # day since 1970-01-01 → [K] labels that become known on it


class Span(NamedTuple):
    """Neighbouring rows of one block."""

    block: int
    start: int
    stop: int


class _Block(NamedTuple):
    """One record batch, and which of its rows are used."""

    reader: pa.ipc.RecordBatchFileReader
    number: int
    rows: NDArray[np.int32] | None  # their places in the record batch; None: all
    size: int  # the number of these rows
    day: str
    first: int  # the place in the day of the record batch's first row
    known: Period | None
    num_rows: int  # of the vocabulary that the day was encoded with


class EncodedDays:
    """Days of `encoded/FINGERPRINT/`, one after another, memory-mapped. Opening costs nothing; the arrays are views or one copy.

    The layout has the rows of the vocabulary as it was after the latest of the days. `known_to` gives them as a model sees them that knows
    fewer.

    `known` gives one period per day. Then only the labels that become known in the period are there, and only rows with such a
    label: a training run may learn from these. Opening then reads the labels. Where only some rows of a record batch are used,
    memory also holds four bytes per used row.
    """

    def __init__(self, folder: Path, days: Sequence[str], known: Sequence[Period] | None = None) -> None:
        """Open the days. Raises ArtifactError where a day is absent, damaged or of another encoder."""
        self.folder = folder
        self.days = tuple(days)
        self.layout = load_layout(folder / ENCODER)
        periods = [None] * len(self.days) if known is None else known
        self._blocks: list[_Block] = []
        for day, period in zip(self.days, periods, strict=True):
            reader = _open(day_folder(self.folder, day) / ENCODED_PART, self.layout)
            num_rows = int(reader.schema.metadata[packing.NUM_ROWS])
            self._blocks += self._blocks_of(reader, day, period, num_rows)
            self.layout = self.layout.with_rows(max(num_rows, self.layout.num_rows))
        self.block_rows = tuple(block.size for block in self._blocks)

    def known_to(self, layout: Layout) -> "EncodedDays":
        """Return the same days as a model of this layout sees them: values whose rows it does not have are unknown to it."""
        found = copy(self)
        found.layout = self.layout.with_rows(layout.num_rows)
        return found

    def _blocks_of(self, reader: pa.ipc.RecordBatchFileReader, day: str, known: Period | None, num_rows: int) -> list[_Block]:
        blocks, first = [], 0
        for number in range(reader.num_record_batches):
            encoded = reader.get_batch(number)
            rows = None if known is None else _with_a_label(packing.unpack(encoded, self.layout), known)
            blocks.append(_Block(reader, number, rows, len(encoded) if rows is None else len(rows), day, first, known, num_rows))
            first += len(encoded)
        return blocks

    def __len__(self) -> int:
        return sum(self.block_rows)

    def block(self, number: int) -> Packed:
        """Return the arrays of one block. They are read-only views of the file if it holds all rows and labels of a record batch."""
        return self._part(Span(number, 0, self.block_rows[number]))

    def read(self, spans: Sequence[Span]) -> Packed:
        """Return the spans' rows one after another. A single span of neighbouring rows gives a view, anything else a copy."""
        parts = [self._part(span) for span in spans]
        return parts[0] if len(parts) == 1 else concatenated(parts)

    def take(self, places_N: NDArray[np.intp]) -> Packed:
        """Return a copy of the rows at these places, which are ascending and count over all rows of the days."""
        bounds = np.cumsum([0, *self.block_rows])
        cuts = np.searchsorted(places_N, bounds)
        parts = [packing.empty(0, self.layout)]
        for number, (start, stop) in enumerate(pairwise(cuts)):
            if start < stop:
                parts.append(Packed._make(values.take(places_N[start:stop] - bounds[number], axis=0) for values in self.block(number)))
        return concatenated(parts)

    def kept(self, spans: Sequence[Span], thinning: Thinning, epoch: int) -> NDArray[np.intp]:
        """Return the places of the rows that a thinning keeps, among the spans' rows one after another. Reads labels only."""
        return np.flatnonzero(np.concatenate([self._kept(span, self._labels(span), thinning, epoch) for span in spans]))

    def counting(self, spans: Sequence[Span], thinning: Thinning | None, epoch: int) -> NDArray[np.bool_]:
        """Return [N, K] for the spans' rows one after another: whether something is learned from a label.

        This is so where the label is there, its row's weight is above 0, and the thinning keeps the row. Reads labels and weights.
        """
        parts = []
        for span in spans:
            labels_NK = self._labels(span)
            counts_N = self._column("weights", span) > 0
            if thinning is not None:
                counts_N &= self._kept(span, labels_NK, thinning, epoch)
            parts.append(~np.isnan(labels_NK) & counts_N[:, None])
        return np.concatenate(parts)

    def arrivals(self) -> Arrivals:
        """Count the labels that become known on each day, in rows with a weight above 0."""
        found: Arrivals = {}
        for number, rows in enumerate(self.block_rows):
            counts_NK, known_NK = self.counting([Span(number, 0, rows)], None, 0), self._column("known", Span(number, 0, rows))
            for day in np.unique(known_NK[counts_NK]).tolist():
                found[day] = found.get(day, 0) + (counts_NK & (known_NK == day)).sum(axis=0)
        return found

    def dense(self) -> NDArray[np.float32]:
        """Return [N, D]."""
        return self._whole("dense")

    def rows(self) -> NDArray[np.int32]:
        """Return [N, S]."""
        return self._whole("rows")

    def history_rows(self) -> NDArray[np.int32]:
        """Return [N, L, H]."""
        return self._whole("history_rows")

    def history_signals(self) -> NDArray[np.float32]:
        """Return [N, L, G]."""
        return self._whole("history_signals")

    def history_length(self) -> NDArray[np.int32]:
        """Return [N]."""
        return self._whole("history_length")

    def bias(self) -> NDArray[np.int32]:
        """Return [N, 2]."""
        return self._whole("bias")

    def labels(self, start: int = 0) -> NDArray[np.float32]:
        """Return [N − start, K] for the rows from `start` on; NaN where not observed, and where not known in the period."""
        return self._whole("labels", start)

    def durations(self) -> NDArray[np.float32]:
        """Return [N, A], NaN where missing."""
        return self._whole("durations")

    def weights(self, start: int = 0) -> NDArray[np.float32]:
        """Return [N − start] for the rows from `start` on."""
        return self._whole("weights", start)

    def known(self) -> NDArray[np.int32]:
        """Return [N, K] the day on which each label becomes known, in days since 1970-01-01; 0 where there is no label."""
        return self._whole("known")

    def _whole(self, name: str, start: int = 0) -> NDArray[Any]:
        parts = [getattr(packing.empty(0, self.layout), name)]
        for number, rows in enumerate(self.block_rows):
            if start < rows:
                span = Span(number, start, rows)
                parts.append(self._labels(span) if name == "labels" else self._column(name, span))
            start = max(0, start - rows)
        return np.concatenate(parts)

    def _part(self, span: Span) -> Packed:
        packed, at = self._unpacked(span)
        part = Packed._make(values[at] for values in packed)
        if self._blocks[span.block].num_rows > self.layout.num_rows:
            part = part._replace(rows=self._hidden("rows", part.rows), history_rows=self._hidden("history_rows", part.history_rows))
        return part if self._blocks[span.block].known is None else part._replace(labels=self._labels(span))

    def _labels(self, span: Span) -> NDArray[np.float32]:
        labels_NK, known = self._column("labels", span), self._blocks[span.block].known
        return labels_NK if known is None else np.where(known.holds(self._column("known", span)), labels_NK, np.float32(np.nan))

    def _column(self, name: str, span: Span) -> NDArray[Any]:
        """Return one array of a span's rows, as it lies in the file."""
        packed, at = self._unpacked(span)
        column: NDArray[Any] = getattr(packed, name)[at]
        is_hidden = name in _PLACES and self._blocks[span.block].num_rows > self.layout.num_rows
        return self._hidden(name, column) if is_hidden else column

    def _hidden(self, name: str, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return rows of the vocabulary, slots on the last axis, with its space's unknown row for each that the layout does not have."""
        unknown_S = np.empty(rows.shape[-1], np.int32)
        for slot in _PLACES[name](self.layout):
            unknown_S[slot.start : slot.start + slot.width] = self.layout.unknown_rows[slot.space]
        return np.where(rows < self.layout.num_rows, rows, unknown_S)

    def _unpacked(self, span: Span) -> tuple[Packed, slice | NDArray[np.int32]]:
        """Return the span's record batch, and the places of the span's rows in it."""
        block, at = self._blocks[span.block], slice(span.start, span.stop)
        return packing.unpack(block.reader.get_batch(block.number), self.layout), at if block.rows is None else block.rows[at]

    def _kept(self, span: Span, labels_NK: NDArray[np.float32], thinning: Thinning, epoch: int) -> NDArray[np.bool_]:
        block = self._blocks[span.block]
        places_N = np.arange(span.start, span.stop) if block.rows is None else block.rows[span.start : span.stop]
        return thinning.kept(block.day, block.first + places_N, labels_NK[:, thinning.objective], epoch)


def concatenated(parts: Sequence[Packed]) -> Packed:
    """Join parts in memory of their own: views of a file are read-only, and tensors cannot be read-only."""
    if len(parts) == 1 and all(values.flags.writeable and values.flags.c_contiguous for values in parts[0]):
        return parts[0]
    return Packed._make(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def _with_a_label(packed: Packed, known: Period) -> NDArray[np.int32] | None:
    """Return the places of the rows with a label that becomes known in the period; None if all rows have one."""
    has_one_N = (~np.isnan(packed.labels) & known.holds(packed.known)).any(axis=1)
    return None if has_one_N.all() else np.flatnonzero(has_one_N).astype(np.int32)


def rows_of_day(folder: Path, day: str) -> int:
    """Return the number of rows of an encoded day. Raises ArtifactError where it does not stand.

    Its manifest tells, and nothing else is read; that of an earlier version did not.
    """
    account = artifacts.require_manifest(day_folder(folder, day)).rows
    return len(EncodedDays(folder, [day])) if account is None else account["kept"]


def _open(path: Path, layout: Layout) -> pa.ipc.RecordBatchFileReader:
    if artifacts.manifest(path.parent) is None:
        raise ArtifactError(f"{path.parent}: found no encoded day, expected one. Fix: run encode")
    reader = pa.ipc.open_file(pa.memory_map(str(artifacts.checked(path))))
    if not reader.schema.equals(packing.schema(layout)) or packing.NUM_ROWS not in (reader.schema.metadata or {}):
        raise ArtifactError(
            f"{path}: found other columns than the encoder beside it makes. Fix: delete {path.parent.parent} and run encode again"
        )
    return reader
