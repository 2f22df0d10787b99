"""The processes that train one model together: each computes its rows of every batch, and what is summed over rows is summed over them.

Row i of a batch belongs to process i mod N, so shares differ by at most one row. A share may be empty. All processes draw the same random
numbers, hold the same weights (large tables excepted: recsys/spread.py) and take the same steps, because whatever they decide by is a sum
over all of them. Processors of two kinds may round differently, so all should be of one kind. What goes between processes is
torch.distributed's (gloo on a CPU, NCCL between GPUs); nothing else here calls it but `processes/together.py`, which starts the group.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from recsys.errors import RecsysError


class LostProcessError(RecsysError):
    """Another process of the group has ended, or does not answer."""

    def __init__(self, error: Exception) -> None:
        what = " ".join(str(error).split()).partition(". This is typically")[0]
        super().__init__(
            f"found that another process of this training has ended or does not answer ({what}), expected all to go on to the end. Fix: see"
            " what the processes and torchrun have printed, and run the same command again; it goes on from the last checkpoint"
        )


@dataclass(frozen=True)
class ProcessGroup:
    """N processes. `rank` is this one's number, from 0. With one process nothing is sent, and sums are what was given."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Return whether this is the process that writes and speaks."""
        return self.rank == 0

    def summed(self, tensor: Tensor) -> Tensor:
        """Return the sum of the processes' tensors, without gradient. All have the same shape; a sparse one may have other entries."""
        if self.size == 1:
            return tensor.detach()
        if tensor.is_sparse:
            return self._all_entries(tensor.detach())
        total = tensor.detach().clone()
        with _lost():
            dist.all_reduce(total)
        return total

    def _all_entries(self, own: Tensor) -> Tensor:
        """Return a sparse tensor with the entries of all processes, repeated ones among them. Each hands on only its own."""
        rows_N, values_ND = own._indices()[0], own._values()
        counts = [int(count) for count in self._gathered(torch.tensor([len(rows_N)]))]
        rows = self._gathered(_padded(rows_N, max(counts)))
        values = self._gathered(_padded(values_ND, max(counts)))
        found = (torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)]) for parts in (rows, values))
        rows_N, values_ND = found
        return torch.sparse_coo_tensor(rows_N[None], values_ND, own.shape, check_invariants=False)

    def _gathered(self, own: Tensor) -> list[Tensor]:
        """Return the tensors of all processes, which have one shape."""
        parts = [torch.empty_like(own) for _ in range(self.size)]
        with _lost():
            dist.all_gather(parts, own.contiguous())
        return parts

    def summed_together(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the sums of several dense tensors, by one message per type of number."""
        if self.size == 1:
            return [tensor.detach() for tensor in tensors]
        found: dict[int, Tensor] = {}
        for dtype in sorted({tensor.dtype for tensor in tensors}, key=str):
            places = [place for place, tensor in enumerate(tensors) if tensor.dtype == dtype]
            total = self.summed(torch.cat([tensors[place].flatten() for place in places]))
            parts = torch.split(total, [tensors[place].numel() for place in places])
            found |= {place: part.view_as(tensors[place]) for place, part in zip(places, parts, strict=True)}
        return [found[place] for place in range(len(tensors))]

    def total_rows(self, rows: int) -> int:
        """Return the rows of the whole batch, where this process has `rows` of them."""
        return rows if self.size == 1 else int(self.summed(torch.tensor(rows)))

    def any_of(self, flags: Sequence[bool]) -> list[bool]:
        """Return for each flag whether it is true in any process."""
        return list(flags) if self.size == 1 else (self.summed(torch.tensor(flags, dtype=torch.int32)) > 0).tolist()

    def meet(self) -> None:
        """Wait for all processes, however long it takes: one of them may have worked alone meanwhile."""
        if self.size > 1:
            with _lost():
                dist.barrier(group=patient_group())

    def is_same_in_all(self, number: int) -> bool:
        """Return whether all processes say the same number. None goes on before all have said theirs."""
        own = torch.tensor([number, -number])
        if self.size > 1:
            with _lost():
                dist.all_reduce(own, dist.ReduceOp.MAX)
        return int(own[0]) == -int(own[1])

    @torch.no_grad()
    def take_over(self, tensors: Sequence[Tensor]) -> None:
        """Give every tensor the numbers that it has in the first process."""
        if self.size > 1:
            for tensor in tensors:
                with _lost():
                    dist.broadcast(tensor, src=0)

    def owned(self, rows: int) -> int:
        """Return how many rows of a table of `rows` rows this process holds where the table is spread: row i is held by process i mod N."""
        return len(range(self.rank, rows, self.size))

    def exchanged(self, parts: Tensor, counts: Sequence[int]) -> tuple[Tensor, list[int]]:
        """Send each process its part and return what the others have sent, with the rows of each.

        `parts` holds the parts one after another, in the order of the processes, `counts` the rows of each.
        """
        theirs = torch.empty(self.size, dtype=torch.int64)
        with _lost():
            dist.all_to_all_single(theirs, torch.tensor(counts))
            found = parts.new_empty(int(theirs.sum()), *parts.shape[1:])
            dist.all_to_all_single(found, parts.contiguous(), theirs.tolist(), list(counts))
        return found, theirs.tolist()

    def brought_to_first(self, own: Tensor) -> Tensor:
        """Return in the first process the rows of all processes, dealt in turn; in the others none. All have as many rows."""
        parts = [torch.empty_like(own) for _ in range(self.size)] if self.is_first else None
        with _lost():
            dist.gather(own.contiguous(), parts, dst=0)
        return own[:0] if parts is None else torch.stack(parts, dim=1).flatten(0, 1)

    def rows_in_order(self, own: Tensor, rows: int, batch_size: int) -> Tensor:
        """Return the rows of all processes in their order. `own` holds this one's of `rows` rows, dealt batch by batch."""
        if self.size == 1:
            return own
        owners = torch.arange(rows).remainder(batch_size).remainder(self.size)
        most = int(torch.bincount(owners, minlength=self.size).max()) if rows else 0
        found = own.new_empty(rows, *own.shape[1:])
        for rank, part in enumerate(self._gathered(_padded(own, most))):
            is_its = owners == rank
            found[is_its] = part[: int(is_its.sum())]
        return found


ALONE = ProcessGroup()
_patient: list[Any] = []  # the same processes, for messages that may be waited for long


@contextlib.contextmanager
def meeting_by(patient: Any) -> Iterator[None]:
    """Let `ProcessGroup.meet`, and the orders of tasks, use a group of torch.distributed whose messages may take long."""
    _patient.append(patient)
    try:
        yield
    finally:
        _patient.pop()


def patient_group() -> Any:
    """Return that group of torch.distributed."""
    return _patient[-1]


def _padded(own: Tensor, rows: int) -> Tensor:
    """Return the rows, followed by zeros up to so many rows."""
    padded = own.new_zeros(rows, *own.shape[1:])
    padded[: len(own)] = own
    return padded


@contextlib.contextmanager
def _lost() -> Iterator[None]:
    """Raise LostProcessError where torch.distributed says that a message did not arrive."""
    try:
        yield
    except RuntimeError as error:  # gloo has no class of its own
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise LostProcessError(error) from error
        raise


# --- The batch that is shared now -----------------------------------------------------------------------------------
class SharedBatch(NamedTuple):
    """A batch of which each process of the group computes its rows."""

    group: ProcessGroup
    rows: int  # of the whole batch


_shared: list[SharedBatch] = []


@contextlib.contextmanager
def sharing(group: ProcessGroup, rows: int) -> Iterator[None]:
    """Let what is computed in this block know that it sees one process's rows of a batch of `rows` rows."""
    if group.size == 1:
        yield
        return
    _shared.append(SharedBatch(group, rows))
    try:
        yield
    finally:
        _shared.pop()


def shared_batch() -> SharedBatch | None:
    """Return the batch that is shared now; None where this process has all rows."""
    return _shared[-1] if _shared else None


def own_draws(draw: Callable[[torch.Size], Tensor], shape: torch.Size, dim: int) -> Tensor:
    """Return random numbers of this shape, whose rows lie along `dim`.

    `draw` is asked for those of the whole batch, and this process's rows are kept. So every process draws as much as one process would, its
    random state stays that of the others, and a row gets the same numbers whoever computes it.
    """
    shared = shared_batch()
    if shared is None:
        return draw(shape)
    whole = draw(torch.Size([*shape[:dim], shared.rows, *shape[dim + 1 :]]))
    return whole.movedim(dim, 0)[shared.group.rank :: shared.group.size].movedim(0, dim)


def total(sum_of_rows: Tensor) -> Tensor:
    """Return the sum over the whole batch from that over this process's rows. Gradients flow back to every process's rows."""
    if shared_batch() is None:
        return sum_of_rows
    return _Total.apply(sum_of_rows)  # type: ignore[no-any-return, no-untyped-call]


def num_rows(own: int) -> int:
    """Return the rows of the whole batch, where this process has `own` of them."""
    shared = shared_batch()
    return own if shared is None else shared.rows


class _Total(torch.autograd.Function):
    """A sum over the processes. Each one's loss reads it, so the gradient is the sum of what they hand back."""

    @staticmethod
    def forward(context: object, sum_of_rows: Tensor) -> Tensor:
        shared = shared_batch()
        assert shared is not None
        context.group = shared.group  # type: ignore[attr-defined]
        return shared.group.summed(sum_of_rows)

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        return context.group.summed(gradient)  # type: ignore[attr-defined, no-any-return]
