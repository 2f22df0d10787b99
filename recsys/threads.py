"""The bound on the threads that a process computes with, over all libraries. Without one, each library takes a thread per core."""

import os
import sys

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # read by a library when it is loaded
_bound: dict[str, int] = {}


def bound_threads(number: int | None) -> None:
    """Let this process compute with at most so many threads from now on; None changes nothing."""
    if number is None:
        return
    _bound["threads"] = number
    os.environ |= dict.fromkeys(_VARIABLES, str(number))
    _bound_what_is_loaded(number)


def most_threads() -> int | None:
    """Return the bound, for a library that takes the number of threads as an argument; None without a bound."""
    return _bound.get("threads")


def _bound_what_is_loaded(number: int) -> None:
    import pyarrow as pa
    import threadpoolctl

    pa.set_cpu_count(number)
    pa.set_io_thread_count(number)
    threadpoolctl.threadpool_limits(number)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(number)
