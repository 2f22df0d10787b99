"""Tables for all categorical features. A cell with several values becomes the mean of their vectors.

Shape letters: B rows, T tables, R rows of a table, W width of a row; C looked-up columns, N lookups (B·C), F slots, X bags (B·F),
U different rows of a table, L history, H history columns.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys.encoding.layout import PADDING_ROW
from recsys.nn.ordering import stable_order
from recsys.nn.spread_lookup import fetched
from recsys.process_group import ALONE, ProcessGroup

Span = tuple[int, int]  # first column and number of neighbouring columns of one slot

# Most rows of all tables together whose gradient is dense. In so small tables every batch touches most rows. A step of 1,024 examples with
# 75 lookups each (14 numbers wide, one thread): with 8,000 rows 8.3 ms instead of 9.8, with 30,000 rows 13.5 instead of 15.8, with 200,000
# rows 60 instead of 39.
DENSE_ROWS = 30_000


class Lookups(NamedTuple):
    """Lookups in bags, in order. Each bag's sum is weighted."""

    rows_N: Tensor  # int64, the row that is looked up
    weights_N: Tensor  # 0 where the row is padding
    firsts_X: Tensor  # int64, the first lookup of each bag
    bags_N: Tensor  # int64, the bag of each lookup


class EmbeddingTables(nn.Module):
    """T tables of R rows as one [T·R, W] parameter.

    The gradient of more than DENSE_ROWS rows is sparse, so that a step costs only the rows that the batch touches. In smaller tables every
    batch touches most rows, and a dense gradient is faster.
    The first row of each table is padding: it is zero and learns nothing.

    Large tables may be spread over the processes of a group (recsys/spread.py). Then the parameter has this process's rows.
    """

    def __init__(self, values_TRW: Tensor, rows: int | None = None, holders: ProcessGroup = ALONE) -> None:
        """Take over the values that tables start from: of all rows, or of those of the `rows` rows that this one of the `holders` holds."""
        super().__init__()
        self.num_tables, own, width = values_TRW.shape
        self.num_rows = own if rows is None else rows
        self.holders = holders
        if holders.is_first:
            values_TRW[:, PADDING_ROW] = 0.0
        self.table = nn.Parameter(values_TRW.reshape(self.num_tables * own, width))
        self.is_sparse = is_large(self.num_tables, self.num_rows)

    def forward(self, lookups: Lookups) -> Tensor:
        """Return the weighted sum of each bag in every table, [T, X, W]."""
        table: Tensor = self.table
        is_sparse = self.is_sparse
        if self.holders.size > 1:
            table, places_N = fetched(table, self.num_tables, lookups.rows_N, self.holders)
            lookups, is_sparse = lookups._replace(rows_N=places_N), False
        if table.device.type != "cpu":
            return sums_on_device(table, self.num_tables, is_sparse, lookups)
        return _BagSums.apply(table, self.num_tables, is_sparse, *lookups)  # type: ignore[no-any-return, no-untyped-call]


def is_large(tables: int, rows: int) -> bool:
    """Return whether so many tables of so many rows are so large that their gradient is sparse."""
    return tables * rows > DENSE_ROWS


def sums_on_device(table: Tensor, tables: int, is_sparse: bool, lookups: Lookups) -> Tensor:
    """Return the sums on an accelerator: with torch's own gradient where it is dense, else with `_SparseBagSums`."""
    if is_sparse:
        return _SparseBagSums.apply(table, tables, *lookups)  # type: ignore[no-any-return, no-untyped-call]
    rows_N, weights_N, firsts_X, _ = lookups
    parts = [
        F.embedding_bag(rows_N, part, firsts_X, mode="sum", padding_idx=PADDING_ROW, per_sample_weights=weights_N)
        for part in table.chunk(tables)
    ]
    return torch.stack(parts)


