"""Batches of tensors from encoded days.

The rows of a batch are a pure function of (seed, epoch, step), of the thinning and of the sampling.
"""

from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from recsys.encoding import packing
from recsys.encoding.encoded_days import EncodedDays, Span, concatenated
from recsys.encoding.layout import Batch, Layout, Order
from recsys.encoding.packing import Packed
from recsys.encoding.sampling import OwnRows, Sampling
from recsys.encoding.thinning import Thinning
from recsys.process_group import ALONE, ProcessGroup

# Legend: N rows of the days, R rows of a window that are kept, K objectives, W windows.

_CHUNK_ROWS = 8_192  # rows of a chunk: neighbours in time, which enter a window of the shuffle together
_WINDOW_CHUNKS = 64  # chunks of a window, from anywhere in the days; their 524,288 rows are mixed row by row, in memory


def steps_per_epoch(
    days: EncodedDays, batch_size: int, thinning: Thinning | None = None, sampling: Sampling | None = None, epoch: int = 0
) -> int:
    """Count the batches that `batches` yields from step 0. The last one may be short.

    With a thinning, which keeps other rows in each epoch, this reads labels. With a sampling there are as many batches as
    without, or none where no objective can be drawn; this reads all labels.
    """
    if sampling is not None and not sampling.shares(_counts(days, _windows(days, "time", 0, 0), thinning, epoch).sum(axis=0)).any():
        return 0
    if thinning is None:
        return -(-len(days) // batch_size)
    kept = sum(len(days.kept([Span(block, 0, rows)], thinning, epoch)) for block, rows in enumerate(days.block_rows))
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
    group: ProcessGroup = ALONE,
) -> Iterator[Batch]:
    """Yield every row of the days (that `thinning` keeps) once, in batches, from batch `start_step` on.

    In a group of processes, each batch is what this process computes of it: every N-th row, or none.

    The batches are the last ones of the sequence that starts at step 0. With a sampling, each batch serves one objective
    instead, and `order` must be "shuffled": see `_sampled`.

    Order "time" yields the rows as they lie, day after day. Order "shuffled" draws chunks of neighbouring rows in random order
    and mixes the rows of each window of chunks, anew for each (seed, epoch). Days that fit into one window are permuted as a
    whole. Of longer days, no more than one window is in memory.
    """
    if sampling is not None:
        assert order == "shuffled", "a sampling draws rows, which have no order then"
        yield from _sampled(days, sampling, batch_size, seed, epoch, start_step, thinning, group)
        return
    parts: list[Packed] = []
    held = 0
    skipped = start_step * batch_size
    for number, spans in enumerate(_windows(days, order, seed, epoch), start=1):
        kept_R = None if thinning is None else days.kept(spans, thinning, epoch)
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
            own = slice(start + (group.rank - held) % group.size, stop, group.size)
            packed = Packed._make(values[own] if places_R is None else values.take(places_R[own], axis=0) for values in window)
            parts.append(packed if thinning is None else thinning.reweighted(packed))
            held += stop - start
            start = stop
            if held == batch_size:
                yield _tensors(concatenated(parts))
                parts, held = [], 0
        del window  # before the next one is read, so that memory holds only one
    if parts:
        yield _tensors(concatenated(parts))


def packed_batches(packed: Packed, batch_size: int) -> Iterator[Batch]:
    """Yield the rows as they lie, in batches of tensors with their own memory. The last batch may be short."""
    for start in range(0, len(packed.labels), batch_size):
        yield _tensors(Packed._make(values[start : start + batch_size].copy() for values in packed))


def to_batch(encoded: pa.RecordBatch, layout: Layout) -> Batch:
    """Convert the result of `Encoder.transform` to tensors with their own memory."""
    return _tensors(concatenated([packing.unpack(encoded, layout)]))


def _sampled(
    days: EncodedDays,
    sampling: Sampling,
    batch_size: int,
    seed: int,
    epoch: int,
    start_step: int,
    thinning: Thinning | None,
    group: ProcessGroup,
) -> Iterator[Batch]:
    """Yield an epoch of batches, each of up to `batch_size` rows that have the label of one drawn objective.

    The epoch has as many steps as one over all rows. Rows with weight 0 are left out. The windows are those of a shuffled
    epoch. In each window, an objective walks over its own rows as often as its steps there need, in a new order each time. So
    an epoch is a number of steps, not a visit to each row: a rare objective meets each of its rows often, and a common one
    misses some. Where a window holds fewer rows of an objective than a batch, these rows are its batch. Labels are read once
    more, before the first step.
    """
    windows = _windows(days, "shuffled", seed, epoch)
    steps = steps_per_epoch(days, batch_size, thinning, epoch=epoch)
    if not steps:
        return
    # The day is part of the key. Otherwise, in time order, the few steps of each day would draw the same objectives.
    key = (seed, epoch, date.fromisoformat(days.days[0]).toordinal())
    skipped = start_step
    plan = sampling.plan(_counts(days, windows, thinning, epoch), steps, key)
    for number, (spans, drawn_S) in enumerate(zip(windows, plan, strict=True), 1):
        if skipped >= len(drawn_S):
            skipped -= len(drawn_S)
            continue
        counting_RK = days.counting(spans, thinning, epoch)
        own = {k: OwnRows(np.flatnonzero(counting_RK[:, k]), batch_size, key, number, k) for k in np.unique(drawn_S).tolist()}
        done_K = np.bincount(drawn_S[:skipped], minlength=counting_RK.shape[1])
        window = days.read(spans)
        for k in drawn_S[skipped:].tolist():
            places_B = own[k].part(int(done_K[k]))[group.rank :: group.size]
            done_K[k] += 1
            packed = Packed._make(values.take(places_B, axis=0) for values in window)
            yield _tensors(sampling.only(packed if thinning is None else thinning.reweighted(packed), k))
        skipped = 0
        del window


def _counts(days: EncodedDays, windows: Sequence[Sequence[Span]], thinning: Thinning | None, epoch: int) -> NDArray[np.int64]:
    """Count the rows of each window that each objective learns from: [W, K]."""
    counts_WK = np.zeros((len(windows), len(days.layout.objectives)), np.int64)
    for place, spans in enumerate(windows):
        counts_WK[place] = days.counting(spans, thinning, epoch).sum(axis=0)
    return counts_WK


def _windows(days: EncodedDays, order: Order, seed: int, epoch: int) -> list[list[Span]]:
    """Group the spans in reading order: one group per record batch, or windows of chunks drawn without replacement."""
    if order == "time":
        return [[Span(block, 0, rows)] for block, rows in enumerate(days.block_rows)]
    chunks = [
        Span(block, start, min(start + _CHUNK_ROWS, rows))
        for block, rows in enumerate(days.block_rows)
        for start in range(0, rows, _CHUNK_ROWS)
    ]
    # Stream 0. The windows number their streams from 1, because for numpy [seed, epoch] and [seed, epoch, 0] are the same.
    drawn = [chunks[place] for place in np.random.default_rng([seed, epoch, 0]).permutation(len(chunks))]
    return [drawn[start : start + _WINDOW_CHUNKS] for start in range(0, len(drawn), _WINDOW_CHUNKS)]


def _tensors(packed: Packed) -> Batch:
    wide = {name: getattr(packed, name).astype(np.int64) for name in ("rows", "history_rows", "history_length", "bias")}
    arrays = packed._replace(**wide)
    return Batch._make(torch.from_numpy(getattr(arrays, name)) for name in Batch._fields)
