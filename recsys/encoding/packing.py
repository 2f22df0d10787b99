"""Encoded rows as an Arrow record batch. Each array is one fixed-size list column, so a memory-mapped file is the arrays themselves."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.encoding.layout import Layout, Slot

BATCH_ROWS = 65_536  # rows of a record batch in a file
NUM_ROWS = b"num_rows"  # key of a file's metadata


class Packed(NamedTuple):
    """The arrays of a `Batch`, as they lie in a file, and the days on which labels are known. N rows; D, S, L, H, G, K, A as in `Batch`."""

    dense: NDArray[np.float32]  # [N, D]
    rows: NDArray[np.int32]  # [N, S]
    history_rows: NDArray[np.int32]  # [N, L, H]
    history_signals: NDArray[np.float32]  # [N, L, G]
    history_length: NDArray[np.int32]  # [N]
    bias: NDArray[np.int32]  # [N, 2]
    labels: NDArray[np.float32]  # [N, K]
    durations: NDArray[np.float32]  # [N, A]
    weights: NDArray[np.float32]  # [N]
    known: NDArray[np.int32]  # [N, K] the day on which each label becomes known, in days since 1970-01-01; 0 where there is no label


def width(slots: tuple[Slot, ...]) -> int:
    return sum(slot.width for slot in slots)


def empty(num_rows: int, layout: Layout) -> Packed:
    """Make rows of which nothing is known: zeros, labels not observed, durations missing, weights 1."""
    return Packed._make(np.full((num_rows, *shape), fill, kind) for shape, kind, fill in _forms(layout))


def schema(layout: Layout) -> pa.Schema:
    """Return the Arrow schema of a day's file. Its metadata say how many rows the vocabulary has that `rows` are places in.

    An array without columns (no dense features, no history) is left out, because Arrow has no lists of length 0. Weights that
    are all 1 are left out too.
    """
    types = {np.float32: pa.float32(), np.int32: pa.int32()}
    fields = []
    for name, (shape, kind, _) in zip(Packed._fields, _forms(layout), strict=True):
        size = int(np.prod(shape))
        if size and (name != "weights" or layout.weighted):
            fields.append((name, pa.list_(types[kind], size) if shape else types[kind]))
    return pa.schema(fields, {NUM_ROWS: str(layout.num_rows)})


def pack(packed: Packed, layout: Layout) -> pa.RecordBatch:
    columns = []
    for field in schema(layout):
        values = getattr(packed, field.name)
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        columns.append(pa.FixedSizeListArray.from_arrays(flat, type=field.type) if values.ndim > 1 else flat)
    return pa.record_batch(columns, schema=schema(layout))


def unpack(encoded: pa.RecordBatch, layout: Layout) -> Packed:
    """Return read-only views of the record batch, not copies. Arrays that the file leaves out take no memory either."""
    arrays = []
    for name, (shape, kind, fill) in zip(Packed._fields, _forms(layout), strict=True):
        if name in encoded.schema.names:
            column = encoded.column(name)
            flat = column.flatten() if shape else column
            arrays.append(flat.to_numpy(zero_copy_only=True).reshape(encoded.num_rows, *shape))
        else:
            arrays.append(np.broadcast_to(np.array(fill, kind), (encoded.num_rows, *shape)))
    return Packed._make(arrays)


def _forms(layout: Layout) -> tuple[tuple[tuple[int, ...], Any, float], ...]:
    """Return, per array in the order of `Packed`, the shape of a row, the type and the filler."""
    length = layout.history_length
    return (
        ((len(layout.dense),), np.float32, 0),
        ((width(layout.slots),), np.int32, 0),
        ((length, width(layout.history_slots)), np.int32, 0),
        ((length, len(layout.history_signals)), np.float32, 0),
        ((), np.int32, 0),
        ((2,), np.int32, 0),
        ((len(layout.objectives),), np.float32, np.nan),
        ((len(layout.durations),), np.float32, np.nan),
        ((), np.float32, 1),
        ((len(layout.objectives),), np.int32, 0),
    )