class _SparseBagSums(torch.autograd.Function):
    """Weighted sums of bags whose gradient has an entry per lookup, repeated rows among them. Padding has zeros, in rows of any number.

    `F.embedding_bag` leaves padding out of a sparse gradient. For that it waits for the device, to know how many entries are left. The
    entries of padding are not all of one row, because additions to one row wait for each other.
    """

    @staticmethod
    def forward(context: Any, table: Tensor, tables: int, rows_N: Tensor, weights_N: Tensor, firsts_X: Tensor, bags_N: Tensor) -> Tensor:
        context.save_for_backward(rows_N, weights_N, bags_N)
        context.shape, context.tables = table.shape, tables
        return torch.stack([_sums(rows_N, part, firsts_X, weights_N) for part in table.chunk(tables)])

    @staticmethod
    def backward(context: Any, gradient_TXW: Tensor) -> tuple[Tensor | None, ...]:
        rows_N, weights_N, bags_N = context.saved_tensors
        size, width = context.shape
        rows = size // context.tables
        any_N = torch.arange(len(rows_N), device=rows_N.device) % rows
        rows_N = torch.where(rows_N == PADDING_ROW, any_N, rows_N)
        values_NW = torch.cat([part_XW.index_select(0, bags_N) * weights_N[:, None] for part_XW in gradient_TXW])
        starts_T1 = torch.arange(context.tables, device=rows_N.device)[:, None] * rows
        places_N = (starts_T1 + rows_N).flatten()
        return torch.sparse_coo_tensor(places_N[None], values_NW, (size, width), check_invariants=False), *[None] * 5


