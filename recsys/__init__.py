"""Multi-objective ranking: from feedback logs to a model whose trade-offs you can see.

The command line is `recsys`; as a library, `evaluate` takes anyone's scores and gives long rows of metrics with intervals.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys.evaluation import evaluate
    from recsys.objectives import Objective

__all__ = ["Objective", "evaluate"]


def __getattr__(name: str) -> Any:
    # Only on first use: `recsys --help`, and Ctrl-C in the first second, need not wait for numpy and pandas.
    if name == "evaluate":
        from recsys.evaluation import evaluate

        return evaluate
    if name == "Objective":
        from recsys.objectives import Objective

        return Objective
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
