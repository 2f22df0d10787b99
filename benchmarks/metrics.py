"""AUC, GAUC and bootstrap replicates of both on a large log, beside a loop over users with scikit-learn; wall clock, CPU and memory.

    python benchmarks/metrics.py [--rows 10000000] [--users 200000] [--objectives 4] [--replicates 1000]

What is timed is the whole of `evaluate(table, objectives, metrics=("auc", "gauc"))`: an Arrow table in memory in, long rows out, its
event ids in no order, as hashes are. Then its two parts alone, reading (sorted by event_id, users numbered, labels and predictions
checked and as arrays) and the metrics; they come second, and memory that the process holds already is cheaper to use again. The peers
are too slow to run out: the loop over users is timed on `--loop-users` of them drawn at random, the pooled AUC once, on one objective,
and scaled as the line says (drawing the rows of a replicate comes on top). Numbers move from machine to machine: quote them with the
machine, idle, and against each other.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pyarrow as pa
from sklearn.metrics import roc_auc_score

from recsys import Objective, evaluate
from recsys.evaluation.inputs.scored_impressions import as_table, read_impressions
from recsys.evaluation.inputs.scores import check_predictions, read_scores
from recsys.evaluation.inputs.targets import targets
from recsys.evaluation.long_rows import Settings, long_rows
from recsys.evaluation.metrics import METRICS

WANTED = ("auc", "gauc")
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--objectives", type=int, default=4)
    parser.add_argument("--replicates", type=int, default=1_000)
    parser.add_argument("--loop-users", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    objectives = [Objective(name=f"objective_{k}", label="x") for k in range(arguments.objectives)]
    table = a_log(rng, arguments.rows, arguments.users, objectives)
    print(f"{arguments.rows:,} rows, {arguments.users:,} users, {arguments.objectives} objectives, {arguments.replicates:,} replicates")
    print(f"{'what':<58}{'wall s':>10}{'CPU s':>10}{'peak MiB':>10}")
    show("the log itself, as an Arrow table", 0.0, 0.0)
    found = timed(
        "evaluate(): table to long rows", lambda: evaluate(table, objectives, run="r", bootstrap=arguments.replicates, metrics=WANTED)
    )
    parts(table, objectives, arguments.replicates)
    peers(rng, table, objectives, arguments.loop_users, arguments.replicates, found.to_pandas())


def a_log(rng: np.random.Generator, rows: int, users: int, objectives: list[Objective]) -> pa.Table:
    """Users of log-normal size with a level of their own; labels drawn from the predictions, which are float32 as a net's."""
    size = rng.lognormal(0, 1, users)
    user = rng.choice(users, rows, p=size / size.sum())
    columns = {"event_id": rng.permutation(rows), "user_id": user, "timestamp": rng.integers(0, 7 * 86_400_000, rows)}
    for k, objective in enumerate(objectives):
        logit = rng.normal(size=users)[user] + rng.normal(size=rows) - 1 - k
        probability = (1 / (1 + np.exp(-logit))).astype(np.float32)
        columns[f"label.{objective.name}"] = (rng.random(rows) < probability).astype(np.float32)
        columns[f"pred.{objective.name}"] = probability
    return pa.table(columns)


def parts(table: pa.Table, objectives: list[Objective], replicates: int) -> None:
    """Do what `evaluate` does, in two steps."""

    def read():
        ordered = as_table(table, "r")
        scores = read_scores(ordered, objectives, "r", labels=True)
        check_predictions(scores, scores.label)
        return read_impressions(ordered, "r", None), scores

    impressions, scores = timed("  reading: table to arrays", read)
    settings = Settings("r", replicates, 0.95, 0, {})
    metrics = [metric for metric in METRICS if metric.name in WANTED]
    timed("  metrics: arrays to long rows", lambda: long_rows(impressions, [scores], settings, targets(objectives), metrics))


def peers(rng, table: pa.Table, objectives: list[Objective], loop_users: int, replicates: int, found) -> None:
    """The loop and the pooled AUC of scikit-learn, scaled; the pooled value must be ours."""
    user_N = table["user_id"].to_numpy()
    order_N = np.argsort(user_N, kind="stable")
    some = np.split(order_N, np.flatnonzero(np.diff(user_N[order_N])) + 1)
    some = [some[at] for at in rng.choice(len(some), min(loop_users, len(some)), replace=False)]
    scale = len(np.unique(user_N)) / len(some)
    of = [(table[f"label.{o.name}"].to_numpy(), table[f"pred.{o.name}"].to_numpy()) for o in objectives]
    timed(f"scikit-learn, GAUC by a loop: {len(some):,} users x {scale:.0f}", lambda: [gauc_by_loop(*each, some) for each in of], scale)
    times = len(objectives) * (1 + replicates)
    pooled = timed(f"scikit-learn, pooled AUC: once x {times:,}", lambda: roc_auc_score(*of[0]), times)
    ours = found[(found["objective"] == objectives[0].name) & (found["metric"] == "auc")]["value"].iloc[0]
    print(f"pooled AUC of {objectives[0].name}: {ours:.9f}, scikit-learn's differs by {abs(ours - pooled):.1e}")


def gauc_by_loop(label_N, prediction_N, rows_of_users: list) -> float:
    """The mean AUC of users with both classes, weighted by their rows."""
    total = weight = 0.0
    for at in rows_of_users:
        label = label_N[at]
        if label.min() < label.max():
            total += len(at) * roc_auc_score(label, prediction_N[at])
            weight += len(at)
    return total / weight


def timed(what: str, work: Callable[[], T], scale: float = 1.0) -> T:
    """One line of the table, and what the work gave."""
    wall, cpu = time.perf_counter(), time.process_time()
    given = work()
    show(what, scale * (time.perf_counter() - wall), scale * (time.process_time() - cpu))
    return given


def show(what: str, wall: float, cpu: float) -> None:
    """Memory is the most that this process has held so far, the log included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:<58}{wall:>10,.2f}{cpu:>10,.2f}{peak:>10,.0f}", flush=True)


if __name__ == "__main__":
    main()
