"""One of several processes that take steps of a ranker whose embedding tables are spread; started by ../spread_tables.py.

Every contender takes the same steps: the same weights at the start, the same batches, AdamW for the net, row-wise Adagrad for vectors and
Adagrad for linear weights. Prints, in the first process, a line of JSON.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from recsys import config
from recsys.encoding.layout import NUM_QUANTILES, Batch, Layout, Slot
from recsys.losses import ObjectiveLosses
from recsys.models import TableStart, build
from recsys.nn.embeddings import Lookups, _BagSums
from recsys.nn.spread_lookup import _different
from recsys.objectives import Objective
from recsys.process_group import ALONE, ProcessGroup, sharing
from recsys.training.rowwise_adagrad import RowwiseAdagrad

OBJECTIVES = tuple(Objective(name=f"o{k}", label="x") for k in range(4))
SLOTS, HISTORY, NUMBERS, SIGNALS = 10, 10, 20, 2
RATE, WARM_UP = 0.02, 5
# Not 0: from probabilities of one half, gradients of a row that was looked up twice often cancel, and Adagrad's first step is as large for
# what rounding has left as for any gradient.
STARTS = torch.full((len(OBJECTIVES),), -0.8)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--torchrec", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    group = ALONE
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 or arguments.torchrec:
        dist.init_process_group("gloo")
        group = ProcessGroup(dist.get_rank(), dist.get_world_size())
    layout = layout_of(arguments.rows)
    holders = ALONE if arguments.torchrec else group
    start = TableStart(holders, "meta" if arguments.torchrec else None)
    options = config.Model(dropout=0.0, position_dropout=0.0)
    ranker = build(options, layout, OBJECTIVES, STARTS, 1, start).train()
    step_tables: Callable[[], None]
    if arguments.torchrec:
        tables = TorchRecTables(layout, options.d_embedding, group)
        ranker.inputs.embeddings.tables = tables  # type: ignore[assignment]
        step_tables = tables.step
    else:
        optimiser = RowwiseAdagrad([ranker.inputs.embeddings.tables.table], blocks=ranker.inputs.blocks, lr=RATE)

        def step_tables() -> None:
            optimiser.step()
            optimiser.zero_grad()

    learned = [parameter for parameter in ranker.parameters() if parameter is not getattr(ranker.inputs.embeddings.tables, "table", None)]
    dense = torch.optim.AdamW(learned, lr=1e-3, fused=True)
    losses = ObjectiveLosses(OBJECTIVES)
    torch.manual_seed(2)  # gates drop experts, the same in all processes
    found, began, sent = [], 0.0, 0
    for step in range(WARM_UP + arguments.steps):
        if step == WARM_UP:
            began, sent = time.perf_counter(), bytes_sent()
        whole = batch_of(layout, arguments.batch, step)
        batch = Batch(*(tensor[group.rank :: group.size] for tensor in whole))
        with sharing(group, arguments.batch):
            outputs_BK = ranker(batch, position="logged").outputs_BK
            losses_K, _ = losses(outputs_BK, batch.labels, batch.durations, batch.weights)
        losses_K.sum().backward()
        for parameter, gradient in zip(
            learned, group.summed_together([each.grad for each in learned if each.grad is not None]), strict=True
        ):
            parameter.grad = gradient
        dense.step()
        dense.zero_grad()
        step_tables()
        found.append(float(group.summed(losses_K).sum()))
    seconds = time.perf_counter() - began
    most = torch.tensor(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    if group.size > 1:
        dist.all_reduce(most, dist.ReduceOp.MAX)
    if group.is_first:
        exchanged = (bytes_sent() - sent) / arguments.steps
        print(
            json.dumps(
                {"rows_per_second": arguments.steps * arguments.batch / seconds, "mib": float(most), "bytes": exchanged, "losses": found}
            )
        )
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def layout_of(rows: int) -> Layout:
    quantiles = tuple(np.linspace(-2, 2, NUM_QUANTILES).tolist())
    return Layout(
        dense=tuple(f"n{n}" for n in range(NUMBERS)),
        quantiles=(quantiles,) * NUMBERS,
        slots=tuple(Slot(feature=f"item.{n}", space=f"s{n}", start=n, width=1) for n in range(SLOTS)),
        history_length=HISTORY,
        history_slots=tuple(Slot(feature=f"history.{n}", space=f"s{n}", start=n, width=1) for n in range(2)),
        history_signals=tuple(f"g{n}" for n in range(SIGNALS)),
        num_rows=rows,
        unknown_rows={f"s{n}": n + 1 for n in range(SLOTS)},
        positions=0,
        devices=0,
        objectives=tuple(objective.name for objective in OBJECTIVES),
    )


def batch_of(layout: Layout, rows: int, step: int) -> Batch:
    """Draw a batch; the vocabulary's rows are looked up as often as a power law says."""
    rng = np.random.default_rng([step, 3])

    def ids(*shape: int) -> Tensor:
        return torch.from_numpy(1 + (rng.random(shape) ** 3 * (layout.num_rows - 1)).astype(np.int64))

    def numbers(*shape: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))

    return Batch(
        dense=numbers(rows, NUMBERS),
        rows=ids(rows, SLOTS),
        history_rows=ids(rows, HISTORY, 2),
        history_signals=numbers(rows, HISTORY, SIGNALS),
        history_length=torch.full((rows,), HISTORY),
        bias=torch.zeros(rows, 2, dtype=torch.int64),
        labels=(numbers(rows, len(OBJECTIVES)) > 0.5).float(),
        durations=torch.empty(rows, 0),
        weights=torch.ones(rows),
    )


