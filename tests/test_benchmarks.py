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
    sys.modules[spec.name] = module  # a dataclass looks its module up
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
    np.savez(tmp_path / "arrays.npz", **_module("peers").random_arrays(5_000))
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


@pytest.mark.words
def test_the_limits_benchmark_gives_each_stage_a_least_time() -> None:
    command = [sys.executable, BENCHMARKS / "limits.py", "--users", "300", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=BENCHMARKS.parent)
    product, copy, _, *rows = (line.split() for line in done.stdout.splitlines())
    assert [float(line[at].replace(",", "")) > 1e6 for line, at in ((product, 3), (copy, 3))] == [True, True]
    assert [row[0] for row in rows] == ["ingest", "features", "encode", "train", "score", "evaluate"]
    for stage, seconds, least, share in rows:
        assert float(least) > 0 or stage == "score"  # of some thirty rows
        most, fewest = (float(least) + 0.0005) / (float(seconds) - 0.005), (float(least) - 0.0005) / (float(seconds) + 0.005)
        assert fewest - 0.0005 <= float(share.removesuffix("%")) / 100 <= most + 0.0005  # the quotient of the two, of which all are rounded


def test_a_profile_has_a_box_per_call_as_wide_as_what_it_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))  # a script's own folder is where Python looks first
    module = _module("profiles")
    stacks = [
        "thread (1): MainThread;main (recsys/cli/app.py:3);make (recsys/stages/train.py:5);step (recsys/training/descend.py:9) 30",
        "thread (1): MainThread;main (recsys/cli/app.py:3);make (recsys/stages/train.py:6);step (torch/optim/adamw.py:9) 50",
        "thread (1): MainThread;main (recsys/cli/app.py:3);make (recsys/stages/train.py:7) 15",
        "thread (2): pool;work (recsys/encoding/batches.py:3);wait (threading.py:7) 900",
        "thread (1): MainThread;main (recsys/cli/app.py:3) 5",
        "thread (1): MainThread;make (recsys/stages/train.py:4);_find_and_load (<frozen importlib._bootstrap>:9);<module> (a b.py:1) 1",
        "thread (1): MainThread;make.<locals>.inner (recsys/stages/train.py:8) 4",
    ]
    (tmp_path / "samples").write_text("\n".join(stacks), encoding="utf-8")
    counts = module.read(tmp_path / "samples")
    make, step = "make · stages/train.py", "step · training/descend.py"
    inner = "make.<locals>.inner · stages/train.py"
    assert counts == {(make, step): 30, (make, "torch"): 50, (make,): 15, ("start and imports",): 6, (inner,): 4}
    boxes = module.boxes_of({calls: float(count) for calls, count in counts.items()})
    assert [(box["depth"], box["start"], box["end"], box["kind"]) for box in boxes] == [
        (0, 0.0, 95.0, "this project"),
        (0, 95.0, 101.0, "start and imports"),
        (0, 101.0, 105.0, "this project"),
        (1, 0.0, 50.0, "library"),
        (1, 50.0, 80.0, "this project"),
    ]
    assert [box["label"] for box in boxes] == ["make 95.0 s", "start and ", "", "torch 50.0 s", "step 30.0 s"]
