"""Milliseconds per training step of every balancing method, beside the plain sum.

    OMP_NUM_THREADS=1 python benchmarks/balancing.py [--objectives 4] [--batch 4096] [--rounds 7] [--tables 1000 200000]
        [--methods fixed gradnorm …]

A step is `training.descend`: forward, the backward pass or passes that the method asks for, its solver, the update of all weights and
of the embedding table's touched rows. The model is MMoE with 8 experts of [256, 128] and towers of 64 on 13 numbers and 20 categories
(table rows of 16), four binary objectives unless told otherwise. Time is the process's on the CPU, all its threads together. The methods
take turns, so that a busy machine slows all of them alike; a method's ratio to `fixed` is the median over the rounds.
"""

import argparse
import statistics
import time

import torch

from recsys import balancing, config
from recsys.encoding.layout import Batch, Layout, Slot
from recsys.losses import ObjectiveLosses
from recsys.models import build
from recsys.objectives import Objective
from recsys.scoring.devices import decide, settled
from recsys.scoring.member import Member
from recsys.training.descend import descend
from recsys.training.state import Place, State, optimisers

NUMBERS, CATEGORIES, WIDTH = 13, 20, 16
MODEL = {"d_shared": 0, "d_tower": 64, "d_embedding": WIDTH, "mmoe": {"num_experts": 8, "hidden": (256, 128)}}
REFERENCE = "fixed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objectives", type=int, default=4)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tables", type=int, nargs="+", default=[1_000, 200_000], help="rows of the embedding table")
    parser.add_argument("--methods", nargs="+", choices=list(balancing.BALANCERS), default=list(balancing.BALANCERS))
    arguments = parser.parse_args()
    methods = list(dict.fromkeys([REFERENCE, *arguments.methods]))
    print(f"{'table rows':>12}  {'method':<24}{'acts on':<11}{'ms per step':>12}{'of the sum':>12}")
    for rows in arguments.tables:
        seconds = times(methods, objectives_of(arguments.objectives), rows, arguments.batch, arguments.rounds)
        for method in methods:
            ratio = statistics.median(a / b for a, b in zip(seconds[method], seconds[REFERENCE], strict=True))
            milliseconds = 1e3 * statistics.median(seconds[method])
            print(f"{rows:>12,}  {method:<24}{balancing.BALANCERS[method].acts_on:<11}{milliseconds:>12.1f}{ratio:>12.2f}", flush=True)


def objectives_of(num: int) -> tuple[Objective, ...]:
    return tuple(Objective(name=f"objective_{k}", label="x", group="engagement" if k < 2 else "satisfaction") for k in range(num))


def times(methods: list[str], objectives: tuple[Objective, ...], table_rows: int, batch_rows: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of a step of each method, one per round; in each round all methods learn one batch, in turn."""
    compute = decide(config.Train(device="cpu", precision="fp32"))
    states = {method: state_of(method, objectives, table_rows) for method in methods}
    seconds: dict[str, list[float]] = {method: [] for method in methods}
    with settled(compute, deterministic=False):
        for number in range(rounds + 2):
            batch = random_batch(batch_rows, len(objectives), table_rows, number)
            for method, state in states.items():
                start = time.process_time()
                descend(state, batch, compute)
                if number >= 2:  # the first steps find the heads and fill the allocator
                    seconds[method].append(time.process_time() - start)
    return seconds


def state_of(method: str, objectives: tuple[Objective, ...], table_rows: int) -> State:
    options = config.Model.model_validate(MODEL)
    losses = ObjectiveLosses.fit(objectives, random_batch(1000, len(objectives), table_rows, 0).labels.numpy())
    member = Member(build(options, layout(objectives, table_rows), objectives, losses.start_K, 1), losses)
    balancer = balancing.build(config.Balance.model_validate({"method": method}), objectives)
    return State(member, balancer, *optimisers(member, config.Train(), learning_rate=0.002), Place())


def layout(objectives: tuple[Objective, ...], table_rows: int) -> Layout:
    slots = tuple(Slot(feature=f"item.{n}", space=f"item.{n}", start=n, width=1) for n in range(CATEGORIES))
    return Layout(
        dense=tuple(f"user.{n}" for n in range(NUMBERS)),
        quantiles=((),) * NUMBERS,  # numbers without bins
        slots=slots,
        history_length=0,
        history_slots=(),
        history_signals=(),
        num_rows=table_rows,
        unknown_rows={slot.space: n + 1 for n, slot in enumerate(slots)},
        positions=10,
        devices=3,
        objectives=tuple(objective.name for objective in objectives),
    )


def random_batch(rows: int, num_objectives: int, table_rows: int, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(
        dense=torch.randn(rows, NUMBERS, generator=generator),
        rows=torch.randint(1, table_rows, (rows, CATEGORIES), generator=generator),
        history_rows=torch.empty(rows, 0, 0, dtype=torch.int64),
        history_signals=torch.empty(rows, 0, 0),
        history_length=torch.zeros(rows, dtype=torch.int64),
        bias=torch.randint(0, 3, (rows, 2), generator=generator),
        labels=(torch.rand(rows, num_objectives, generator=generator) < 0.2).float(),
        durations=torch.empty(rows, 0),
        weights=torch.ones(rows),
    )


if __name__ == "__main__":
    main()