def bytes_sent() -> int:
    """Return the bytes that have gone over the loopback of this machine: those of all processes, headers included."""
    line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.split(":")[1].split()[8])


class TorchRecTables(nn.Module):
    """The same tables held by TorchRec, row-wise: one collection of vectors and one of linear weights, each with its fused optimiser.

    The update is part of TorchRec's backward pass. So the net's own backward pass ends at a copy of what was looked up, and `step` hands
    its gradient on.
    """

    def __init__(self, layout: Layout, d_embedding: int, group: ProcessGroup) -> None:
        super().__init__()
        from fbgemm_gpu.split_embedding_configs import EmbOptimType
        from torchrec.distributed.comm_ops import set_gradient_division

        set_gradient_division(False)  # gradients of all processes are summed
        self.table = torch.empty(0)  # of which the ranker reads the type of numbers
        self.pending: list[tuple[Tensor, Tensor]] = []
        start = build(config.Model(), layout, OBJECTIVES, STARTS, 1, TableStart(group)).inputs.embeddings.tables.table
        self.parts: list[Any] = []  # a list, so that torch does not take TorchRec's parameters for ours
        for name, part, kind in (
            ("vectors", start[:, :d_embedding], EmbOptimType.EXACT_ROWWISE_ADAGRAD),
            ("linear", start[:, d_embedding:], EmbOptimType.EXACT_ADAGRAD),
        ):
            self.parts.append(_collection(name, part.detach(), layout.num_rows, kind, group))

    def forward(self, lookups: Lookups) -> Tensor:
        from torchrec import KeyedJaggedTensor

        rows_U, places_N = _different(lookups.rows_N)
        keys = KeyedJaggedTensor(keys=["f"], values=rows_U, lengths=torch.tensor([len(rows_U)]))
        found = torch.cat([part(keys)["f"].values() for part in self.parts], dim=1)
        leaf = found.detach().requires_grad_()
        self.pending.append((found, leaf))
        table = torch.cat([leaf.new_zeros(1, leaf.shape[1]), leaf])
        return _BagSums.apply(table, 1, False, *lookups._replace(rows_N=places_N))  # type: ignore[no-any-return, no-untyped-call]

    def step(self) -> None:
        for found, leaf in self.pending:
            found.backward(leaf.grad)  # type: ignore[no-untyped-call]
        self.pending.clear()


def _collection(name: str, own: Tensor, rows: int, kind: Any, group: ProcessGroup) -> Any:
    """Return a sharded EmbeddingCollection that starts from our values; its blocks of rows are neighbours, ours are dealt in turn."""
    from torchrec import EmbeddingCollection, EmbeddingConfig
    from torchrec.distributed.embedding import EmbeddingCollectionSharder
    from torchrec.distributed.sharding_plan import construct_module_sharding_plan, row_wise
    from torchrec.distributed.types import ShardingEnv

    width = own.shape[1]
    table = EmbeddingConfig(name=name, embedding_dim=width, num_embeddings=rows, feature_names=["f"])
    collection = EmbeddingCollection(tables=[table], device=torch.device("meta"))
    sharder = EmbeddingCollectionSharder(fused_params={"optimizer": kind, "learning_rate": RATE, "eps": 1e-10})
    plan = construct_module_sharding_plan(
        collection,
        per_param_sharding={name: row_wise(compute_kernel="fused")},  # the kernel that it takes by itself on a CPU corrupts the heap (1.8)
        sharder=sharder,
        local_size=group.size,
        world_size=group.size,
        device_type="cpu",
    )
    sharded = sharder.shard(collection, plan, ShardingEnv.from_process_group(dist.group.WORLD), torch.device("cpu"))
    shard = sharded.state_dict()[f"embeddings.{name}.weight"].local_shards()[0]
    first = shard.metadata.shard_offsets[0]
    for rank in range(group.size):  # each hands its rows round, a piece at a time
        held = own if rank == group.rank else torch.empty(len(range(rank, rows, group.size)), width)
        if group.size > 1:
            dist.broadcast(held := held.contiguous(), src=rank)
        here = range(-(-max(0, first - rank) // group.size), len(held))
        places = torch.arange(here.start, here.stop) * group.size + rank - first
        inside = places < len(shard.tensor)
        shard.tensor[places[inside]] = held[here.start : here.stop][inside]
    return sharded


if __name__ == "__main__":
    main()
