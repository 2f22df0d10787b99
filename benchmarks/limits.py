"""Hold each stage's time against a least time of this machine for the same rows.

    python benchmarks/limits.py [--users 12500] [--threads 2] [--rounds 3]

`benchmarks/demo.toml` runs once up to evaluate, without baselines, on a simulated log. In the same minutes two speeds of the machine are
measured: a product of matrices in fp32, and a copy of memory. With these, with Arrow's own reading and writing of the stage's files, and
with one query of DuckDB, each stage gets a least time. Only these parts of its work are in it:

- ingest: read the raw files once; write events, users and items once. The simulation of the log is not timed.
- features: one query of DuckDB that gives each impression the sums and counts of all signals, by entity and window, over whole days before
  its own, in a Parquet file. It does not know when an outcome came, and has no counter within the day, no history and no label.
- encode: read the examples once, copy what is written once.
- train: the multiplications of all row visits, forward and backward (three times those of a forward pass), at the speed of the product.
- score: read the encoded rows once, and their multiplications.
- evaluate: read the predictions once; per objective sort the rows with a label once (by one thread), and read a byte of weight per such row
  and replicate.

Prints the speeds, then of each stage its seconds, the least seconds, and the share of the least in its own. The seconds are without the
start of Python, and with the imports that a stage is the first to need (torch: a second of encode and of train). Measure on a quiet
machine, and quote shares.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from recsys import config, schema
from recsys.report.training_log import read_inside, read_journal
from recsys.workspace import (
    ENCODED,
    EVENTS,
    EXAMPLES,
    INSIDE,
    ITEMS,
    JOURNAL,
    MODEL,
    PART,
    PREDICTIONS,
    QUARANTINE,
    RAW,
    RUNS,
    USERS,
    day_folder,
    days_in,
)

PINNED = Path(__file__).resolve().parent / "demo.toml"
SIDE = 2048  # of a square matrix
COPIED = 1 << 27  # float32 numbers in a copy
FLOAT = 4  # bytes
BACKWARD = 2  # products of a backward pass per product of the forward pass: for the inputs, and for the weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=12_500, help="of the simulated log; each leaves some eighty impressions")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement of a limit; the fastest counts")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pa.set_cpu_count(arguments.threads)
    overrides = [f"source.users={arguments.users}", "evaluate.baselines=[]", "train.device=cpu"]
    pipeline = config.load(PINNED, overrides)
    with tempfile.TemporaryDirectory(prefix="limits-") as scratch:
        seconds = stage_seconds(overrides, Path(scratch), arguments.threads)
        machine = Machine(pipeline, Path(scratch) / pipeline.name, arguments.threads, arguments.rounds)
        print(f"matrix product, fp32: {machine.multiplications:,.0f} multiplications per second")
        print(f"copy of memory: {machine.copied:,.0f} bytes per second, each read and written")
        print(f"{'stage':<12}{'seconds':>9}{'least seconds':>15}{'share':>8}")
        for stage, least in machine.least_seconds().items():
            print(f"{stage:<12}{seconds[stage]:>9.2f}{least:>15.3f}{least / seconds[stage]:>8.1%}", flush=True)


def pinned(workspace: Path, overrides: Sequence[str], threads: int) -> list[str | Path]:
    """Return the command that runs the pinned pipeline in a workspace."""
    words = [word for text in overrides for word in ("--set", text)]
    return [sys.executable, "-m", "recsys", "run", PINNED, "--workspace", workspace, "--jobs", str(threads), *words]


def stage_seconds(overrides: Sequence[str], workspace: Path, threads: int) -> dict[str, float]:
    """Run the stages, ingest a second time when its raw files stand. Return the seconds of each, without the start of Python."""
    seconds: dict[str, float] = {}
    for until in ("ingest", "evaluate"):
        command = [*pinned(workspace, overrides, threads), "--log", "json", "--until", until]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
        if until == "ingest":
            forget_ingested(workspace)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        seconds |= {event["stage"]: event["seconds"] for event in events if event.get("event") == "stage"}
    return seconds


def forget_ingested(workspace: Path) -> None:
    """Remove what ingest has written, but for the simulated raw files."""
    for written in (EVENTS, USERS, ITEMS, QUARANTINE):
        shutil.rmtree(workspace / config.load(PINNED).name / written)


class Machine:
    """Measure what this machine can do, and the least seconds of each stage for what lies in a pipeline's folder."""

    def __init__(self, pipeline: config.Pipeline, folder: Path, threads: int, rounds: int) -> None:
        self._pipeline, self._folder, self._threads, self._rounds = pipeline, folder, threads, rounds
        (self._run,) = (folder / RUNS).iterdir()
        left, right = torch.randn(2, SIDE, SIDE).unbind()
        self.multiplications = SIDE**3 / self._fastest(lambda: torch.mm(left, right))
        source, target = torch.zeros(COPIED), torch.empty(COPIED)
        self.copied = COPIED * FLOAT / self._fastest(lambda: target.copy_(source))

    def least_seconds(self) -> dict[str, float]:
        return {
            "ingest": self._ingest(),
            "features": self._fastest(self._like_sums),
            "encode": self._encode(),
            "train": self._row_visits() * self._per_row() * (1 + BACKWARD) / self.multiplications,
            "score": self._score(),
            "evaluate": self._evaluate(),
        }

    def _fastest(self, work: Callable[[], object]) -> float:
        """Return the seconds of the fastest of some rounds, after one that is not timed."""
        work()
        return min(timed(work) for _ in range(self._rounds))

    def _read(self, files: Sequence[Path]) -> float:
        return self._fastest(lambda: [pq.read_table(file, partitioning=None) for file in files])

    def _ingest(self) -> float:
        files = [*self._days(EVENTS), *(self._folder / name / PART for name in (USERS, ITEMS))]
        written = [pq.read_table(file, partitioning=None) for file in files]
        return self._read([self._folder / RAW / "impressions.parquet"]) + self._fastest(lambda: write(written, self._threads))

    def _encode(self) -> float:
        copied = sum(file.stat().st_size for file in self._days(ENCODED))
        return self._read(self._days(EXAMPLES)) + copied / self.copied

    def _days(self, kind: str) -> list[Path]:
        """Return the files of rows, one per day, of a folder of days, or of the one such folder in it."""
        folder = self._folder / kind
        within = folder if days_in(folder) else next(folder.iterdir())
        return [file for day in days_in(within) for file in day_folder(within, day).glob("part-0.*")]

    def _like_sums(self) -> None:
        """Write, by one query, sums and counts of each signal by entity and window, for each impression of a day that gives examples.

        Outcomes are first summed by entity and day, because whole days are asked for.
        """
        features = self._pipeline.features
        wanted = ", ".join(f"'{day}'" for day in days_in(next((self._folder / EXAMPLES).iterdir())))
        tables, columns, joins = [], [], []
        for number, entity in enumerate(features.entities):
            key = ", ".join(entity)
            daily = [*(f'sum("log.{signal}") as s{n}' for n, signal in enumerate(features.signals)), "count(*) as rows"]
            names = [text.rpartition(" ")[2] for text in daily]
            sums = [f"sum({name}) over w{days} as e{number}_{days}_{name}" for days in features.windows for name in names]
            windows = [
                f"w{days} as (partition by {key} order by day range between interval {days} days preceding and interval 1 day preceding)"
                for days in features.windows
            ]
            tables.append(f"daily{number} as (select {key}, day, {', '.join(daily)} from log group by all)")
            tables.append(f"past{number} as (select {key}, day, {', '.join(sums)} from daily{number} window {', '.join(windows)})")
            columns.append(f"past{number}.* exclude ({key}, day)")
            joins.append(f"join past{number} using ({key}, day)")
        with duckdb.connect(config={"threads": self._threads}) as engine, tempfile.TemporaryDirectory() as scratch:
            engine.execute(f"""
                copy (
                    with log as (
                        select events.*, topic, author, epoch_ms(timestamp)::date as day
                        from read_parquet('{self._folder / EVENTS}/*/{PART}', hive_partitioning = false) as events
                        join read_parquet('{self._folder / ITEMS / PART}') using (item_id)
                    ), {", ".join(tables)}
                    select event_id, {", ".join(columns)} from log {" ".join(joins)} where day in ({wanted})
                ) to '{scratch}/sums.parquet' (format parquet, compression zstd)
            """)

    def _per_row(self) -> int:
        """Return the multiplications of a row's forward pass."""
        inside = read_inside(self._run / MODEL / INSIDE)
        assert inside is not None
        return inside.multiplications

    def _row_visits(self) -> int:
        """Return the rows of all steps. In time order they are counted on from day to day, and through the refit."""
        journal = read_journal(self._run / JOURNAL)
        assert journal is not None
        return int(journal.curves["step"].max()) * int(self._pipeline.train.batch_size)

    def _score(self) -> float:
        tested = {day_folder(Path(), day).name for day in self._pipeline.split.days(schema.TEST)}
        examples, encoded = ([file for file in self._days(kind) if file.parent.name in tested] for kind in (EXAMPLES, ENCODED))
        rows = sum(pq.read_metadata(file).num_rows for file in examples)
        return self._fastest(lambda: [file.read_bytes() for file in encoded]) + rows * self._per_row() / self.multiplications

    def _evaluate(self) -> float:
        labels = [schema.LABEL + objective.name for objective in self._pipeline.objective]
        predictions = self._run / PREDICTIONS
        least = self._read([predictions])
        for column in pq.read_table(predictions, columns=labels).columns:
            scores = np.random.default_rng(0).random(len(column) - column.null_count)
            least += self._fastest(partial(np.argsort, scores)) + len(scores) * self._pipeline.evaluate.bootstrap / (2 * self.copied)
        return least


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def write(tables: Sequence[pa.Table], threads: int) -> None:
    """Write each table to a file of its own, so many at a time."""

    def write_one(table: pa.Table) -> None:
        with tempfile.TemporaryFile() as file:
            pq.write_table(table, file, compression="zstd")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write_one, tables))


if __name__ == "__main__":
    main()
