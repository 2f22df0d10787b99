"""Rows per second of every stage on the simulated feed, and the memory it took.

    python benchmarks/stages.py [--users 12500]

Prints one table. Numbers move from machine to machine: quote them with the machine, idle, and against each other.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from recsys import config, encoding, jobs, walk, world
from recsys.progress import Console

DEMO = Path(__file__).resolve().parent.parent / "pipelines" / "demo.toml"


def main() -> None:
    """Each stage once, in order, on one workspace; the batches are read twice and the second time counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=2_000, help="2,000 users make 156,000 impressions")
    users = parser.parse_args().users
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        options = config.load(DEMO, [f"source.users={users}", "evaluate.baselines=[]"])
        job = jobs.open_job(options, workspace, run=None, replace=False, console=Console(quiet=True))
        assert isinstance(options.source, config.WorldSource)
        raw = workspace / "raw"
        raw.mkdir()
        source = options.source
        seconds = timed(lambda: world.simulate(source, options.seed, raw))
        rows = world.read_truth(raw, ["slot"]).num_rows
        print(f"{'stage':<28}{'rows':>12}{'seconds':>10}{'rows/s':>14}{'peak MiB':>10}")
        show("simulate", rows, seconds)
        for name in ("ingest", "features", "encode", "train", "score", "evaluate"):
            show(name, rows, timed(lambda name=name: walk.STAGES[name](job)))
        days = encoding.EncodedDays(job.encoded, job.days("train"))
        for order in ("time", "shuffled"):
            timed(lambda order=order: read(days, order))
            show(f"batches to tensors, {order}", len(days), timed(lambda order=order: read(days, order)))


def read(days: encoding.EncodedDays, order: str) -> int:
    """Touches every batch of one epoch."""
    return sum(len(batch.labels) for batch in encoding.batches(days, batch_size=8192, order=order))


def timed(work: Callable[[], object]) -> float:
    """Seconds of wall clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def show(stage: str, rows: int, seconds: float) -> None:
    """One line of the table; memory is the most that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{stage:<28}{rows:>12,}{seconds:>10.2f}{np.round(rows / seconds):>14,.0f}{peak:>10,.0f}", flush=True)


if __name__ == "__main__":
    main()
