"""The cost of a model, in the paper's units (Zhao et al., RecSys 2019, Table 1: number of multiplications)."""

from math import prod
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from recsys.encoding.layout import Batch
from recsys.models.ranker import Ranker


def _multiply_and_add(a_shape: torch.Size, b_shape: torch.Size, *_: Any, **__: Any) -> int:
    """Count the operations of a product with a vector: each number of the matrix (or first vector) takes part once."""
    return 2 * prod(a_shape)


def _add_multiply_and_add(bias_shape: torch.Size, a_shape: torch.Size, b_shape: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * prod(a_shape)


# FlopCounterMode (torch 2.10) does not count these products: `matrix @ vector` would cost nothing.
_VECTOR_PRODUCTS = {
    torch.ops.aten.mv: _multiply_and_add,
    torch.ops.aten.dot: _multiply_and_add,
    torch.ops.aten.addmv: _add_multiply_and_add,
}


class Parameters(NamedTuple):
    """The counts of the numbers that a model learns."""

    dense: int
    embedding: int


def multiplications(model: Ranker, batch: Batch) -> int:
    """Count the multiplications in matrix products that scoring one more row for all objectives takes.

    `batch` holds a single row, of the model's layout. Products element by element are left out: the cross layer's ⊙, the attention's
    weighted sum of the past, a gate's mixture of the experts that only this gate reads, a softmax. They grow with the widths, not with the
    widths' products. Work that is done once for all rows is left out too: the cost is the difference between two rows and one.
    """
    rows = len(batch.dense)
    if rows != 1:
        raise ValueError(f"found a batch of {rows:,} rows, expected 1: the cost is that of one row")
    was_training = model.training
    model.eval()
    one, two = _multiplications(model, batch), _multiplications(model, Batch(*(torch.cat([tensor, tensor]) for tensor in batch)))
    model.train(was_training)
    return two - one


@torch.no_grad()
def _multiplications(model: Ranker, batch: Batch) -> int:
    with FlopCounterMode(display=False, custom_mapping=_VECTOR_PRODUCTS) as counter:
        model(batch, position="missing")
    return int(counter.get_total_flops()) // 2  # the counter counts a multiplication and an addition as two


def parameters(model: Ranker) -> Parameters:
    """Count the numbers learned in embedding tables (padding rows included) and elsewhere."""
    return Parameters(
        dense=sum(parameter.numel() for parameter in model.dense_parameters()),
        embedding=sum(parameter.numel() for parameter in model.embedding_parameters()),
    )
