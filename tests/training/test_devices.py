"""Device, precision, process-wide switches, and reading ahead."""

import threading
from collections.abc import Iterator

import pytest
import torch

from recsys.config import Train
from recsys.encoding.layout import Batch
from recsys.errors import ConfigError
from recsys.scoring.devices import _read_ahead, decide, placed, settled


def _batch(number: int) -> Batch:
    return Batch(*(torch.full((2,), number) for _ in Batch._fields))


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.device: found cuda:99, expected a device of this machine"):
        decide(Train(device="cuda:99"))


def test_auto_on_a_cpu_is_fp32_and_a_named_precision_is_taken() -> None:
    assert decide(Train(device="cpu")).precision == "fp32"
    compute = decide(Train(device="cpu", precision="bf16"))
    with compute.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with decide(Train(device="cpu")).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_random_state_and_determinism_are_given_back() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with settled(decide(Train(device="cpu")), deterministic=True):
        torch.manual_seed(99)
        torch.rand(7)
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.rand(3), expected)


def test_on_a_cpu_batches_pass_through() -> None:
    batches = [_batch(n) for n in range(3)]
    assert [id(batch) for batch in placed(batches, torch.device("cpu"))] == [id(batch) for batch in batches]


def test_reading_ahead_keeps_the_order() -> None:
    read = _read_ahead((_batch(n) for n in range(50)), lambda batch: batch)
    assert [int(batch.dense[0]) for batch in read] == list(range(50))


def test_an_error_of_the_reader_is_raised_where_the_batches_are_used() -> None:
    def broken() -> Iterator[Batch]:
        yield _batch(0)
        raise OSError("the disk is gone")

    read = _read_ahead(broken(), lambda batch: batch)
    assert int(next(read).dense[0]) == 0
    with pytest.raises(OSError, match="the disk is gone"):
        next(read)


def test_a_consumer_that_leaves_early_ends_the_thread() -> None:
    before = threading.active_count()
    read = _read_ahead((_batch(n) for n in range(10_000)), lambda batch: batch)
    next(read)
    read.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
