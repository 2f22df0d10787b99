"""What a model costs, in the paper's units (Zhao et al., RecSys 2019, Table 1: number of multiplications)."""

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from recsys.encoding.layout import Batch
from recsys.models.frame import Ranker


class Parameters(NamedTuple):
    """How many numbers a model learns."""

    dense: int
    embedding: int


def multiplications(model: Ranker, batch: Batch) -> int:
    """Multiplications in matrix products that scoring one row for all objectives takes.

    `batch` holds a single row, of the model's layout. Products of two numbers at a time (the cross layer's ⊙, the attention's
    weighing of the past, a softmax) are left out: they grow with the widths, not with their products.
    """
    rows = len(batch.dense)
    if rows != 1:
        raise ValueError(f"found a batch of {rows:,} rows, expected 1: the cost is that of one row")
    was_training = model.training
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(batch, position="missing")
    model.train(was_training)
    return int(counter.get_total_flops()) // 2  # it counts a multiplication and an addition as two


def parameters(model: Ranker) -> Parameters:
    """Numbers learned in embedding tables (padding rows included) and elsewhere."""
    return Parameters(
        dense=sum(parameter.numel() for parameter in model.dense_parameters()),
        embedding=sum(parameter.numel() for parameter in model.embedding_parameters()),
    )
