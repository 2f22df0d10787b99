"""Tables that do not fit in a process are refused before the first step."""

from dataclasses import replace

import pytest
import torch

from recsys.errors import ConfigError
from recsys.process_group import ProcessGroup
from recsys.scoring.devices import Compute
from recsys.training import memory
from recsys.training.work import Training, open_training

from .conftest import Toy, pipeline_of

ROWS = 1_000_000


@pytest.fixture
def training(toy: Toy) -> Training:
    """Shuffled, so that the vectors of the best pass are kept beside the present ones; 4 numbers of a vector and 3 linear weights."""
    found = open_training(pipeline_of(train={"order": "shuffled"}), toy.encoded, Compute(torch.device("cpu"), "fp32"))
    return replace(found, layout=found.layout.with_rows(ROWS))


def bound(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(memory, "memory_limits", lambda: iter([(limit, "a limit"), (10 * limit, "another")]))


NEEDED = 4 * ROWS * (2 * 7 + 4)  # two copies of the vectors and linear weights, and a sum per block of a row


def test_what_fits_is_let_through(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    bound(monkeypatch, NEEDED)
    memory.require_memory(training)


def test_what_does_not_fit_is_refused(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    bound(monkeypatch, NEEDED - 1)
    with pytest.raises(ConfigError, match=r"tables of 1,000,000 rows, which need 0.1 GiB .* at most 0.1 GiB \(a limit\). Fix: more"):
        memory.require_memory(training)


def test_several_processes_share_the_tables(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    bound(monkeypatch, NEEDED // 2)
    memory.require_memory(replace(training, compute=replace(training.compute, group=ProcessGroup(1, 2))))


def test_in_time_order_tables_stand_twice(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the day before, and those that have grown."""
    found = open_training(pipeline_of(), toy.encoded, Compute(torch.device("cpu"), "fp32"))
    found = replace(found, layout=found.layout.with_rows(ROWS))
    bound(monkeypatch, needed := 4 * ROWS * 2 * (7 + 4))
    memory.require_memory(found)
    bound(monkeypatch, needed - 1)
    with pytest.raises(ConfigError):
        memory.require_memory(found)
