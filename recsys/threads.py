"""The bound on the threads that a process computes with, over all libraries. Without one, each library takes a thread per core."""

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from threading import Lock
from typing import Any

from recsys.control_groups import granted_cores

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # read by a library when it is loaded
# GNU OpenMP's threads spin while they wait for one another. On a busy machine that costs more than the work (2 cores, load 5: 27 to 290 s
# for 100,000 rows, 8.5 s with a short spin; idle: no slower). Read when a library is loaded.
SHORT_SPIN = {"GOMP_SPINCOUNT": "1000"}
_bound: dict[str, int] = {}


def bound_threads(number: int | None) -> None:
    """Let this process compute with at most so many threads from now on; None changes nothing."""
    if number is None:
        return
    _bound["threads"] = number
    os.environ |= dict.fromkeys(_VARIABLES, str(number))
    _bound_what_is_loaded(number)


def environment(number: int) -> dict[str, str]:
    """Return the environment of another process of ours that computes with so many threads."""
    return SHORT_SPIN | os.environ | dict.fromkeys(_VARIABLES, str(number))


def cores() -> int:
    """Return how many cores this process may use: those that it may run on, or fewer where a control group grants fewer (rounded up)."""
    return min([_allowed(), *(math.ceil(granted) for granted in granted_cores())])


def set_defaults() -> None:
    """Set what libraries read from the environment when they are loaded, where it is not set already.

    They take a thread per core. Where a container is granted fewer, its threads would wait for one another.
    """
    granted = cores()
    fewer = {"OMP_NUM_THREADS": str(granted)} if granted < _allowed() else {}
    for name, value in (SHORT_SPIN | fewer).items():
        os.environ.setdefault(name, value)


def _allowed() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def most_threads() -> int | None:
    """Return the bound, for a library that takes the number of threads as an argument; None without a bound."""
    return _bound.get("threads")


_lock = Lock()
_limited: list[Any] = []  # the limit, once for each who wants it


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Let linear algebra take one thread per caller, where several threads of ours call it.

    With threads of its own beside ours it waits for itself: 18 s instead of 14 for an evaluation on two cores. Blocks may overlap. The
    last one to end gives back what was before the first one.
    """
    import threadpoolctl

    with _lock:
        _limited.append(_limited[0] if _limited else threadpoolctl.threadpool_limits(1, "blas"))
    try:
        yield
    finally:
        with _lock:
            limit = _limited.pop()
            if not _limited:
                limit.restore_original_limits()


def _bound_what_is_loaded(number: int) -> None:
    import pyarrow as pa
    import threadpoolctl

    pa.set_cpu_count(number)
    pa.set_io_thread_count(number)
    threadpoolctl.threadpool_limits(number)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(number)
