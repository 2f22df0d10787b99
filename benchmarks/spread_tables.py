"""Steps of a ranker whose embedding tables are spread over processes, by this project and by TorchRec, beside one process with whole ones.

    python benchmarks/spread_tables.py [--rows 100000 1000000 10000000] [--processes 1 2 3] [--batch 4096] [--steps 40]

The default MMoE, ten ids and a history of ten entries with two ids each, 20 numbers, four binary objectives, vectors of 8 with four linear
weights; one batch of random rows after the other, shared by all processes. Each contender runs in processes of its own, one thread each.
TorchRec has an environment of its own, made on first use (`peers.py` says where). Prints per table of that many rows and per contender:

- rows per second of all processes, after five steps that are not timed;
- the peak resident memory of the process that has most, in MiB;
- MiB per step over the loopback, which is all that the processes exchange;
- the largest difference of a step's loss to that of one process.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from peers import HERE, TORCH, environment

PACKAGES = ("fbgemm-gpu-cpu==1.8.0", "tensordict", "torchmetrics==1.0.3", "pyre-extensions")
TORCHREC = "torchrec==1.8.0"  # without what it asks for, which is torch with CUDA
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--batch", type=int, default=4_096)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--only", choices=("recsys", "torchrec"), nargs="+", default=["recsys", "torchrec"])
    parser.add_argument("--environments", type=Path, default=Path.home() / ".cache" / "recsys-peers")
    arguments = parser.parse_args()
    pythons = {"recsys": sys.executable}
    if "torchrec" in arguments.only:
        constrained = ["--constraint", str(ROOT / "constraints.txt")]
        installs = [*constrained, TORCH, *PACKAGES, str(ROOT)], [*constrained, "--no-deps", TORCHREC]
        pythons["torchrec"] = environment(arguments.environments, TORCHREC, *installs)
    print(f"{'rows of the table':>17}  {'contender':<24}{'rows/s':>10}{'MiB':>8}{'MiB a step':>12}{'loss differs by':>17}")
    for rows in arguments.rows:
        alone: list[float] = []
        for processes in arguments.processes:
            for name in arguments.only:
                options = ["--rows", str(rows), "--batch", str(arguments.batch), "--steps", str(arguments.steps)]
                found = run(pythons[name], processes, [*options, *(["--torchrec"] if name == "torchrec" else [])])
                alone = alone or found["losses"]
                differs = max(abs(a - b) for a, b in zip(alone, found["losses"], strict=True))
                label = f"{name}, {processes} process{'es' * (processes > 1)}"
                numbers = f"{found['rows_per_second']:>10,.0f}{found['mib']:>8,.0f}{found['bytes'] / 2**20:>12.2f}{differs:>17.1e}"
                print(f"{rows:>17,}  {label:<24}{numbers}", flush=True)


def run(python: str, processes: int, options: list[str]) -> dict:
    torchrun = [python, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*torchrun, "--", HERE / "spread_tables.py", *options], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(options)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
