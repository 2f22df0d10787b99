"""Several processes train as one: the same batches, the same numbers, the same end."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from recsys.encoding import EncodedDays, batches
from recsys.encoding.sampling import Sampling
from recsys.encoding.thinning import Thinning
from recsys.nn.bias_tower import drop_codes
from recsys.nn.dropout import Dropout
from recsys.nn.gates import Gates, OwnGates
from recsys.process_group import ALONE, ProcessGroup, own_draws, sharing

from .conftest import DAYS, Toy

ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")} | {"OMP_NUM_THREADS": "1"}
Cases = Mapping[str, Mapping[str, Any]]
EXPERTS = {"num_experts": 2, "hidden": [8], "expert_dropout": 0.2}
EXACT: Cases = {
    "single_task": {"model": {"architecture": "single_task"}},
    "mmoe": {"model": {"architecture": "mmoe", "mmoe": EXPERTS}},
    "ple": {"model": {"architecture": "ple", "ple": {"expert_dropout": 0.2}}},
    "stem": {"model": {"architecture": "stem"}},
    "home": {"model": {"architecture": "home"}},
    "cagrad": {"model": {"architecture": "mmoe"}, "balance": {"method": "torchjd.cagrad"}},
    "famo": {"model": {"architecture": "mmoe", "mmoe": EXPERTS}, "balance": {"method": "torchjd.famo"}},
    "given": {"model": {"architecture": "mmoe"}, "balance": {"method": "torchjd.mgda"}, "given": True},
    "penalty": {"model": {"architecture": "soft"}},
    "large tables": {"model": {"architecture": "mmoe"}, "large_tables": True},
    "large tables of each objective": {"model": {"architecture": "stem"}, "large_tables": True},
    "large tables by gradients": {
        "model": {"architecture": "mmoe"},
        "balance": {"method": "torchjd.cagrad"},
        "large_tables": True,
    },
    "large tables, few rows": {"model": {"architecture": "single_task"}, "large_tables": True, "batch_size": 449},
    "fewer rows than processes": {"model": {"architecture": "mmoe"}, "batch_size": 449},  # of 900: the last batch has two
}


def taken(toy: Toy, folder: Path, processes: int, cases: Cases) -> dict[str, dict[str, Tensor]]:
    """What each case's steps leave, taken by so many processes."""
    script = ["-m", "--", "tests.training.together_steps", str(toy.encoded), str(folder), json.dumps(cases)]
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), *script]
    done = subprocess.run(start, env=ENVIRONMENT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return {name: load_file(folder / f"{name}.safetensors") for name in cases}


def between(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The distances of all real numbers; 0 between two infinite ones that are equal."""
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a if not a[name].is_floating_point())
    real = [name for name in a if a[name].is_floating_point()]
    return {name: torch.where(a[name] == b[name], 0.0, (a[name] - b[name]).abs().double()) for name in real}


def farthest(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    return float(torch.cat([found.flatten() for found in between(a, b).values()]).max())


def apart(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """The root of the mean squared distance of all weights."""
    weights = [found.flatten() for name, found in between(a, b).items() if name != "losses"]
    return float(torch.cat(weights).square().mean().sqrt())


@pytest.fixture(scope="module")
def alone(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Tensor]]:
    """What each case's steps leave, taken by one process."""
    return taken(toy, tmp_path_factory.mktemp("alone"), 1, EXACT)


UNEVEN = ("single_task", "mmoe", "cagrad", "large tables", "large tables, few rows", "fewer rows than processes")


@pytest.mark.words
@pytest.mark.parametrize(("processes", "names"), [(2, tuple(EXACT)), (3, UNEVEN)], ids=["2", "3"])
def test_double_precision_leaves_the_same_weights(
    processes: int, names: tuple[str, ...], toy: Toy, alone: dict[str, dict[str, Tensor]], tmp_path: Path
) -> None:
    together = taken(toy, tmp_path, processes, {name: EXACT[name] for name in names})
    assert [name for name in names if not farthest(alone[name], together[name]) < 1e-8] == []


@pytest.mark.words
def test_single_precision_drifts_as_a_sum_in_another_order_does(toy: Toy, tmp_path: Path) -> None:
    """The gradient of two processes is a sum of two parts, as that of one process that takes each batch in two halves."""
    single = {str(seed): {"model": {"architecture": "mmoe"}, "double": False, "seed": seed} for seed in range(1, 6)}
    for name in ("one", "halves", "two"):
        (tmp_path / name).mkdir()
    one, two = (taken(toy, tmp_path / name, count, single) for name, count in (("one", 1), ("two", 2)))
    halves = taken(toy, tmp_path / "halves", 1, {name: {**case, "halves": True} for name, case in single.items()})
    by_processes = np.mean([apart(one[name], two[name]) for name in single])
    by_halves = np.mean([apart(one[name], halves[name]) for name in single])
    assert 0 < by_processes < 3 * by_halves


GO_ON = ("mmoe", "home", "large tables")


@pytest.fixture(scope="module")
def begun(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per case with the checkpoint of its first half, which two processes have written."""
    folder = tmp_path_factory.mktemp("begun")
    taken(toy, folder, 2, {name: {**EXACT[name], "steps": 20, "own_folder": name} for name in GO_ON})
    return folder


@pytest.mark.words
@pytest.mark.parametrize("processes", [1, 3])
def test_a_checkpoint_of_two_goes_on_in_another_number(
    processes: int, toy: Toy, alone: dict[str, dict[str, Tensor]], begun: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(begun, tmp_path / "begun"))
    ended = taken(toy, folder, processes, {name: {**EXACT[name], "goes_on_from": 20, "own_folder": name} for name in GO_ON})
    for name, rest in ended.items():
        rest["losses"] = torch.cat([alone[name]["losses"][:20], rest["losses"]])
        assert farthest(alone[name], rest) < 1e-8


# --- What a process sees of a batch ---------------------------------------------------------------------------------
def dealt(parts: Sequence[Tensor]) -> Tensor:
    """The rows of all processes in their order."""
    rows = sum(map(len, parts))
    return torch.stack([parts[row % len(parts)][row // len(parts)] for row in range(rows)]) if rows else parts[0]


@pytest.mark.parametrize(
    "options",
    [
        {"order": "time"},
        {"order": "shuffled"},
        {"order": "shuffled", "start_step": 2},
        {"order": "shuffled", "thinning": Thinning(0, 0.5, 3)},
        {"order": "shuffled", "sampling": Sampling(0.5, (0, 2))},
    ],
)
def test_processes_share_each_batch(options: dict[str, Any], toy: Toy) -> None:
    days = EncodedDays(toy.encoded, DAYS[:3])

    def of(group: ProcessGroup) -> list[Any]:
        return list(batches(days, batch_size=128, seed=4, epoch=1, group=group, **options))

    whole, parts = of(ALONE), [of(ProcessGroup(rank, 3)) for rank in range(3)]
    assert [len(part) for part in parts] == [len(whole)] * 3
    for one, *shares in zip(whole, *parts, strict=True):
        for name in one._fields:
            torch.testing.assert_close(
                dealt([getattr(share, name) for share in shares]), getattr(one, name), equal_nan=True, rtol=0, atol=0
            )


def test_a_row_gets_the_same_random_numbers_in_every_process() -> None:
    def drawn(group: ProcessGroup) -> list[Tensor]:
        torch.manual_seed(3)
        rows = len(range(group.rank, 10, group.size))
        mlp, frame = Dropout(0.3, rows_dim=1).train(), Dropout(0.3).train()
        gates, own = Gates(2, 3, 4, dropout=0.5).train(), OwnGates(2, 3, 4, dropout=0.5).train()
        torch.manual_seed(4)
        with sharing(group, 10):
            found = [mlp(torch.ones(2, rows, 5)).transpose(0, 1), frame(torch.ones(rows, 3, 7))]
            found += [gates(torch.ones(rows, 2)), own(torch.ones(3, rows, 2)), drop_codes(torch.ones(rows, 2, dtype=torch.int64), 0.4)]
        return [*found, torch.get_rng_state()]

    whole, parts = drawn(ALONE), [drawn(ProcessGroup(rank, 3)) for rank in range(3)]
    for one, *shares in zip(whole[:-1], *(part[:-1] for part in parts), strict=True):
        torch.testing.assert_close(dealt(shares), one)
    assert all(torch.equal(part[-1], whole[-1]) for part in parts)


def test_outside_a_shared_batch_a_process_draws_for_all_rows() -> None:
    assert own_draws(torch.zeros, torch.Size([4, 2]), 0).shape == (4, 2)
