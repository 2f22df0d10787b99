"""The memory that embedding tables need while a member is trained, beside what this process may have."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from recsys.errors import ConfigError
from recsys.models import ARCHITECTURES
from recsys.models.inputs import linear_weights
from recsys.nn.embeddings import is_large
from recsys.process_group import ALONE
from recsys.training.work import Training

_FLOAT = 4  # bytes of a number
_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")
_GIB = 1 << 30


def require_memory(training: Training) -> None:
    """Raise ConfigError where the embedding tables, with what the optimiser keeps of each row, need more memory than this process may have.

    So a training ends before its first step, in time order before a day that makes the tables grow, and not when the system kills it.
    Not counted is what there is beside the tables, some 750 MiB: the libraries, the net, a window of rows, and what a file takes to write.
    """
    model, objectives, rows = training.pipeline.model, len(training.pipeline.objective), training.layout.num_rows
    tables = ARCHITECTURES[model.architecture].num_tables(objectives)
    linear = linear_weights(model, objectives, tables)
    holders = training.holders if is_large(tables, rows) else ALONE
    # In time order the tables of the day before stand beside the grown ones. Shuffled: those of the best pass, and those before a refit.
    copies = 2 if training.continues else 1 + training.chooses + training.pipeline.train.keep_chosen
    sums = 2 if training.continues else 1
    needed = _FLOAT * tables * -(-rows // holders.size) * (copies * (model.d_embedding + linear) + sums * (1 + linear))
    limit, name = min(_limits())
    if needed > limit:
        more = "more processes (docs/on-a-cluster.md)" if training.transfer is None else "no train.init_from, and several processes"
        raise ConfigError(
            f"model.d_embedding: found {model.d_embedding} with embedding tables of {rows:,} rows, which need {needed / _GIB:,.1f} GiB in"
            f" this process with all that is kept of them, expected at most {limit / _GIB:,.1f} GiB ({name}). Fix: {more}, a higher"
            " features.min_count, or a smaller model.d_embedding"
        )


def _limits() -> Iterator[tuple[int, str]]:
    """Yield the bounds on this process's memory in bytes, each with its name. What a machine has is for all of its processes."""
    together = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // together, "this machine's memory"
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if soft != resource.RLIM_INFINITY:
        yield soft, "ulimit -d"
    if _CGROUP.exists():
        for line in _CGROUP.read_text().splitlines():
            folder = _CGROUPS / line.split(":", 2)[2].lstrip("/")
            for each in (folder, *folder.parents):
                file = each / "memory.max"
                if file.exists() and (text := file.read_text().strip()) != "max":
                    yield int(text) // together, "the cgroup's memory.max"
