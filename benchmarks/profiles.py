"""Draw where the seconds of each stage go, as one picture per stage.

    python benchmarks/profiles.py --out docs [--users 12500] [--stages features train] [--threads 2] [--rate 50]

`benchmarks/demo.toml` runs on a log that is simulated before, each stage in a process of its own, under py-spy, a sampling profiler. This
has an environment of its own, made under --environments on first use. Each sample is the stack of calls of each Python thread. A thread
that waits for another does not count. A thread that calls an engine counts once while the engine works, whatever its number of threads.

A picture is read from the top: a box is a function of this project, as wide as the seconds in it and in all that it calls; the boxes below
it are what it calls. The lowest box is a library, where the time is spent in its Python functions. Compiled code that has none (DuckDB,
much of Arrow, numpy and torch) counts for the function that calls it; so does a wait for a lock. Boxes under one percent are left out. The
functions in which most time is spent, without what they call, are printed, too.
"""

import argparse
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import altair as alt
import pandas as pd
import torch
from limits import forget_ingested, pinned
from peers import environment

from recsys.stages import STAGES

PY_SPY = "py-spy==0.4.3"
OURS = "recsys/"
OUTSIDE_OF_A_STAGE = ("recsys/cli/", "recsys/walk.py", "recsys/stages/stage.py", "recsys/__main__.py")  # the frame around every stage
# Files of the functions in which a thread waits for another, or for another process.
WAITING = ("threading.py", "queue.py", "selectors.py", "concurrent/futures/", "multiprocessing/")
IMPORT = "<frozen importlib"  # how the file of a function begins that imports a module
START = "start and imports"
LEAST_SHARE = 0.01
WIDTH, ROW = 1_100, 18  # of a picture, and of a box, in pixels
LETTER = 5.5  # pixels
LEAST_LETTERS = 6  # of a label; shorter ones tell nothing
Calls = tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--users", type=int, default=12_500, help="of the simulated log; each leaves some eighty impressions")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=["ingest", "features", "encode", "train", "score", "evaluate"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rate", type=int, default=50, help="samples per second")
    parser.add_argument("--environments", type=Path, default=Path.home() / ".cache" / "recsys-peers")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    py_spy = Path(environment(arguments.environments, PY_SPY, [PY_SPY])).with_name("py-spy")
    overrides = [f"source.users={arguments.users}", "evaluate.baselines=[]"]
    with tempfile.TemporaryDirectory(prefix="profiles-") as scratch:
        command = [*pinned(Path(scratch), overrides, arguments.threads), "--quiet"]
        subprocess.run([*command, "--until", "ingest"], check=True)
        forget_ingested(Path(scratch))
        for stage in list(STAGES)[: 1 + max(map(list(STAGES).index, arguments.stages))]:
            samples = Path(scratch) / f"{stage}.samples"
            record = [py_spy, "record", "--idle", "--threads", "--rate", str(arguments.rate), "--format", "raw", "--output", samples, "--"]
            subprocess.run([*record, *command, "--until", stage], capture_output=True, check=True)
            subprocess.run([*command, "--until", stage], check=True)  # fresh, unless it failed: py-spy does not say so
            if stage in arguments.stages:
                seconds = {calls: count / arguments.rate for calls, count in read(samples).items()}
                print_most(stage, seconds)
                picture(stage, seconds).save(arguments.out / f"profile-{stage}.png", scale_factor=1.5)


