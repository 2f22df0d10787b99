"""Training rows per second of this project beside what a user would pick instead, on the same arrays, in turns.

    python benchmarks/peers.py [--rows 400000] [--rounds 3] [--threads 2] [--environments DIR]

The shape is that of a large ranker: 20 id columns (two drawn from 1,000,000 values, four from 100,000, fourteen from 1,000; values that do
not occur are closed up), 13 numbers, four binary objectives; vectors of 16, eight experts of [256, 128], towers of [64], batches of 4,096
rows. Each contender trains an MMoE of this shape in a process of its own. A pass over the rows is timed, after a first one that is not:

- `recsys`: this project's trainer, from encoded days on the disk; `recsys, bf16`: the same with `train.precision = "bf16"`.
- `bare loop`: the same net with the fewest lines of torch that are fast.
- `torch-rechub`: its MMOE and MTLTrainer with the loader that its documentation shows.
- `torch-rechub, arrays`: the same, fed with slices of arrays instead of single rows.
- `deepctr-torch`: its MMOE and fit(), without its default penalty on all embeddings, which would visit every row in each step.

What differs: the peers learn whole embedding tables by Adam, their default (torch-rechub with its default weight decay), where this
project and the bare loop have a row-wise Adagrad on the rows of the batch. torch-rechub has a batch normalisation after each layer. This
project also reads the hour, the weekday and two numbers of the place in a session, which it makes of every log. Its trainer keeps freed
memory with the process, computes the experts' first layers as one product, and pads its inputs to a multiple of 16; the bare loop and the
peers do none of these.

The peers have environments of their own, made under --environments on first use, with this environment's torch version. What is printed are
rows per second and, from each round, the ratio of this project to each other. Quote ratios, and only from a quiet machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent / "contenders"
VOCABULARIES = (1_000_000,) * 2 + (100_000,) * 4 + (1_000,) * 14
NUMBERS, OBJECTIVES = 13, 4
OURS = "recsys"
TORCH = f"torch=={torch.__version__.split('+')[0]}"


@dataclass(frozen=True)
class Contender:
    """A script in `contenders/`, and what it needs beside torch. Without packages it runs in this environment."""

    script: str
    arguments: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


CONTENDERS = {
    OURS: Contender("ours.py"),
    "recsys, bf16": Contender("ours.py", ("--bf16",)),
    "bare loop": Contender("bare_loop.py"),
    "torch-rechub": Contender("by_torch_rechub.py", packages=("torch-rechub==0.9.0",)),
    "torch-rechub, arrays": Contender("by_torch_rechub.py", ("--arrays",), packages=("torch-rechub==0.9.0",)),
    "deepctr-torch": Contender("by_deepctr_torch.py", packages=("deepctr-torch==0.3.0", "requests")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--batch", type=int, default=4_096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), help="contenders that take part")
    parser.add_argument("--environments", type=Path, default=Path.home() / ".cache" / "recsys-peers")
    arguments = parser.parse_args()
    interpreters = {name: interpreter(CONTENDERS[name], arguments.environments) for name in arguments.only}
    speeds: dict[str, list[float]] = {name: [] for name in arguments.only}
    with tempfile.TemporaryDirectory(prefix="peers-") as scratch:
        arrays = Path(scratch) / "arrays.npz"
        np.savez(arrays, **random_arrays(arguments.rows))
        for _ in range(arguments.rounds):
            for name in arguments.only:
                speed = run(CONTENDERS[name], interpreters[name], arrays, arguments.batch, arguments.threads)
                speeds[name].append(speed)
                print(f"{name:<24}{speed:>10,.0f} rows/s", flush=True)
    print_table(speeds)


def random_arrays(rows: int) -> dict[str, np.ndarray]:
    """Draw ids [N, 20] (codes from 0, every one of which occurs), numbers [N, 13] and labels [N, 4], and the size of each vocabulary."""
    rng = np.random.default_rng(0)
    columns = [np.unique(rng.integers(0, size, rows), return_inverse=True) for size in VOCABULARIES]
    return {
        "ids": np.column_stack([codes for _, codes in columns]),
        "vocabularies": np.array([len(values) for values, _ in columns]),
        "numbers": rng.standard_normal((rows, NUMBERS), dtype=np.float32),
        "labels": (rng.random((rows, OBJECTIVES)) < [0.4, 0.3, 0.1, 0.05]).astype(np.float32),
    }


def interpreter(contender: Contender, folder: Path) -> str:
    """Return the Python that runs a contender. Make its environment where there is none."""
    if not contender.packages:
        return sys.executable
    return environment(folder, contender.packages[0], [TORCH, *contender.packages])


def environment(folder: Path, name: str, *installs: Sequence[str]) -> str:
    """Return the Python of an environment of this name, for this torch. Make it where there is none: one call of pip per `installs`."""
    place = folder / f"{name}, {TORCH}"
    python = place / "bin" / "python"
    if not (place / "made").exists():
        print(f"making {place}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        for packages in installs:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        (place / "made").touch()
    return str(python)


def run(contender: Contender, python: str, arrays: Path, batch: int, threads: int) -> float:
    """Return the rows per second that a contender prints last."""
    command = [python, HERE / contender.script, arrays, "--batch", str(batch), "--threads", str(threads), *contender.arguments]
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        sys.exit(f"{contender.script} failed:\n{done.stderr}")
    return float(json.loads(done.stdout.splitlines()[-1])["rows_per_second"])


def print_table(speeds: dict[str, list[float]]) -> None:
    print(f"\n{'':<24}{'rows/s, median':>16}{'least':>10}{'most':>10}{OURS + ' is … times as fast (each round)':>44}")
    for name, values in speeds.items():
        ratios = [ours / other for ours, other in zip(speeds.get(OURS, []), values, strict=False)]
        has_ratio = ratios and name != OURS
        ratio_text = f"{statistics.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})" if has_ratio else ""
        print(f"{name:<24}{statistics.median(values):>16,.0f}{min(values):>10,.0f}{max(values):>10,.0f}{ratio_text:>44}")


if __name__ == "__main__":
    main()
