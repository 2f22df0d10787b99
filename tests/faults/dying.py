"""Jobs that die at a place of their choice. Run as a script: it forks, so that thousands of lines are imported once and not per job.

    python dying.py PIPELINE.toml WORKSPACE FIRST STEP STAGE,STAGE,… [NIGHT…]

A *moment* is the call of a function that makes something last: a write, an fsync, a rename, a removal. Of each stage, job n dies at the
n-th moment: before the call, or half-way through the write of a text. The same job then runs again. One JSON line per n says what was
found. Each of these stages starts from what the earlier ones leave. Of nights (--through), the jobs of the last one die.
"""

import contextlib
import hashlib
import importlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from recsys.cli import run_command

DIED = 137
HEAVY = (
    "altair",
    "duckdb",
    "ibis",
    "sklearn.ensemble",
    "torch._dynamo",
    "recsys.training",
    "recsys.report",
    "recsys.features",
    "recsys.sources",
)
MOMENTS: list[tuple[Any, str]] = [
    (os, "fsync"), (os, "replace"), (os, "rename"), (os, "unlink"), (shutil, "rmtree"), (shutil, "copyfile"),
    (Path, "write_text"), (pq, "write_table"), (pq.ParquetWriter, "write_batch"), (pq.ParquetWriter, "close"),
]  # fmt: skip


def die_at(moment: int) -> Callable[[], int]:
    """Replace the functions by some that count, and die when it is time. Return a function that says how far the count has come."""
    count = 0

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == moment:
                if function is write_text:
                    path, text = arguments[0], arguments[1]
                    function(path, text[: len(text) // 2], **named)
                os._exit(DIED)
            return function(*arguments, **named)

        return call

    write_text = Path.write_text
    for owner, name in MOMENTS:
        setattr(owner, name, dying(getattr(owner, name)))
    return lambda: count


def forked(command: list[str], moment: int = 0) -> tuple[int, str]:
    """Run a command in a child. Return its exit code and what it said to stderr."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        die_at(moment)
        code = 1
        with contextlib.suppress(BaseException):
            code = run_command(command)
        sys.stderr.flush()
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def digests(folder: Path) -> dict[str, str]:
    """File → hash of its bytes, without the lock files, which say who held them."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".locks" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def main() -> None:
    toml, root, first, step, stages = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5].split(",")
    for name in HEAVY:
        importlib.import_module(name)
    finished = root / "nothing"
    finished.mkdir(parents=True)
    *before, last = [["--through", night, "--run", f"night-{night}"] for night in sys.argv[6:]] or [["--run", "one"]]
    for night in before:
        code, said = forked(["run", toml, *night, "--quiet", "--workspace", str(finished)])
        assert code == 0, said
    for stage in stages:
        command = ["run", toml, *last, "--until", stage, "--quiet", "--workspace"]
        whole = shutil.copytree(finished, root / stage)
        code, said = forked([*command, str(whole)])
        assert code == 0, said
        for line in deaths(command, finished, whole, range(first, sys.maxsize, step)):
            print(json.dumps({"stage": stage, **line}), flush=True)
        finished = whole


def deaths(command: list[str], finished: Path, whole: Path, moments: range) -> Iterator[dict[str, Any]]:
    """Start from what is `finished` at each moment, die, and run again, until a job lives. Compare with what is `whole`."""
    right = digests(whole)
    for moment in moments:
        workspace = Path(shutil.copytree(finished, whole.with_name(f"{whole.name}-{moment}")))
        code, said = forked([*command, str(workspace)], moment)
        if code != DIED:
            yield {"moment": moment, "code": code, "said": said, "different": [], "end": True}
            return
        code, said = forked([*command, str(workspace)])
        after = digests(workspace)
        different = sorted(name for name in right.keys() | after.keys() if right.get(name) != after.get(name))
        yield {"moment": moment, "code": code, "said": said, "different": different, "end": False}
        shutil.rmtree(workspace)


if __name__ == "__main__":
    main()