def read(samples: Path) -> Counter[Calls]:
    """Count the samples of each stack in which a thread works: the project's functions from the outermost on, then the library."""
    counts: Counter[Calls] = Counter()
    for line in samples.read_text(encoding="utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [frame_of(text) for text in stack.split(";")]
        if not frames[-1].file.startswith(WAITING):
            counts[tuple(calls(frames))] += int(count)
    return counts


@dataclass(frozen=True)
class Frame:
    function: str
    file: str  # from the folder of its package on


def frame_of(text: str) -> Frame:
    """Parse `function (file:line)`."""
    function, _, place = text.rpartition(" (")
    return Frame(function, place.partition(":")[0].rstrip(")"))


def calls(frames: list[Frame]) -> Iterator[str]:
    """Yield the names of the boxes of a stack, the outermost first; a function that calls itself at once is one box."""
    inside = [frame for frame in frames if frame.file.startswith(OURS) and not frame.file.startswith(OUTSIDE_OF_A_STAGE)]
    if not inside or any(frame.file.startswith(IMPORT) for frame in frames):
        yield START
        return
    for name, _ in groupby(f"{frame.function} · {frame.file.removeprefix(OURS)}" for frame in inside):
        yield name
    if not frames[-1].file.startswith(OURS):
        yield frames[-1].file.partition("/")[0].strip("<>")


def print_most(stage: str, seconds: dict[Calls, float], most: int = 12) -> None:
    """Print the functions and libraries in which most time is spent, a library with the function that called it."""
    total, own = sum(seconds.values()), Counter[str]()
    for stack, spent in seconds.items():
        own[" → ".join(stack[-1:] if " · " in stack[-1] else stack[-2:])] += spent
    print(f"\n{stage}: {total:.1f} seconds of working threads")
    for name, spent in own.most_common(most):
        print(f"{spent:>8.1f}{spent / total:>7.1%}  {name}", flush=True)


def picture(stage: str, seconds: dict[Calls, float]) -> alt.LayerChart:
    """Draw the boxes, one row per depth."""
    boxes = pd.DataFrame(boxes_of(seconds))
    total = boxes.loc[boxes["depth"] == 0, "end"].max()
    x = alt.X("start:Q", title=f"{stage}: seconds of working threads", scale=alt.Scale(domain=[0, total]))
    base = alt.Chart(boxes).encode(x=x, y=alt.Y("depth:O", axis=None))
    bars = base.mark_bar(stroke="white", strokeWidth=1, height=ROW - 1).encode(
        x2="end:Q",
        color=alt.Color(
            "kind:N",
            title=None,
            scale=alt.Scale(domain=["this project", "library", START], range=["#c6dbef", "#fdd0a2", "#d9d9d9"]),
            legend=alt.Legend(orient="top"),
        ),
    )
    text = base.mark_text(align="left", dx=3, fontSize=10, color="black").encode(text="label:N")
    return (bars + text).properties(width=WIDTH, height=alt.Step(ROW)).configure_view(strokeWidth=0)


def boxes_of(seconds: dict[Calls, float]) -> list[dict[str, object]]:
    """Place a box per function and its callers: those below a box from its left edge on, the widest first."""
    total = sum(seconds.values())
    spent: Counter[Calls] = Counter()
    for stack, value in seconds.items():
        for depth in range(len(stack)):
            spent[stack[: depth + 1]] += value
    boxes: list[dict[str, object]] = []
    ends: dict[Calls, float] = {}
    starts: dict[Calls, float] = {(): 0.0}
    for stack in sorted(spent, key=lambda stack: (len(stack), -spent[stack])):
        caller = stack[:-1]
        if spent[stack] < LEAST_SHARE * total or caller not in starts:
            continue
        start = ends.get(caller, starts[caller])
        starts[stack], ends[caller] = start, start + spent[stack]
        kind = "this project" if " · " in stack[-1] else START if stack[-1] == START else "library"
        label = label_of(stack[-1], spent[stack], room=int(spent[stack] / total * WIDTH / LETTER) - 1)
        boxes.append({"depth": len(stack) - 1, "start": start, "end": start + spent[stack], "label": label, "kind": kind})
    return boxes


def label_of(box: str, seconds: float, room: int) -> str:
    """Return the name of a function or library with its seconds; in less room the name alone, or as much of it as tells something."""
    name = box.partition(" · ")[0].rpartition("<locals>.")[2]
    whole = f"{name} {seconds:.1f} s"
    label = whole if len(whole) <= room else name[:room]
    return label if len(label) >= LEAST_LETTERS else ""


if __name__ == "__main__":
    main()
