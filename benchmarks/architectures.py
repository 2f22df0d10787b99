"""Multiplications, parameters and training rows per second of every architecture, beside a shared bottom.

    python benchmarks/architectures.py [--budget 500000] [--batch 1024] [--rounds 7]

One training step is a forward and a backward pass and the update of all weights, on random rows (60 numbers, 20 categories, a
history of 10, six objectives). Without --budget each way has its default widths. The ways take turns, so that a busy machine slows
all of them alike; a way's ratio to the shared bottom is the median over the rounds.
"""

import argparse
import statistics
import time

import torch

from recsys import balancing, config
from recsys.encoding.layout import Batch, Layout, Slot
from recsys.losses import ObjectiveLosses
from recsys.models import ARCHITECTURES, build, multiplications, parameters, sized
from recsys.objectives import Objective
from recsys.scoring.member import Member
from recsys.training.state import optimisers

NUMBERS, CATEGORIES, HISTORY, SIGNALS, TABLE_ROWS = 60, 20, 10, 4, 50_000
OBJECTIVES = tuple(Objective(name=f"objective_{k}", label="x", group="engagement" if k < 3 else "satisfaction") for k in range(6))
REFERENCE = "shared_bottom"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, help="multiplications per row that every way is sized to")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    batch = random_batch(arguments.batch)
    steps = {way: Step(way, arguments.budget) for way in ARCHITECTURES}
    seconds: dict[str, list[float]] = {way: [] for way in steps}
    for way in steps:
        steps[way](batch)
    for _ in range(arguments.rounds):
        for way, step in steps.items():
            start = time.perf_counter()
            step(batch)
            seconds[way].append(time.perf_counter() - start)
    one = Batch(*(tensor[:1] for tensor in batch))
    print(f"{'way':<20}{'multiplications':>16}{'parameters':>12}{'rows/s':>10}{'of shared_bottom':>18}")
    for way, step in steps.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[REFERENCE], seconds[way], strict=True))
        rows_per_second = arguments.batch / statistics.median(seconds[way])
        cost, size = multiplications(step.member.ranker, one), parameters(step.member.ranker).dense
        print(f"{way:<20}{cost:>16,}{size:>12,}{rows_per_second:>10,.0f}{ratio:>18.2f}")


class Step:
    """One update of one architecture."""

    def __init__(self, way: str, budget: int | None) -> None:
        options = sized(
            config.Model.model_validate({"architecture": way, "budget_macs": budget}), layout(), OBJECTIVES, architecture=ARCHITECTURES[way]
        )
        losses = ObjectiveLosses.fit(OBJECTIVES, random_batch(1000).labels.numpy())
        self.member = Member(build(options, layout(), OBJECTIVES, losses.start_K, 1), losses)
        self.balancer = balancing.build(config.Balance(), OBJECTIVES)
        self.optimisers = optimisers(self.member, config.Train(), learning_rate=0.002)

    def __call__(self, batch: Batch) -> None:
        output = self.member.ranker(batch, position="logged")
        losses_K, _ = self.member.losses(output.outputs_BK, batch.labels)
        ((self.balancer(losses_K.detach()) * losses_K).sum() + output.penalty).backward()
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)


def layout() -> Layout:
    slots = tuple(Slot(feature=f"item.{n}", space=f"item.{n}", start=n, width=1) for n in range(CATEGORIES))
    return Layout(
        dense=tuple(f"user.{n}" for n in range(NUMBERS)),
        quantiles=((),) * NUMBERS,  # numbers without bins
        slots=slots,
        history_length=HISTORY,
        history_slots=slots[:2],
        history_signals=tuple(f"signal.{n}" for n in range(SIGNALS)),
        num_rows=TABLE_ROWS,
        unknown_rows={slot.space: n + 1 for n, slot in enumerate(slots)},
        positions=10,
        devices=3,
        objectives=tuple(objective.name for objective in OBJECTIVES),
    )


def random_batch(rows: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(
        dense=torch.randn(rows, NUMBERS, generator=generator),
        rows=torch.randint(1, TABLE_ROWS, (rows, CATEGORIES), generator=generator),
        history_rows=torch.randint(1, TABLE_ROWS, (rows, HISTORY, 2), generator=generator),
        history_signals=torch.randn(rows, HISTORY, SIGNALS, generator=generator),
        history_length=torch.full((rows,), HISTORY),
        bias=torch.randint(0, 3, (rows, 2), generator=generator),
        labels=(torch.rand(rows, len(OBJECTIVES), generator=generator) < 0.2).float(),
        durations=torch.empty(rows, 0),
        weights=torch.ones(rows),
    )


if __name__ == "__main__":
    main()
