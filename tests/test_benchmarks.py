"""The shapes that the benchmarks build are shapes of today."""

import importlib.util
from pathlib import Path
from types import ModuleType

import torch

from recsys import config
from recsys.models import build
from recsys.objectives import Objective

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
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