class _BagSums(torch.autograd.Function):
    """Weighted sums of bags on a CPU. The gradient is a sum of bags too: each row's bag holds its lookups.

    `F.embedding_bag` alone sorts the lookups by comparison: 12 ms forward and backward for 76,800 lookups of 14 numbers, here 3.
    """

    @staticmethod
    def forward(
        context: Any, table: Tensor, tables: int, is_sparse: bool, rows_N: Tensor, weights_N: Tensor, firsts_X: Tensor, bags_N: Tensor
    ) -> Tensor:
        context.save_for_backward(rows_N, weights_N, bags_N)
        context.shape, context.tables, context.is_sparse = table.shape, tables, is_sparse
        return _stacked([_sums(rows_N, part, firsts_X, weights_N) for part in table.chunk(tables)])

    @staticmethod
    def backward(context: Any, gradient_TXW: Tensor) -> tuple[Tensor | None, ...]:
        rows_N, weights_N, bags_N = context.saved_tensors
        size, width = context.shape
        order_N = torch.from_numpy(stable_order(rows_N.numpy()))[int((rows_N == PADDING_ROW).sum()) :]  # padding comes first: leave it out
        bags_N, weights_N = bags_N.index_select(0, order_N), weights_N.index_select(0, order_N)
        if context.is_sparse:
            rows_U, counts_U = torch.unique_consecutive(rows_N.index_select(0, order_N), return_counts=True)
        else:
            counts_U = torch.bincount(rows_N, minlength=size // context.tables)  # every row; the sum of an empty bag is 0
            counts_U[PADDING_ROW] = 0
        firsts_U = counts_U.cumsum(0) - counts_U
        values = torch.cat([_sums(bags_N, part_XW.contiguous(), firsts_U, weights_N) for part_XW in gradient_TXW])
        if context.is_sparse:
            rows = (torch.arange(context.tables)[:, None] * (size // context.tables) + rows_U).flatten()
            values = torch.sparse_coo_tensor(rows[None], values, (size, width), is_coalesced=True, check_invariants=False)
        return values, *[None] * 6


def _sums(rows_N: Tensor, table_RW: Tensor, firsts_X: Tensor, weights_N: Tensor) -> Tensor:
    return F.embedding_bag(rows_N, table_RW, firsts_X, mode="sum", per_sample_weights=weights_N)


def _stacked(parts: list[Tensor]) -> Tensor:
    """Stack the parts; copy nothing where there is one."""
    return parts[0].unsqueeze(0) if len(parts) == 1 else torch.stack(parts)


class Slots(nn.Module):
    """The slots of a row: which columns are looked up, and the bags that they form, one per slot.

    Slots are sorted by width, so that all slots of one width are one reshape. `columns_C` are the columns to look up. `order` holds for
    each bag the place of its span among the given spans.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        super().__init__()
        self.order = sorted(range(len(spans)), key=lambda place: spans[place][1])
        by_width = [spans[place] for place in self.order]
        self.groups = [(width, len(list(same))) for width, same in groupby(by_width, key=lambda span: span[1])]
        widths_F = torch.tensor([width for _, width in by_width], dtype=torch.int64)
        columns = [start + n for start, width in by_width for n in range(width)]
        self.register_buffer("columns_C", torch.tensor(columns, dtype=torch.int64))  # saved: the weights belong to this choice of slots
        self.register_buffer("firsts_F", widths_F.cumsum(0) - widths_F, persistent=False)
        self.register_buffer("bags_C", torch.repeat_interleave(widths_F), persistent=False)
        self.columns_C: Tensor
        self.firsts_F: Tensor
        self.bags_C: Tensor

    def weights(self, rows_XC: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the weights that make a bag's sum its mean, […, C]: 1 / (values of the slot that are not padding), and 0 for padding."""
        weights_XC = (rows_XC != PADDING_ROW).to(dtype)
        first = 0
        for width, slots in self.groups:
            last = first + width * slots
            if width > 1:
                of_slots = torch.unflatten(weights_XC[..., first:last], -1, (slots, width))
                of_slots /= of_slots.sum(-1, keepdim=True).clamp_(min=1)
            first = last
        return weights_XC


class SlotEmbeddings(nn.Module):
    """The vectors of an example's slots and of its history's slots, from one lookup in shared tables."""

    def __init__(self, tables: EmbeddingTables, slots: Sequence[Span], history_slots: Sequence[Span]) -> None:
        super().__init__()
        self.tables = tables
        self.slots = Slots(slots)
        self.history = Slots(history_slots)

    def forward(self, rows_BS: Tensor, history_rows_BLH: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean vectors of the slots [T, B, F, W] (in `self.slots.order`) and of the history's [T, B, L, F', W].

        The mean is over a slot's values that are not padding. It is zero where all are.
        """
        rows_BC = rows_BS.index_select(1, self.slots.columns_C)
        past_BLC = history_rows_BLH.index_select(2, self.history.columns_C)
        dtype = self.tables.table.dtype
        weights = torch.cat([self.slots.weights(rows_BC, dtype), self.history.weights(past_BLC, dtype).flatten(1)], dim=1)
        rows = torch.cat([rows_BC, past_BLC.flatten(1)], dim=1)
        firsts, bags = self._of_example(past_BLC.shape[1])
        examples_B1 = torch.arange(len(rows), device=rows.device)[:, None]
        sums_TXW = self.tables(
            Lookups(
                rows.flatten(),
                weights.flatten(),
                (examples_B1 * rows.shape[1] + firsts).flatten(),
                (examples_B1 * len(firsts) + bags).flatten(),
            )
        )
        length, of_past = past_BLC.shape[1], len(self.history.order)
        sums_TBFW = torch.unflatten(sums_TXW, 1, (len(rows), len(firsts)))
        slots, past = torch.split(sums_TBFW, [len(self.slots.order), length * of_past], dim=2)
        return slots, torch.unflatten(past, 2, (length, of_past))

    def _of_example(self, length: int) -> tuple[Tensor, Tensor]:
        """Return the first lookup of each bag of one example with so long a history, and the bag of each lookup."""
        entries_L1 = torch.arange(length, device=self.slots.columns_C.device)[:, None]
        firsts = entries_L1 * len(self.history.columns_C) + self.history.firsts_F + len(self.slots.columns_C)
        bags = entries_L1 * len(self.history.order) + self.history.bags_C + len(self.slots.order)
        return torch.cat([self.slots.firsts_F, firsts.flatten()]), torch.cat([self.slots.bags_C, bags.flatten()])
