"""The share of small mistakes that the tests notice: operators of the code are changed one at a time, and the tests are run.

    python tests/mutation/campaign.py mutants.csv [--mutants 200] [--seed 7] [--workers 1] [--timeout 600]

Arithmetic and comparison operators of PACKAGES are listed, and some of them drawn by the seed. Each one drawn is changed in a copy of the
checkout, and the folder of tests that mirrors its package runs there until a test fails, the files nearest to the module first. A mutant is
killed where a test fails or the time is up. mutants.csv gets a line for each mutant as soon as it is judged; the same command goes on where
it was interrupted. Mutants that no test can kill are listed in equivalents.csv with the reason, by the text of their line. A survivor is
one of the mirrored folder: other tests (contracts, pipelines) may kill it.
"""

import argparse
import ast
import csv
import io
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENTS = Path(__file__).with_name("equivalents.csv")
PACKAGES = ("evaluation", "losses", "features", "scoring", "training", "baselines")
MIRRORS = {"scoring": "training"}  # where the folder of tests has another name: these tests share training's trained models
COPIED = ("recsys", "tests", "studies", "pipelines")
ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*", "//": "/", "%": "//", "**": "*"}
COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
REPLACEMENTS = ARITHMETIC | {f"{old}=": f"{new}=" for old, new in ARITHMETIC.items()} | COMPARISONS
OUTCOMES = {0: "survived", 1: "killed", 2: "killed", None: "timeout"}  # by pytest's exit code; 2: a file cannot be imported


class Mutant(NamedTuple):
    """An operator at a place: lines count from 1, columns in characters from 0. `source` is the text of its line."""

    file: str
    line: int
    column: int
    operator: str
    source: str


# --- What can be changed ------------------------------------------------------------------------------------------
def mutants_of(file: Path) -> Iterator[Mutant]:
    """Every operator in REPLACEMENTS, in the order of the file."""
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()

    def characters(line: int, column: int) -> tuple[int, int]:  # ast counts the bytes of a line
        return line, len(lines[line - 1].encode()[:column].decode())

    operators = [token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.string in REPLACEMENTS]
    for left, right in operands(ast.parse(text)):
        start, end = characters(left.end_lineno or 0, left.end_col_offset or 0), characters(right.lineno, right.col_offset)
        for token in operators:  # besides the operator only parentheses and comments can stand between its two sides
            if start <= token.start < end and token.type == tokenize.OP:
                yield Mutant(str(file.relative_to(ROOT)), *token.start, token.string, lines[token.start[0] - 1].strip())


def operands(tree: ast.Module) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The two sides of each operator."""
    for node in ast.walk(tree):
        match node:
            case ast.BinOp() if not (is_text(node.left) or is_text(node.right)):
                yield node.left, node.right
            case ast.AugAssign():
                yield node.target, node.value
            case ast.Compare():
                yield from pairwise([node.left, *node.comparators])


def is_text(side: ast.expr) -> bool:
    """A literal: what stands beside it is a path, or text that is joined, formatted or repeated, and no arithmetic."""
    return isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))


def drawn(number: int, seed: int) -> list[Mutant]:
    files = sorted(file for package in PACKAGES for file in (ROOT / "recsys" / package).rglob("*.py"))
    every = sorted(mutant for file in files for mutant in mutants_of(file))
    print(f"{len(every):,} operators in recsys/{{{','.join(PACKAGES)}}}, {min(number, len(every)):,} drawn by seed {seed}")
    return random.Random(seed).sample(every, min(number, len(every)))


# --- One mutant ---------------------------------------------------------------------------------------------------
def copied(copy: Path) -> Path:
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", copy)
    return copy


def mirrored(package: str, module: str = "") -> list[str]:
    """The files of the mirrored folder: the one of the module's name first, then those that import it, then the others."""

    def distance(file: Path) -> tuple[bool, bool, Path]:
        imported = re.search(rf"recsys\.{package}(\.| import .*\b){module}\b", file.read_text(encoding="utf-8"))
        return file.name != f"test_{module}.py", not imported, file

    return [
        str(file.relative_to(ROOT)) for file in sorted((ROOT / "tests" / MIRRORS.get(package, package)).rglob("test_*.py"), key=distance)
    ]


