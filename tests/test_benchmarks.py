"""The shapes that the benchmarks build are shapes of today."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from recsys import config
from recsys.models import build
from recsys.objectives import Objective

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def _module(name: str, folder: Path = BENCHMARKS) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_net_of_the_architectures_benchmark_reads_its_batch() -> None:
    module = _module("architectures")
    ranker = build(config.Model(), module.layout(), module.OBJECTIVES, torch.zeros(len(module.OBJECTIVES)), 1)
    assert ranker(module.random_batch(3), position="logged").outputs_BK.shape == (3, len(module.OBJECTIVES))


def test_a_net_of_the_balancing_benchmark_reads_its_batch() -> None:
    module = _module("balancing")
    objectives = tuple(Objective(name=f"o{k}", label="x") for k in range(3))
    ranker = build(config.Model(), module.layout(objectives, 50), objectives, torch.zeros(3), 1)
    assert ranker(module.random_batch(4, 3, 50, 1), position="logged").outputs_BK.shape == (4, 3)


def test_the_arrays_of_the_peers_have_each_code() -> None:
    arrays = _module("peers").random_arrays(500)
    assert arrays["ids"].shape == (500, 20)
    for codes, size in zip(arrays["ids"].T, arrays["vocabularies"], strict=True):
        assert set(codes) == set(range(size))
    assert arrays["numbers"].shape == (500, 13)
    assert set(np.unique(arrays["labels"])) == {0.0, 1.0}


@pytest.mark.words
@pytest.mark.parametrize("script", ["ours", "bare_loop"])
def test_what_needs_no_peer_trains_on_the_arrays(tmp_path: Path, script: str) -> None:
    np.savez(tmp_path / "arrays.npz", **_module("peers").random_arrays(20_000))
    command = [sys.executable, BENCHMARKS / "contenders" / f"{script}.py", tmp_path / "arrays.npz", "--batch", "256", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=BENCHMARKS.parent)
    assert json.loads(done.stdout.splitlines()[-1])["rows_per_second"] > 0


def test_the_net_of_the_peers_has_no_part_that_they_lack(tmp_path: Path) -> None:
    """Parts beside the experts, gates and towers are left out, because the peers have none."""
    arrays = _module("peers").random_arrays(500)
    text = _module("ours", BENCHMARKS / "contenders").config(arrays, tmp_path / "log.parquet", 256)
    (tmp_path / "peers.toml").write_text(text, encoding="utf-8")
    model = config.load(tmp_path / "peers.toml").model
    assert (model.d_shared, model.cross_rank, model.skip, model.numeric_bins, model.most_members) == (0, 0, False, 0, 1)


@pytest.mark.words
def test_the_stages_benchmark_has_a_row_per_stage() -> None:
    command = [sys.executable, BENCHMARKS / "stages.py", "--users", "60", "120", "--until", "features"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=BENCHMARKS.parent)
    _, *rows = (line.split() for line in done.stdout.splitlines())
    assert [row[1] for row in rows] == ["ingest", "features"] * 2
    assert [int(row[0].replace(",", "")) for row in rows] == sorted(int(row[0].replace(",", "")) for row in rows)
    assert all(float(row[4].replace(",", "")) > 0 for row in rows)


@pytest.mark.words
def test_the_candidates_benchmark_compares_and_measures(tmp_path: Path) -> None:
    run = [
        "run",
        BENCHMARKS.parent / "pipelines" / "tiny.toml",
        "--workspace",
        tmp_path,
        "--run",
        "first",
        "--set",
        "evaluate.baselines=[]",
    ]
    subprocess.run([sys.executable, "-m", "recsys", *run], capture_output=True, check=True, cwd=BENCHMARKS.parent)
    command = [sys.executable, BENCHMARKS / "candidates.py", tmp_path / "tiny" / "runs" / "first", "--rows", "300"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=BENCHMARKS.parent)
    *compared, measured = done.stdout.splitlines()
    assert [line.split(": ")[1].split()[0] for line in compared] == ["click", "watch_time", "like", "score"]
    assert all(float(line.split("by ")[1].split()[0]) < 1e-5 for line in compared)
    assert measured.startswith("300 candidates: ")
