"""Measure rows per second and peak memory of every stage, on logs of several sizes of the simulated feed.

    python benchmarks/stages.py [--users 12500 125000] [--memory-limit 1GB] [--until evaluate]

A user leaves some eighty impressions. Each stage runs in a process of its own, so its peak is its own. Prints one row per log and stage:

- impressions, seconds (with the start of Python and the check of what stands), rows per second;
- the peak resident memory of the process, and of the largest one that it started. Linux counts what the first one had at that moment as
  the other's too;
- how far the larger peak lies above `features.memory_limit`.

Memory that does not depend on the log is flat from one size to the next.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recsys import artifacts, config
from recsys.stages import STAGES
from recsys.workspace import EVENTS, PART, day_folder, days_in

DEMO = Path(__file__).resolve().parent.parent / "pipelines" / "demo.toml"
MEASURED = """
import resource, runpy, sys
sys.argv = ["recsys", *sys.argv[1:]]
try:
    runpy.run_module("recsys", run_name="__main__")
finally:
    own, children = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print("PEAK", own, children, file=sys.stderr)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[12_500, 125_000])
    parser.add_argument("--memory-limit", default="1GB", help="features.memory_limit")
    parser.add_argument("--until", choices=STAGES, default="evaluate")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another value for a key of the pipeline")
    arguments = parser.parse_args()
    stages = list(STAGES)[: list(STAGES).index(arguments.until) + 1]
    limit = megabytes(arguments.memory_limit)
    columns = f"{'impressions':>12}  {'stage':<12}{'seconds':>9}{'rows/s':>10}{'peak MiB':>10}{'largest child':>15}{'above limit':>13}"
    print(columns, flush=True)
    for users in arguments.users:
        with tempfile.TemporaryDirectory(prefix="stages-") as folder:
            sets = [f"source.users={users}", f"features.memory_limit={arguments.memory_limit}", "evaluate.baselines=[]", *arguments.set]
            for stage in stages:
                seconds, own, child = measured(Path(folder), stage, sets)
                rows = impressions(Path(folder))
                peaks = f"{own:>10,.0f}{child:>15,.0f}{max(own, child) - limit:>13,.0f}"
                print(f"{rows:>12,}  {stage:<12}{seconds:>9.1f}{rows / seconds:>10,.0f}{peaks}", flush=True)


def measured(workspace: Path, stage: str, sets: list[str]) -> tuple[float, float, float]:
    """Run the pipeline up to a stage, the ones before it being fresh. Return the seconds and the peaks in MiB, its own and a child's."""
    words = [word for text in sets for word in ("--set", text)]
    command = [sys.executable, "-c", MEASURED, "run", DEMO, "--workspace", workspace, "--until", stage, "--quiet", *words]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(done.stderr)
    _, own, child = done.stderr.splitlines()[-1].split()
    return seconds, float(own), float(child)


def impressions(workspace: Path) -> int:
    """Count the rows of events/ that a workspace holds."""
    events = workspace / config.load(DEMO).name / EVENTS
    return sum(artifacts.count_rows(day_folder(events, day) / PART) for day in days_in(events))


def megabytes(text: str) -> float:
    """Return MiB of a limit such as "1GB", in which G stands for 10⁹."""
    units = {"MB": 1e6, "GB": 1e9, "TB": 1e12}
    return float(text[:-2]) * units[text[-2:].upper()] / (1 << 20)


if __name__ == "__main__":
    main()
