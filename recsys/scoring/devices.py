"""The device and the precision of a run, and the transfer of batches to the device."""

import contextlib
import ctypes
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch

from recsys.config import Train
from recsys.encoding.layout import Batch
from recsys.errors import ConfigError
from recsys.process_group import ALONE, ProcessGroup

_PREFETCHED = 4  # batches in pinned memory ahead of the device
_KEEP_BYTES = 1 << 30  # blocks below this size stay with the C allocator between steps


@dataclass(frozen=True)
class Compute:
    """A device and a precision, with `auto` resolved, and the processes that compute together."""

    device: torch.device
    precision: str  # "fp32" or "bf16"
    group: ProcessGroup = ALONE

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return a context for bf16 matrix products over fp32 weights; with fp32, a context that changes nothing."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def decide(train: Train) -> Compute:
    """Choose the device and the precision. `auto` means CUDA where there is one, in bf16 where CUDA supports it; else a CPU in fp32.

    On a CPU it stays fp32: bf16 pays only on some CPUs, and would change results from CPU to CPU. Raise ConfigError where the named device
    is not there.
    """
    name = train.device if train.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:  # torchrun: each of a machine's processes has a GPU of its own
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"train.device: found {name}, expected a device of this machine (CUDA devices: {torch.cuda.device_count()}). Fix: auto or cpu"
        )
    if train.precision != "auto":
        return Compute(device, train.precision)
    bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return Compute(device, "bf16" if bf16 else "fp32")


@contextlib.contextmanager
def settled(compute: Compute, *, deterministic: bool) -> Iterator[None]:
    """Set the process-wide switches of a run. At its end, restore the deterministic mode and torch's random state."""
    _keep_freed_memory()
    before = torch.are_deterministic_algorithms_enabled()
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS refuses to be deterministic without it
        torch.use_deterministic_algorithms(True)
    devices = [compute.device] if compute.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        torch.use_deterministic_algorithms(before)


def _keep_freed_memory() -> None:
    """Make glibc keep freed memory between steps. Without glibc there is nothing to set.

    By default glibc gives blocks above 32 MB back to the kernel at each step and takes them anew. This costs a quarter of the time of a CPU
    step with large batches (docs: facts of speed).
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mmap_threshold, trim_threshold = -3, -1  # malloc.h
        mallopt(mmap_threshold, _KEEP_BYTES)
        mallopt(trim_threshold, _KEEP_BYTES)


def placed(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield the batches on the device. For CUDA a thread reads ahead into pinned memory, so that the device does not wait for input."""
    if device.type == "cpu":
        yield from batches
        return
    for batch in _read_ahead(batches, _pinned):
        yield batch.to(str(device), non_blocking=True)


def _pinned(batch: Batch) -> Batch:
    return Batch(*(tensor.pin_memory() for tensor in batch))


def _read_ahead(batches: Iterable[Batch], prepare: Callable[[Batch], Batch]) -> Iterator[Batch]:
    """Yield `prepare(batch)` of each batch in order. A thread makes them, at most `_PREFETCHED` batches ahead.

    An error of the thread is raised here. A consumer that leaves early ends the thread.
    """
    ready: queue.Queue[Batch | BaseException | None] = queue.Queue(_PREFETCHED)
    left = threading.Event()

    def put(entry: Batch | BaseException | None) -> None:
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(entry, timeout=0.1)
                return

    def read() -> None:
        try:
            for batch in batches:
                if left.is_set():
                    return
                put(prepare(batch))
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        while (entry := ready.get()) is not None:
            if isinstance(entry, BaseException):
                raise entry
            yield entry
    finally:
        left.set()
        thread.join()
