"""The memory that a process may have: what the machine has, and what the system grants of it."""

import os
import resource
from collections.abc import Iterator

from recsys.control_groups import granted_memory


def memory_limits() -> Iterator[tuple[int, str]]:
    """Yield the bounds on this process's memory in bytes, each with its name. What a machine has is for all of its processes."""
    together = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // together, "this machine's memory"
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if soft != resource.RLIM_INFINITY:
        yield soft, "ulimit -d"
    for granted in granted_memory():
        yield granted // together, "the memory of its control group"