def run_tests(copy: Path, files: list[str], timeout: float) -> tuple[int | None, str]:
    """pytest's exit code, None where the time was up, and what it said. No bytecode: its clock would miss two changes within a second."""
    environment = {"OMP_NUM_THREADS": "1", "RECSYS_SHARED_DATA": str(ROOT.parent / "shared" / "data")} | os.environ
    environment |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "--tb=line", "-p", "no:cacheprovider", "--hypothesis-seed=0", *files]
    process = subprocess.Popen(
        command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        said, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        return None, ""
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # and what the tests started
            process.wait()
    return process.returncode, said


def judged(mutant: Mutant, copy: Path, timeout: float) -> dict[str, object]:
    target, replacement = copy / mutant.file, REPLACEMENTS[mutant.operator]
    original = target.read_text(encoding="utf-8")
    lines = original.splitlines(keepends=True)
    text = lines[mutant.line - 1]
    lines[mutant.line - 1] = text[: mutant.column] + replacement + text[mutant.column + len(mutant.operator) :]
    try:
        target.write_text("".join(lines), encoding="utf-8")
        code, said = run_tests(copy, mirrored(Path(mutant.file).parts[1], target.stem), timeout)
    finally:
        target.write_text(original, encoding="utf-8")
    if code not in OUTCOMES:
        raise RuntimeError(f"{mutant}: found pytest's exit code {code}, expected 0, 1 or 2:\n{said}")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
    return mutant._asdict() | {"replacement": replacement, "outcome": OUTCOMES[code], "killer": failed[1] if failed else ""}


# --- The campaign -------------------------------------------------------------------------------------------------
def check_unchanged(packages: set[str], copy: Path, timeout: float) -> None:
    """Raises SystemExit where tests fail, or are too slow, without a change, or import another checkout: each mutant would seem killed."""
    (copy / "test_copy.py").write_text(f"import recsys\n\n\ndef test_copy():\n    assert {str(copy)!r} in recsys.__file__\n")
    for files in [["test_copy.py"], *(mirrored(package) for package in sorted(packages))]:
        code, said = run_tests(copy, files, timeout)
        if code != 0:
            found = f"more than {timeout:.0f} s for" if code is None else "a failure in"
            raise SystemExit(f"error: without a change: found {found} {Path(files[0]).parent}. Fix: the tests, or --timeout\n{said}")


def known(out: Path) -> dict[Mutant, str]:
    """The outcomes that are written. An operator whose line has moved or changed since is another mutant."""
    if not out.exists():
        return {}
    with out.open(encoding="utf-8", newline="") as file:
        return {
            Mutant(row["file"], int(row["line"]), int(row["column"]), row["operator"], row["source"]): row["outcome"]
            for row in csv.DictReader(file)
        }


def run(todo: list[Mutant], out: Path, workers: int, timeout: float) -> None:
    copies: queue.Queue[Path] = queue.Queue()
    writing, is_new = Lock(), not out.exists()
    with tempfile.TemporaryDirectory() as folder, out.open("a", encoding="utf-8", newline="") as file:
        for number in range(workers):
            copies.put(copied(Path(folder).resolve() / str(number)))
        check_unchanged({Path(mutant.file).parts[1] for mutant in todo}, copies.queue[0], timeout)
        writer = csv.DictWriter(file, [*Mutant._fields, "replacement", "outcome", "killer"])
        if is_new:
            writer.writeheader()

        def one(mutant: Mutant) -> None:
            copy = copies.get()
            try:
                row = judged(mutant, copy, timeout)
            finally:
                copies.put(copy)
            with writing:
                writer.writerow(row)
                file.flush()
                print("{file}:{line}:{column} {operator} → {replacement}: {outcome} {killer}".format(**row), flush=True)

        with ThreadPoolExecutor(workers) as threads:
            list(threads.map(one, todo))


def summary(outcomes: dict[Mutant, str]) -> str:
    with EQUIVALENTS.open(encoding="utf-8", newline="") as file:
        equivalents = {(row["file"], row["source"], row["operator"]) for row in csv.DictReader(file)}
    survivors = [mutant for mutant, outcome in outcomes.items() if outcome == "survived"]
    unnoticed = [mutant for mutant in survivors if (mutant.file, mutant.source, mutant.operator) not in equivalents]
    count, equal = Counter(outcomes.values()), len(survivors) - len(unnoticed)
    said = [f"survived: {mutant.file}:{mutant.line} {mutant.operator} in: {mutant.source}" for mutant in unnoticed]
    said += [f"{count['killed']} killed, {count['timeout']} timeouts, {len(unnoticed)} survived, {equal} equivalent"]
    if judged_ones := len(outcomes) - equal:
        said += [f"{1 - len(unnoticed) / judged_ones:.1%} of {judged_ones} that are not equivalent are killed"]
    return "\n".join(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--mutants", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workers", type=int, default=1, help="copies at a time")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds a mutant may take")
    arguments = parser.parse_args()
    wanted, done = drawn(arguments.mutants, arguments.seed), known(arguments.out)
    if todo := [mutant for mutant in wanted if mutant not in done]:
        run(todo, arguments.out, arguments.workers, arguments.timeout)
        done = known(arguments.out)
    print(summary({mutant: done[mutant] for mutant in wanted}))


if __name__ == "__main__":
    main()
