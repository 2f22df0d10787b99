"""Encoded days → batches of tensors.

Which rows make up which batch is a pure function of (seed, epoch, step), of the thinning and of the sampling.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from recsys import artifacts
from recsys.encoding import packing
from recsys.encoding.encoder import load_layout
from recsys.encoding.layout import Batch, Layout, Order
from recsys.encoding.packing import Packed
from recsys.encoding.sampling import OwnRows, Sampling
from recsys.encoding.thinning import Thinning
from recsys.errors import ArtifactError

# Legend: N rows of the days, R rows of a window that are kept, K objectives, W windows.

DAY_FILE = "part-0.arrow"
_CHUNK_ROWS = 8_192  # neighbours in time that come into a window of the shuffle together
_WINDOW_CHUNKS = 64  # chunks from anywhere in the days whose 524,288 rows are then mixed row by row, in memory


class Span(NamedTuple):
    """Neighbouring rows of one record batch."""

    block: int
    start: int
    stop: int


class EncodedDays:
    """Days of `encoded/FINGERPRINT/`, one after another, memory-mapped: opening costs nothing, the arrays are views or one copy."""

    def __init__(self, folder: Path, days: Sequence[str]) -> None:
        """Raises ArtifactError where a day is absent, damaged or of another encoder."""
        self.folder = folder
        self.days = tuple(days)
        self.layout = load_layout(folder / "encoder")
        readers = [_open(folder / f"day={day}" / DAY_FILE, self.layout) for day in self.days]
        self._blocks = [(reader, number) for reader in readers for number in range(reader.num_record_batches)]
        self.block_rows = tuple(len(reader.get_batch(number)) for reader, number in self._blocks)
        of_blocks = [day for day, reader in zip(self.days, readers, strict=True) for _ in range(reader.num_record_batches)]
        self._places = _places(of_blocks, self.block_rows)

    def __len__(self) -> int:
        return sum(self.block_rows)

    def block(self, number: int) -> Packed:
        """The arrays of one record batch: views of the file, read-only."""
        reader, place = self._blocks[number]
        return packing.unpack(reader.get_batch(place), self.layout)

    def read(self, spans: Sequence[Span]) -> Packed:
        """The spans' rows one after another; of a single span a view, else a copy."""
        parts = [Packed._make(values[span.start : span.stop] for values in self.block(span.block)) for span in spans]
        return parts[0] if len(parts) == 1 else _concatenated(parts)

    def take(self, places_N: NDArray[np.intp]) -> Packed:
        """The rows at these places among all rows of the days, ascending; a copy."""
        bounds = np.cumsum([0, *self.block_rows])
        cuts = np.searchsorted(places_N, bounds)
        parts = [packing.empty(0, self.layout)]
        for number, (start, stop) in enumerate(pairwise(cuts)):
            if start < stop:
                parts.append(Packed._make(values.take(places_N[start:stop] - bounds[number], axis=0) for values in self.block(number)))
        return _concatenated(parts)

    def kept(self, spans: Sequence[Span], thinning: Thinning) -> NDArray[np.intp]:
        """The places, among the spans' rows one after another, of those that a thinning keeps. Reads one label a row."""
        parts = []
        for span in spans:
            day, first = self._places[span.block]
            labels_N = self.block(span.block).labels[span.start : span.stop, thinning.objective]
            parts.append(thinning.kept(day, first + span.start, labels_N))
        return np.flatnonzero(np.concatenate(parts))

    def counting(self, spans: Sequence[Span], thinning: Thinning | None) -> NDArray[np.bool_]:
        """[N, K] of the spans' rows one after another: whether something is learned from a label.

        It is observed, its row counts more than 0, and the thinning keeps it. Reads labels and weights.
        """
        parts = []
        for span in spans:
            day, first = self._places[span.block]
            block = self.block(span.block)
            labels_NK = block.labels[span.start : span.stop]
            counts_N = block.weights[span.start : span.stop] > 0
            if thinning is not None:
                counts_N &= thinning.kept(day, first + span.start, labels_NK[:, thinning.objective])
            parts.append(~np.isnan(labels_NK) & counts_N[:, None])
        return np.concatenate(parts)

    def dense(self) -> NDArray[np.float32]:
        """[N, D]"""
        return self._column("dense")

    def rows(self) -> NDArray[np.int32]:
        """[N, S]"""
        return self._column("rows")

    def history_rows(self) -> NDArray[np.int32]:
        """[N, L, H]"""
        return self._column("history_rows")

    def history_signals(self) -> NDArray[np.float32]:
        """[N, L, G]"""
        return self._column("history_signals")

    def history_length(self) -> NDArray[np.int32]:
        """[N]"""
        return self._column("history_length")

    def bias(self) -> NDArray[np.int32]:
        """[N, 2]"""
        return self._column("bias")

    def labels(self, start: int = 0) -> NDArray[np.float32]:
        """[N − start, K] of the rows from `start` on, NaN where not observed."""
        return self._column("labels", start)

    def durations(self) -> NDArray[np.float32]:
        """[N, A], NaN where missing."""
        return self._column("durations")

    def weights(self, start: int = 0) -> NDArray[np.float32]:
        """[N − start] of the rows from `start` on."""
        return self._column("weights", start)

    def _column(self, name: str, start: int = 0) -> NDArray[Any]:
        parts = [getattr(packing.empty(0, self.layout), name)]
        for number, rows in enumerate(self.block_rows):
            if start < rows:
                parts.append(getattr(self.block(number), name)[start:])
            start = max(0, start - rows)
        return np.concatenate(parts)


