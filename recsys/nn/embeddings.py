"""One table for all categorical features. A cell with several values becomes the mean of their vectors.

Shape letters: B rows, T tables, R rows of a table, W width of a row; C looked-up columns, F slots, L history, H history columns.
"""

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys.encoding.layout import PADDING_ROW

Span = tuple[int, int]  # first column and number of neighbouring columns of one slot


# Most rows of all tables together whose gradient is dense. A step of 1,024 rows with 75 lookups each (14 numbers wide, one thread, on a
# busy machine): with 127 rows 7.7 ms instead of 17.1 with a sparse gradient, with 8,000 rows 13 instead of 22, from 30,000 on no gain.
DENSE_ROWS = 10_000


class EmbeddingTables(nn.Module):
    """T tables of R rows as one [T·R, W] parameter.

    The gradient of more than DENSE_ROWS rows is sparse, so that a step costs only the rows that the batch touches. In smaller tables every
    batch touches most rows, and a dense gradient is faster.
    Row 0 is padding. All tables share this one row; it is zero and never gets a gradient.
    """

    def __init__(self, values_TRW: Tensor) -> None:
        super().__init__()
        tables, rows, width = values_TRW.shape
        values_TRW = values_TRW.clone()
        values_TRW[:, PADDING_ROW] = 0.0
        self.table = nn.Parameter(values_TRW.reshape(tables * rows, width))
        self.is_sparse = tables * rows > DENSE_ROWS
        self.register_buffer("offsets_T", torch.arange(tables) * rows, persistent=False)
        self.offsets_T: Tensor

    def forward(self, rows_BC: Tensor) -> Tensor:
        """Look up the same rows in every table, [B, C] → [B, T, C, W], in one lookup."""
        rows_B1C = rows_BC.unsqueeze(1)
        index_BTC = rows_B1C + self.offsets_T[:, None] * (rows_B1C != PADDING_ROW)
        return F.embedding(index_BTC, self.table, padding_idx=PADDING_ROW, sparse=self.is_sparse)


class MeanOfSlots(nn.Module):
    """A map from looked-up columns to one vector per slot: the mean over its values that are not padding, zero where all are.

    Slots are sorted by width, so that all slots of one width are one reshape. `columns_C` are the columns to look up. `order` holds for
    each output slot the place of its span among the given spans.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        super().__init__()
        self.order = sorted(range(len(spans)), key=lambda place: spans[place][1])
        by_width = [spans[place] for place in self.order]
        self.groups = [(width, len(list(same))) for width, same in groupby(by_width, key=lambda span: span[1])]
        columns = [start + n for start, width in by_width for n in range(width)]
        self.register_buffer("columns_C", torch.tensor(columns, dtype=torch.int64))  # saved: the weights belong to this choice of slots
        self.columns_C: Tensor

    def forward(self, vectors_XCW: Tensor, rows_XC: Tensor) -> Tensor:
        """Return the means […, F, W] of the vectors […, C, W] of the rows […, C] (the same leading axes, or 1)."""
        means, first = [], 0
        for width, slots in self.groups:
            last = first + width * slots
            vectors = vectors_XCW[..., first:last, :]
            if width > 1:
                present = torch.unflatten(rows_XC[..., first:last] != PADDING_ROW, -1, (slots, width)).sum(-1)
                total = torch.unflatten(vectors, -2, (slots, width)).sum(-2)  # padding is zero and adds nothing
                vectors = total / present.clamp(min=1).unsqueeze(-1)
            means.append(vectors)
            first = last
        return torch.cat(means, dim=-2) if means else vectors_XCW


class SlotEmbeddings(nn.Module):
    """The vectors of an example's slots and of its history's slots, from one lookup in shared tables."""

    def __init__(self, values_TRW: Tensor, slots: Sequence[Span], history_slots: Sequence[Span]) -> None:
        super().__init__()
        self.tables = EmbeddingTables(values_TRW)
        self.slots = MeanOfSlots(slots)
        self.history = MeanOfSlots(history_slots)

    def forward(self, rows_BS: Tensor, history_rows_BLH: Tensor) -> tuple[Tensor, Tensor]:
        """Return the slots' vectors [B, T, F, W] (in `self.slots.order`) and the history's [B, T, L, F', W]."""
        rows_BC = rows_BS[:, self.slots.columns_C]
        past_BLC = history_rows_BLH[:, :, self.history.columns_C]
        length, num_past = past_BLC.shape[1:]
        vectors = self.tables(torch.cat([rows_BC, past_BLC.flatten(1)], dim=1))
        slots, past = vectors.split([rows_BC.shape[1], length * num_past], dim=2)
        past = torch.unflatten(past, 2, (length, num_past))
        return self.slots(slots, rows_BC[:, None]), self.history(past, past_BLC[:, None])
