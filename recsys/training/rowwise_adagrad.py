"""Row-wise Adagrad. With a sparse gradient the cost of a step depends on what the batch touches, not on the size of the vocabulary."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

# Legend: N entries of a sparse gradient, U different rows among them, D width of the table, B blocks of a row.


class RowwiseAdagrad(Optimizer):
    """Adagrad (Duchi et al., JMLR 2011) with one accumulator per block of a row, as Gupta et al. (2014) and FBGEMM have one per row.

    For each block b of a row, with gradient g_b (duplicates summed): a_b ← a_b + mean(g_b²), then w_b ← w_b − lr·(g_b / (√a_b + eps) +
    decay·w_b). The decay is decoupled and, like the rest, acts on touched blocks only. A block whose gradient is wholly zero stays as it
    is, and so does its accumulator, `state[table]["sum"]` [rows, B].

    `blocks` are the widths of a row's blocks, in order. A vector is one block, and each linear weight beside it is another. A linear
    weight's gradient is some 25 times a vector's, so in a common accumulator it would set the vector's rate. Raise ValueError where the
    widths do not add up to the width of a row.

    Where `found_inf` [] is set and is 1, a step moves nothing, as in torch's fused optimisers.
    """

    found_inf: Tensor | None = None

    def __init__(self, tables: Iterable[Tensor], *, blocks: Iterable[int], lr: float, decay: float = 0.0, eps: float = 1e-10) -> None:
        super().__init__(tables, {"blocks": list(blocks), "lr": lr, "decay": decay, "eps": eps})
        for group in self.param_groups:
            for table in group["params"]:
                self.state[table]["sum"] = _no_sums(table, group["blocks"])

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every table that has a gradient, a sparse one or a dense one."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._update(table, group["blocks"], group["lr"], group["decay"], group["eps"])

    def _update(self, table: Tensor, blocks: list[int], lr: float, decay: float, eps: float) -> None:
        sums = self.state[table]["sum"]
        gradient: Tensor = table.grad  # type: ignore[assignment]
        if gradient.is_sparse:
            rows_U, gradient_UD = _summed(gradient) if gradient.device.type == "cpu" else _summed_on_device(gradient)
            gradient_UD = self._unless_found(gradient_UD)
            square_UB = _mean_squares(gradient_UD, blocks)
            sum_UB = sums.index_add_(0, rows_U, square_UB)[rows_U]
            table.index_add_(0, rows_U, _change(table[rows_U], gradient_UD, square_UB, sum_UB, blocks, decay, eps), alpha=-lr)
        else:
            gradient = self._unless_found(gradient)
            square_UB = _mean_squares(gradient, blocks)
            table.add_(_change(table, gradient, square_UB, sums.add_(square_UB), blocks, decay, eps), alpha=-lr)

    def _unless_found(self, gradient: Tensor) -> Tensor:
        """Return the gradient, or zeros where `found_inf` is 1: a block whose gradient is zero stays as it is."""
        return gradient if self.found_inf is None else gradient.masked_fill(self.found_inf > 0, 0.0)


def _mean_squares(gradient_UD: Tensor, blocks: list[int]) -> Tensor:
    """Return the mean square of each block's gradient, [U, B]."""
    return torch.cat([part.mean(1, keepdim=True) for part in torch.split(gradient_UD.square(), blocks, dim=1)], dim=1)


def _change(
    table_UD: Tensor, gradient_UD: Tensor, square_UB: Tensor, sum_UB: Tensor, blocks: list[int], decay: float, eps: float
) -> Tensor:
    """Return what a step takes off the rows, divided by its rate, [U, D].

    A block with a zero sum has only ever had zero gradients: 0 / eps = 0, so it needs no case of its own.
    """
    change_UD = _scaled(gradient_UD, (sum_UB.sqrt() + eps).reciprocal_(), blocks)
    if decay > 0:
        change_UD.add_(_scaled(table_UD, (square_UB > 0).to(table_UD.dtype), blocks), alpha=decay)
    return change_UD


def _no_sums(table: Tensor, blocks: list[int]) -> Tensor:
    if sum(blocks) != table.shape[1]:
        found = " + ".join(map(str, blocks))
        raise ValueError(f"found blocks of {found} numbers, expected {table.shape[1]}, the width of a table's row")
    return torch.zeros(len(table), len(blocks), dtype=table.dtype, device=table.device)


def _scaled(numbers_UD: Tensor, factors_UB: Tensor, blocks: list[int]) -> Tensor:
    """Return [U, D], the numbers of each block times the block's factor."""
    scaled_UD = numbers_UD.clone()
    for part_UW, factor_U1 in zip(torch.split(scaled_UD, blocks, dim=1), torch.split(factors_UB, 1, dim=1), strict=True):
        part_UW.mul_(factor_U1)
    return scaled_UD


def _summed(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows of a sparse gradient, each once and in order, and the sum of the gradients of each row: [U], [U, D].

    The tables' own gradient on a CPU is so already (nn/embeddings.py), but autograd drops the mark that says it.
    """
    rows_N = gradient._indices()[0]
    if bool((rows_N.diff() > 0).all()):
        return rows_N, gradient._values()
    gradient = gradient.coalesce()
    return gradient.indices()[0], gradient.values()


def _summed_on_device(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same on an accelerator, without waiting for it to know how many rows there are: [N], [N, D].

    There are as many rows as the gradient has entries. Those that are left over are any rows, with a gradient of zero; they are not all one
    row, because additions to one row wait for each other.
    """
    rows_N, order_N = torch.sort(gradient._indices()[0], stable=True)
    values_ND = gradient._values().index_select(0, order_N)
    is_new_N = F.pad(rows_N.diff() != 0, (1, 0), value=True)
    places_N = is_new_N.cumsum(0) - 1  # of each entry's row among the different rows
    summed_ND = torch.zeros_like(values_ND).index_add_(0, places_N, values_ND)
    left_over_N = torch.arange(len(rows_N), device=rows_N.device) % len(gradient)
    return left_over_N.scatter_(0, places_N, rows_N), summed_ND
