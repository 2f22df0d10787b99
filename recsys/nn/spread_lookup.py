"""Rows of embedding tables that are spread over processes (recsys/spread.py), fetched from the processes that hold them.

Shape letters: T tables, R rows of a table, W width of a row; N lookups, U different rows among them, A rows that others ask for.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys.encoding.layout import PADDING_ROW
from recsys.nn.ordering import stable_order
from recsys.process_group import ProcessGroup


def fetched(table: Tensor, tables: int, rows_N: Tensor, group: ProcessGroup) -> tuple[Tensor, Tensor]:
    """Return the rows that are looked up, each once, as T small tables [T · (1 + U), W], and each lookup's place in one of them [N].

    The first row of each small table is padding: zero. Every process of the group must call this. The gradient of the small tables goes
    back to the processes that hold the rows, where it becomes a sparse one of `table`; rows that several have asked for are in it several
    times.
    """
    rows_U, places_N = _different(rows_N)
    return _Fetched.apply(table, tables, rows_U, group), places_N  # type: ignore[no-untyped-call]


def _different(rows_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return the different rows but padding, ascending, and the place of each lookup among padding and these."""
    if rows_N.device.type != "cpu":
        rows_1U, places_N = torch.unique(torch.cat([rows_N.new_full((1,), PADDING_ROW), rows_N]), return_inverse=True)
        return rows_1U[1:], places_N[1:]
    with_padding: NDArray[np.int64] = np.append(rows_N.numpy(), PADDING_ROW)
    order = stable_order(with_padding)
    ascending = with_padding[order]
    is_new = np.append(True, ascending[1:] != ascending[:-1])
    places = np.empty(len(order), np.int64)
    places[order] = is_new.cumsum() - 1
    return torch.from_numpy(ascending[is_new][1:]), torch.from_numpy(places[:-1])


class _Fetched(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, table: Tensor, tables: int, rows_U: Tensor, group: ProcessGroup) -> Tensor:
        owners_U = rows_U % group.size
        order_U = torch.argsort(owners_U, stable=True)
        counts = torch.bincount(owners_U, minlength=group.size).tolist()
        asked_A, theirs = group.exchanged((rows_U // group.size)[order_U], counts)
        values_TAW = torch.unflatten(table, 0, (tables, -1))[:, asked_A]
        answers, _ = group.exchanged(values_TAW.transpose(0, 1).flatten(1), theirs)
        found = answers.new_zeros(1 + len(rows_U), answers.shape[1])
        found[1 + order_U] = answers
        context.save_for_backward(order_U, asked_A)
        context.group, context.counts, context.shape, context.tables = group, counts, table.shape, tables
        return torch.unflatten(found, 1, (tables, -1)).transpose(0, 1).flatten(0, 1)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        order_U, asked_A = context.saved_tensors
        size, width = context.shape
        of_rows = torch.unflatten(gradient, 0, (context.tables, -1))[:, 1:].transpose(0, 1).flatten(1)
        values, _ = context.group.exchanged(of_rows[order_U], context.counts)
        values_AW = torch.unflatten(values, 1, (context.tables, -1)).transpose(0, 1).flatten(0, 1)
        starts_T1 = torch.arange(context.tables, device=asked_A.device)[:, None] * (size // context.tables)
        places = (starts_T1 + asked_A).flatten()
        return torch.sparse_coo_tensor(places[None], values_AW, (size, width), check_invariants=False), None, None, None
