"""Tables whose rows are spread over processes: row i of each table is held by process i mod N.

A file holds a whole table, whoever has written it. Its rows come to the first process in pieces, so that no process ever holds all of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from recsys.process_group import ProcessGroup

_PIECE_BYTES = 1 << 22  # of a process's rows at a time


@dataclass(frozen=True)
class Spread:
    """T tables of R rows, one after another, of which this process holds its rows: `own` is [T · own rows, …]."""

    own: Tensor
    tables: int
    group: ProcessGroup
    rows: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole."""
        return (self.tables * self.rows, *self.own.shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        return self.own.dtype

    def pieces(self) -> Iterator[Tensor]:
        """Yield the rows of all processes in order, in pieces, in the first process; nothing in the others. All must call it."""
        per_row = max(1, self.own[:1].numel() * self.own.element_size())
        step = max(1, _PIECE_BYTES // per_row)
        most = -(-self.rows // self.group.size)  # rows of a table in the process that has most
        for table in torch.unflatten(self.own.detach(), 0, (self.tables, -1)):
            left = self.rows
            for start in range(0, most, step):
                rows = min(step, most - start)
                piece = table[start : start + rows].cpu()
                padded = piece.new_zeros(rows, *piece.shape[1:])
                padded[: len(piece)] = piece
                found = self.group.brought_to_first(padded)[:left]
                left -= rows * self.group.size
                if self.group.is_first:
                    yield found


def own_rows(whole: Tensor, tables: int, group: ProcessGroup) -> Tensor:
    """Return the rows of T whole tables, one after another, that this process holds: a part of the whole where that can be."""
    if group.size == 1:
        return whole
    held = torch.unflatten(whole, 0, (tables, -1))[:, group.rank :: group.size]
    return held[0] if tables == 1 else held.flatten(0, 1)
