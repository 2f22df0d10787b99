"""Measure `recsys predict` on a trained run: how near its predictions are to those of the run, how fast it is, and its peak memory.

    python benchmarks/candidates.py data/demo/runs/mmoe-… [--rows 1000000 3000000] [--seed 0]

First the impressions of the last test day are asked for, shuffled. Prints the largest difference of each prediction to that of the run with
the position missing, of a probability itself and of another value as a share of it. Then so many candidates are asked for at noon of the
day after the log: users of that day, a hundred random items each, and the rest of an impression. Each call is a process of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import recsys
from recsys import artifacts, schema
from recsys.days import Day
from recsys.objectives import Objective
from recsys.workspace import EVENTS, PART, PREDICTIONS, day_folder

EACH = 100  # candidates per user


def main() -> None:
    """Ask for the impressions of the test day, and then for candidates, as often as sizes are given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a trained run")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    run, rng = recsys.open_run(arguments.run.resolve()), np.random.default_rng(arguments.seed)
    day = run.pipeline.split.days(schema.TEST)[-1]
    events = _without_position(run.path.parent.parent, day)
    with tempfile.TemporaryDirectory(prefix="candidates-") as folder:
        given, target = Path(folder) / "given.parquet", Path(folder) / "answers.parquet"
        pq.write_table(events.take(pa.array(rng.permutation(len(events)))), given)
        _ask(run.path, given, target)
        for name, largest in differences(pq.read_table(target), run, day).items():
            print(f"{len(events):,} impressions of {day}: {name} differs by {largest:.1e} at most", flush=True)
        noon = Day(day, run.pipeline.zone).end + 43_200_000
        for rows in arguments.rows:
            pq.write_table(candidates(events, rows, rng), given)
            seconds, peak = _ask(run.path, given, target, "--at", str(noon))
            print(f"{rows:,} candidates: {seconds:.1f} s, {rows / seconds:,.0f} per second, at most {peak:,} MiB", flush=True)


def _without_position(folder: Path, day: str) -> pa.Table:
    events = artifacts.read_table(day_folder(folder / EVENTS, day) / PART)
    return events.select([name for name in events.column_names if name != schema.POSITION])


def candidates(events: pa.Table, rows: int, rng: np.random.Generator) -> pa.Table:
    """Return so many candidates: users of these impressions, and random items among theirs. Their other columns are an impression's."""
    users = rng.choice(events[schema.USER_ID].unique().to_numpy(), -(-rows // EACH))
    others = events.drop_columns([schema.EVENT_ID, schema.TIMESTAMP]).take(pa.array(rng.integers(len(events), size=rows)))
    drawn = {schema.USER_ID: np.repeat(users, EACH)[:rows], schema.ITEM_ID: rng.choice(events[schema.ITEM_ID].unique().to_numpy(), rows)}
    for name, values in drawn.items():
        others = others.set_column(others.column_names.index(name), name, pa.array(values))
    return others


def differences(answers: pa.Table, run: recsys.Run, day: str) -> dict[str, float]:
    """Return the largest difference of each prediction, and of the score, to those of the run with the position missing."""
    predictions = artifacts.read_table(run.path / PREDICTIONS)
    predictions = predictions.filter(pc.equal(predictions[schema.DAY], day)).sort_by(schema.EVENT_ID)
    answers = answers.sort_by(schema.EVENT_ID)
    found = {objective.name: _largest(answers, predictions, objective) for objective in run.pipeline.objective}
    return found | {schema.SCORE: float(np.abs(answers[schema.SCORE].to_numpy() - predictions[schema.SCORE].to_numpy()).max())}


def _largest(answers: pa.Table, predictions: pa.Table, objective: Objective) -> float:
    rank = schema.rank_column(objective.name)
    column = schema.prediction_column(objective.name)
    left, right = answers[column].to_numpy(), predictions[rank if rank in predictions.column_names else column].to_numpy()
    return float((np.abs(left - right) / (1 if objective.is_probability else np.abs(right))).max())


def _ask(run: Path, given: Path, target: Path, *options: str) -> tuple[float, int]:
    """Ask in a process of its own. Return the seconds, with the start of Python, and the peak memory in MiB."""
    command = [sys.executable, "-m", "recsys", "predict", run, given, "--out", target, "--log", "json", *options]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(done.stderr)
    (peak,) = [line["peak_mib"] for line in map(json.loads, done.stdout.splitlines()) if line.get("event") == "predict"]
    return seconds, peak


if __name__ == "__main__":
    main()
