"""The memory that embedding tables need while a member is trained, beside what this process may have."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from recsys.errors import ConfigError
from recsys.models import ARCHITECTURES
from recsys.nn.embeddings import is_large
from recsys.process_group import ALONE
from recsys.training.work import Training

_FLOAT = 4  # bytes of a number
_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")
_GIB = 1 << 30


def require_memory(training: Training) -> None:
    """Raise ConfigError where the embedding tables, with what the optimiser keeps of each row, need more memory than this process may have.

    So a training ends before its first step, and not when the system kills it. Everything else is little beside tables of that size.
    """
    model, objectives, rows = training.pipeline.model, len(training.pipeline.objective), training.layout.num_rows
    tables = ARCHITECTURES[model.architecture].num_tables(objectives)
    linear = (objectives if tables == 1 else 1) if model.skip else 0
    holders = training.holders if is_large(tables, rows) else ALONE
    copies = 2 if training.chooses else 1  # the present vectors, and those of the best pass
    needed = _FLOAT * tables * -(-rows // holders.size) * (copies * (model.d_embedding + linear) + 1 + linear)
    limit, name = min(_limits())
    if needed > limit:
        more = "more processes (docs/on-a-cluster.md)" if training.transfer is None else "no train.init_from, and several processes"
        raise ConfigError(
            f"model.d_embedding: found embedding tables of {needed / _GIB:,.1f} GiB in this process ({rows:,} rows, with the sums of their"
            f" optimiser and the best pass), expected at most {limit / _GIB:,.1f} GiB ({name}). Fix: {more}, a higher features.min_count,"
            " or a smaller model.d_embedding"
        )


def _limits() -> Iterator[tuple[int, str]]:
    """Yield the bounds on this process's memory in bytes, each with its name."""
    yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "this machine's memory"
    for number, name in ((resource.RLIMIT_DATA, "ulimit -d"), (resource.RLIMIT_AS, "ulimit -v")):
        soft, _ = resource.getrlimit(number)
        if soft != resource.RLIM_INFINITY:
            yield soft, name
    if _CGROUP.exists():
        for line in _CGROUP.read_text().splitlines():
            folder = _CGROUPS / line.split(":", 2)[2].lstrip("/")
            for each in (folder, *folder.parents):
                file = each / "memory.max"
                if file.exists() and (text := file.read_text().strip()) != "max":
                    yield int(text), "the cgroup's memory.max"