def steps_per_epoch(days: EncodedDays, batch_size: int, thinning: Thinning | None = None, sampling: Sampling | None = None) -> int:
    """How many batches `batches` yields from step 0; the last may be short. With a thinning, reads one label a row.

    With a sampling as many as without, or none where no objective can be drawn; reads all labels.
    """
    if sampling is not None and not sampling.shares(_counts(days, _windows(days, "time", 0, 0), thinning).sum(axis=0)).any():
        return 0
    if thinning is None:
        return -(-len(days) // batch_size)
    kept = sum(len(days.kept([Span(block, 0, rows)], thinning)) for block, rows in enumerate(days.block_rows))
    return -(-kept // batch_size)


def batches(
    days: EncodedDays,
    *,
    batch_size: int,
    order: Order,
    seed: int = 0,
    epoch: int = 0,
    start_step: int = 0,
    thinning: Thinning | None = None,
    sampling: Sampling | None = None,
) -> Iterator[Batch]:
    """Every row of the days (that `thinning` keeps) once, from batch `start_step` on: the tail of what step 0 starts.

    With a sampling each batch is of one objective instead, `shuffled`: see `_sampled`.

    "time": the rows as they lie, day after day. "shuffled": chunks of neighbouring rows in random order, and the rows of a
    window of chunks in random order, anew for each (seed, epoch). Days that fit into one window are permuted outright;
    of longer ones no more than a window is in memory.
    """
    if sampling is not None:
        assert order == "shuffled", "a sampling draws rows, which have no order then"
        yield from _sampled(days, sampling, batch_size, seed, epoch, start_step, thinning)
        return
    parts: list[Packed] = []
    held = 0
    skipped = start_step * batch_size
    for number, spans in enumerate(_windows(days, order, seed, epoch), start=1):
        kept_R = None if thinning is None else days.kept(spans, thinning)
        rows = sum(span.stop - span.start for span in spans) if kept_R is None else len(kept_R)
        if skipped >= rows:
            skipped -= rows
            continue
        window = days.read(spans)
        places_R = kept_R
        if order == "shuffled":
            permutation_R = np.random.default_rng([seed, epoch, number]).permutation(rows)
            places_R = permutation_R if kept_R is None else kept_R[permutation_R]
        start, skipped = skipped, 0
        while start < rows:
            stop = min(start + batch_size - held, rows)
            part = slice(start, stop)
            packed = Packed._make(values[part] if places_R is None else values.take(places_R[part], axis=0) for values in window)
            parts.append(packed if thinning is None else thinning.reweighted(packed))
            held += stop - start
            start = stop
            if held == batch_size:
                yield _tensors(_concatenated(parts))
                parts, held = [], 0
        del window  # before the next one is read: one is what memory holds
    if parts:
        yield _tensors(_concatenated(parts))


def packed_batches(packed: Packed, batch_size: int) -> Iterator[Batch]:
    """Rows as they lie, in batches of tensors of their own memory; the last may be short."""
    for start in range(0, len(packed.labels), batch_size):
        yield _tensors(Packed._make(values[start : start + batch_size].copy() for values in packed))


def to_batch(encoded: pa.RecordBatch, layout: Layout) -> Batch:
    """What `Encoder.transform` returns, as tensors of their own memory."""
    return _tensors(_concatenated([packing.unpack(encoded, layout)]))


def _sampled(
    days: EncodedDays, sampling: Sampling, batch_size: int, seed: int, epoch: int, start_step: int, thinning: Thinning | None
) -> Iterator[Batch]:
    """An epoch of as many steps as one over all rows, each on up to `batch_size` rows that have the label of the drawn objective.

    Rows that count 0 are left out. The windows are those of a shuffled epoch; in each, every objective walks over its own rows there, as
    often as its steps there take it, in a new order each time. So an epoch is a number of steps, not a visit to each row: a rare
    objective meets each of its rows often, a common one some of them not at all. Where a window holds fewer rows of an objective than a
    batch, these are its batch. Labels are read once more, before the first step.
    """
    windows = _windows(days, "shuffled", seed, epoch)
    steps = steps_per_epoch(days, batch_size, thinning)
    if not steps:
        return
    # with the day, lest in time order the few steps of each day draw the same objectives
    key = (seed, epoch, date.fromisoformat(days.days[0]).toordinal())
    skipped = start_step
    for number, (spans, drawn_S) in enumerate(zip(windows, sampling.plan(_counts(days, windows, thinning), steps, key), strict=True), 1):
        if skipped >= len(drawn_S):
            skipped -= len(drawn_S)
            continue
        counting_RK = days.counting(spans, thinning)
        own = {k: OwnRows(np.flatnonzero(counting_RK[:, k]), batch_size, key, number, k) for k in np.unique(drawn_S).tolist()}
        done_K = np.bincount(drawn_S[:skipped], minlength=counting_RK.shape[1])
        window = days.read(spans)
        for k in drawn_S[skipped:].tolist():
            places_B = own[k].part(int(done_K[k]))
            done_K[k] += 1
            packed = Packed._make(values.take(places_B, axis=0) for values in window)
            yield _tensors(sampling.only(packed if thinning is None else thinning.reweighted(packed), k))
        skipped = 0
        del window


def _counts(days: EncodedDays, windows: Sequence[Sequence[Span]], thinning: Thinning | None) -> NDArray[np.int64]:
    """[W, K] rows of each window that each objective learns from."""
    counts_WK = np.zeros((len(windows), len(days.layout.objectives)), np.int64)
    for place, spans in enumerate(windows):
        counts_WK[place] = days.counting(spans, thinning).sum(axis=0)
    return counts_WK


def _places(day_of_block: Sequence[str], block_rows: Sequence[int]) -> list[tuple[str, int]]:
    """Of each record batch its day, and the place in the day of its first row."""
    places, rows_before = [], dict.fromkeys(day_of_block, 0)
    for day, rows in zip(day_of_block, block_rows, strict=True):
        places.append((day, rows_before[day]))
        rows_before[day] += rows
    return places


def _windows(days: EncodedDays, order: Order, seed: int, epoch: int) -> list[list[Span]]:
    """The spans in reading order, in groups: record batch by record batch, or windows of chunks drawn without replacement."""
    if order == "time":
        return [[Span(block, 0, rows)] for block, rows in enumerate(days.block_rows)]
    chunks = [
        Span(block, start, min(start + _CHUNK_ROWS, rows))
        for block, rows in enumerate(days.block_rows)
        for start in range(0, rows, _CHUNK_ROWS)
    ]
    # stream 0; the windows number theirs from 1, for numpy takes [seed, epoch] and [seed, epoch, 0] for the same
    drawn = [chunks[place] for place in np.random.default_rng([seed, epoch, 0]).permutation(len(chunks))]
    return [drawn[start : start + _WINDOW_CHUNKS] for start in range(0, len(drawn), _WINDOW_CHUNKS)]


def _concatenated(parts: Sequence[Packed]) -> Packed:
    """In memory of its own: views of a file are read-only, which tensors cannot be."""
    if len(parts) == 1 and all(values.flags.writeable for values in parts[0]):
        return parts[0]
    return Packed._make(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def _tensors(packed: Packed) -> Batch:
    wide = {name: getattr(packed, name).astype(np.int64) for name in ("rows", "history_rows", "history_length", "bias")}
    return Batch(*(torch.from_numpy(values) for values in packed._replace(**wide)))


def _open(path: Path, layout: Layout) -> pa.ipc.RecordBatchFileReader:
    if artifacts.manifest(path.parent) is None:
        raise ArtifactError(f"{path.parent}: found no encoded day, expected one. Fix: run encode")
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path}: cannot be read as an Arrow file ({error}). Fix: delete {path.parent} and run encode again") from error
    if not reader.schema.equals(packing.schema(layout)):
        raise ArtifactError(
            f"{path}: found other columns than the encoder beside it makes. Fix: delete {path.parent.parent} and run encode again"
        )
    return reader
