"""The memory that embedding tables need while a member is trained, beside what this process may have."""

from recsys.errors import ConfigError
from recsys.memory_limits import memory_limits
from recsys.models import ARCHITECTURES
from recsys.models.inputs import linear_weights
from recsys.nn.embeddings import is_large
from recsys.process_group import ALONE
from recsys.training.work import Training

_FLOAT = 4  # bytes of a number
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
    limit, name = min(memory_limits())
    if needed > limit:
        more = "more processes (docs/on-a-cluster.md)" if training.transfer is None else "no train.init_from, and several processes"
        raise ConfigError(
            f"model.d_embedding: found {model.d_embedding} with embedding tables of {rows:,} rows, which need {needed / _GIB:,.1f} GiB in"
            f" this process with all that is kept of them, expected at most {limit / _GIB:,.1f} GiB ({name}). Fix: {more}, a higher"
            " features.min_count, or a smaller model.d_embedding"
        )
