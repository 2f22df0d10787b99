"""Train this project's MMoE on the arrays of `peers.py`, from the log to the trained model.

The stage `train` is run with one pass, and with three. The difference of the two is the time of two passes over the rows, without the start
and the end of the stage. A training before these is not timed: it imports what is imported once.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import recsys
from recsys import jobs, walk
from recsys.progress import Console
from recsys.threads import bound_threads

PASSES = (1, 3)
TEST_ROWS = 100
DAY_S = 86_400


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--bf16", action="store_true")
    arguments = parser.parse_args()
    bound_threads(arguments.threads)
    arrays = np.load(arguments.arrays)
    rows = len(arrays["ids"])
    with tempfile.TemporaryDirectory(prefix="ours-") as scratch:
        folder = Path(scratch)
        write_log(arrays, folder / "log.parquet")
        (folder / "peers.toml").write_text(config(arrays, folder / "log.parquet", arguments.batch), encoding="utf-8")
        precision = ["train.precision=bf16"] if arguments.bf16 else []
        seconds_of(folder, ["seed=1", "train.passes=1", *precision])
        fewer, more = (seconds_of(folder, [f"train.passes={passes}", *precision]) for passes in PASSES)
    if more <= fewer:
        sys.exit(f"found {fewer:.2f} s for {PASSES[0]} pass and {more:.2f} s for {PASSES[1]}, expected more. Fix: --rows with more rows")
    print(json.dumps({"rows_per_second": (PASSES[1] - PASSES[0]) * rows / (more - fewer)}))


def write_log(arrays: "np.lib.npyio.NpzFile", path: Path) -> None:
    """Write the rows on one day, and a few of them again on the next day, because a split needs a test day."""
    ids, numbers, labels = arrays["ids"], arrays["numbers"], arrays["labels"]
    log = pd.DataFrame({f"id_{n}": column.astype(str) for n, column in enumerate(ids.T)})
    log = log.assign(**{f"x_{n}": column for n, column in enumerate(numbers.T)}, **{f"y_{n}": column for n, column in enumerate(labels.T)})
    log["timestamp"] = 1_704_067_200 + np.arange(len(log)) * (DAY_S - 1) // len(log)
    log = pd.concat([log, log.head(TEST_ROWS).assign(timestamp=log["timestamp"].iloc[:TEST_ROWS] + DAY_S)], ignore_index=True)
    log.assign(user_id=np.arange(len(log)), item_id=np.arange(len(log)) % 1000).to_parquet(path, index=False)


def config(arrays: "np.lib.npyio.NpzFile", log: Path, batch: int) -> str:
    """Return the TOML of the shape: of the log the columns of the arrays alone, and no part of the net that the peers do not have."""
    ids, numbers = arrays["ids"].shape[1], arrays["numbers"].shape[1]
    names = [*(f"id_{n}" for n in range(ids)), *(f"x_{n}" for n in range(numbers))]
    objectives = "\n".join(f'[[objective]]\nname = "y_{n}"\nlabel = "y_{n} = 1"\n' for n in range(arrays["labels"].shape[1]))
    return f"""
name = "peers"
[source]
kind = "table"
log = "{log}"
time = {{ unit = "s" }}
[split]
train = ["2024-01-01", "2024-01-01"]
test = ["2024-01-02", "2024-01-02"]
{objectives}
[features]
context = {json.dumps(names)}
category = {json.dumps(names[:ids])}
signals = []
entities = []
today = []
history = 0
min_count = 1
[model]
members = 1
numeric_bins = 0
d_embedding = 16
d_shared = 0
d_tower = 64
dropout = 0.0
cross_rank = 0
skip = false
[model.mmoe]
num_experts = 8
hidden = [256, 128]
[train]
batch_size = {batch}
averaging = 0
[evaluate]
baselines = []
"""


def seconds_of(folder: Path, overrides: list[str]) -> float:
    """Return the seconds of the stage `train`; the stages before it are made first."""
    pipeline = recsys.load_pipeline(folder / "peers.toml", overrides)
    job = jobs.open_job(pipeline, folder / "data", run=None, replace=False, console=Console(quiet=True))
    walk.run(job, until="encode")
    start = time.perf_counter()
    walk.run(job, until="train")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
