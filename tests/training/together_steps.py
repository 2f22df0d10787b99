"""Steps of a training, by as many processes as `torchrun` starts: python -m tests.training.together_steps ENCODED OUT CASES.

CASES is JSON: name → the arguments of `steps_of`. OUT/NAME.safetensors gets the losses of every step and all weights afterwards. Every
process must hold the same bits then.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch import Tensor

from recsys.encoding import batches, steps_per_epoch
from recsys.encoding.layout import Batch
from recsys.nn import embeddings
from recsys.process_group import ProcessGroup, sharing
from recsys.processes.together import joined, joining
from recsys.progress import Console
from recsys.scoring.devices import Compute
from recsys.scoring.tensor_files import hand_over, write_tensors
from recsys.training.checkpoint import Checkpoints
from recsys.training.descend import descend
from recsys.training.interruption import Guard
from recsys.training.journal import Journal
from recsys.training.start import fresh_state
from recsys.training.state import State
from recsys.training.work import Work, open_training

from .conftest import OBJECTIVES, pipeline_of


def main() -> None:
    encoded, out, cases = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    torch.set_num_threads(1)
    for name, case in cases.items():
        losses, state = steps_of(encoded, out, **case)
        group, left = joined(), state.spread({"losses": losses, **state.member.state_dict()})
        for key, tensor in left.items():
            if isinstance(tensor, Tensor):
                assert group.is_same_in_all(crc32(tensor.numpy().tobytes())), f"{name}: {key} differs between processes"
        assert group.is_same_in_all(crc32(torch.get_rng_state().numpy().tobytes())), f"{name}: random states differ"
        if group.is_first:
            write_tensors(out / f"{name}.safetensors", left)
        else:
            hand_over(left)


def steps_of(
    encoded: Path,
    out: Path,
    *,
    model: dict[str, Any],
    balance: dict[str, Any] | None = None,
    train: dict[str, Any] | None = None,
    seed: int = 7,
    batch_size: int = 97,
    double: bool = True,
    halves: bool = False,
    given: bool = False,
    large_tables: bool = False,
    steps: int = 40,
    goes_on_from: int = 0,
    own_folder: str = "",
) -> tuple[Tensor, State]:
    """Take the steps from `goes_on_from` on, whose checkpoint stands in `out/own_folder`, to `steps`; write a checkpoint.

    Return the losses of these steps [steps, K] and what is left. `halves`: one process adds up the gradients of two halves of each batch.
    """
    embeddings.DENSE_ROWS = 0 if large_tables else 30_000
    objectives = [dict(each) for each in OBJECTIVES]
    if given:
        objectives[2]["given"] = "click"
    pipeline = pipeline_of(
        model=model, objectives=objectives, balance=balance or {}, seed=seed, train={"order": "shuffled", "averaging": 0, **(train or {})}
    )
    compute = Compute(torch.device("cpu"), "fp32", joined())
    with tempfile.TemporaryDirectory() as folder:
        training = open_training(pipeline, encoded, compute)
        with Journal(Path(folder) / "journal.jsonl") as journal:
            guard = Guard(Checkpoints(Path(folder), ""), "state-0", journal, lambda: False, facts={}, seconds=1e9)
            work = Work(**vars(training), journal=journal, guard=guard, console=Console(quiet=True))
            state = fresh_state(work, 0, "choose")
            if double:
                _as_double(state)
            checkpoints = Checkpoints(out / own_folder, "", None if compute.group.is_first else Path(folder))
            if goes_on_from:
                saved = checkpoints.read(f"state-{goes_on_from}")
                assert saved is not None
                state.restore(saved)
            losses = []
            for batch in _todo(work, seed, batch_size, range(goes_on_from, steps), compute.group):
                one = Batch(*(tensor.double() if double and tensor.is_floating_point() else tensor for tensor in batch))
                losses.append(_by_halves(state, one) if halves else descend(state, one, compute).losses_K)
            checkpoints.write(f"state-{steps}", state.tensors(), state.facts())
    return torch.stack(losses), state


def _todo(work: Work, seed: int, batch_size: int, steps: range, group: ProcessGroup) -> Iterator[Batch]:
    """Yield the batches of these steps, which are counted over epochs."""
    days = work.open(work.train_days)
    per_epoch = steps_per_epoch(days, batch_size)
    for epoch in range(steps.start // per_epoch, -(-steps.stop // per_epoch)):
        first = max(0, steps.start - epoch * per_epoch)
        todo = batches(days, batch_size=batch_size, order="shuffled", seed=seed, epoch=epoch, start_step=first, group=group)
        yield from islice(todo, steps.stop - epoch * per_epoch - first)


def _as_double(state: State) -> None:
    state.member.double()
    for table, kept in state.tables.state.items():
        state.tables.state[table] = {name: tensor.double() for name, tensor in kept.items()}


class _Half(ProcessGroup):
    """One of two halves of a batch that one process computes one after the other. `summed` is asked for the counts alone."""

    counts_K: Tensor

    def summed(self, tensor: Tensor) -> Tensor:
        return self.counts_K


def _by_halves(state: State, batch: Batch) -> Tensor:
    """Take a step with fixed weights, whose gradient is added up over two halves of the batch. Return no losses."""
    random, rows = torch.get_rng_state(), len(batch.labels)
    weights_K = state.balancer.preference_K.float()
    for rank in range(2):
        torch.set_rng_state(random)  # each half draws the numbers of the whole batch, and keeps its own
        half = _Half(rank, 2)
        object.__setattr__(half, "counts_K", ((~batch.labels.isnan()) * batch.weights[:, None]).sum(0))
        own = Batch(*(tensor[rank::2] for tensor in batch))
        with sharing(half, rows):
            output = state.member.ranker(own, position="logged")
            losses_K, _ = state.member.losses(output.outputs_BK, own.labels, own.durations, own.weights)
        (weights_K * losses_K).sum().backward()
    for optimiser in (state.dense, state.tables):
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return torch.zeros(len(weights_K))


if __name__ == "__main__":
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        main()
    else:
        with joining():  # all processes run the same lines; those of the command line would wait for tasks
            main()
