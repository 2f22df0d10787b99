"""The command line by several processes that torchrun has started: tables that are spread over them, and what one process makes of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from recsys.cli import run_command

from .conftest import PIPELINES

TINY = str(PIPELINES / "tiny.toml")
SHUFFLED = ["--set", "train.order=shuffled", "--set", "train.passes=2", "--set", "model.members=2", "--set", "train.keep_chosen=true"]


def command(workspace: Path, processes: int, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """One command line by so many processes, with tables of any size taken for large."""
    start = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "-m", "--"] if processes > 1 else ["-m"]
    line = [sys.executable, *start, "tests.pipelines.large_tables", *arguments, "--workspace", str(workspace)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the encoded days of both orders."""
    workspace = tmp_path_factory.mktemp("encoded")
    for order in ([], SHUFFLED):
        assert run_command(["run", TINY, "--workspace", str(workspace), "--until", "encode", "--quiet", *order]) == 0
    return workspace


def trained(encoded: Path, workspace: Path, processes: int, *options: str) -> dict[str, np.ndarray]:
    """The predictions of a run that so many processes have trained and scored."""
    shutil.copytree(encoded, workspace)
    for verb in ("train", "score"):
        done = command(workspace, processes, verb, TINY, "--run=r", "--quiet", *options)
        assert done.returncode == 0, done.stderr
    return predictions(workspace)


def predictions(workspace: Path) -> dict[str, np.ndarray]:
    table = pq.read_table(workspace / "tiny/runs/r/predictions.parquet")
    return {name: table[name].to_numpy() for name in table.column_names if name.startswith(("event_id", "pred.", "rank."))}


def assert_near(one: dict[str, np.ndarray], many: dict[str, np.ndarray]) -> None:
    """Equal but for the order of sums in float32. Steps of Adagrad and AdamW make much of a gradient that cancels but for rounding.

    How equal the steps are in float64 is what tests/training/test_together.py asks.
    """
    assert one.keys() == many.keys()
    for name, values in one.items():
        np.testing.assert_allclose(many[name], values, rtol=0.03, atol=1e-3, err_msg=name)


@pytest.mark.words
@pytest.mark.parametrize(("options", "processes"), [([], 2), (SHUFFLED, 3)], ids=["in time order, by two", "shuffled, by three"])
def test_predictions_are_those_of_one_process(encoded: Path, tmp_path: Path, options: list[str], processes: int) -> None:
    """In time order the tables grow day by day, and states of days are kept."""
    one = trained(encoded, tmp_path / "one", 1, *options)
    assert_near(one, trained(encoded, tmp_path / "many", processes, *options))
    lines = [json.loads(line) for line in (tmp_path / "many/tiny/runs/r/training.jsonl").read_text().splitlines()]
    ours = [json.loads(line) for line in (tmp_path / "one/tiny/runs/r/training.jsonl").read_text().splitlines()]
    assert [(line["event"], line["member"], line["step"]) for line in lines] == [
        (line["event"], line["member"], line["step"]) for line in ours
    ]


@pytest.mark.words
def test_what_two_have_begun_one_ends(encoded: Path, tmp_path: Path) -> None:
    """Two learn the training days; one goes on from the states that they have kept."""
    one = trained(encoded, tmp_path / "one", 1)
    shutil.copytree(encoded, tmp_path / "two")
    first = command(tmp_path / "two", 2, "train", TINY, "--run=first", "--quiet", "--set", "train.refit=false")
    assert first.returncode == 0, first.stderr
    then = command(tmp_path / "two", 1, "train", TINY, "--run=r")
    assert then.returncode == 0, then.stderr
    assert "train: goes on from the state of" in then.stdout
    assert command(tmp_path / "two", 1, "score", TINY, "--run=r").returncode == 0
    assert_near(one, predictions(tmp_path / "two"))


@pytest.mark.words
def test_a_mistake_is_said_once(tmp_path: Path) -> None:
    done = command(tmp_path, 3, "train", TINY, "--set", "train.batch_sise=3")
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert errors == [f'error: {TINY}: train.batch_sise: unknown key; did you mean "batch_size"?']
    assert "exitcode  : 2" in done.stderr
