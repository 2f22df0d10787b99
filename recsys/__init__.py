"""Multi-objective ranking: from feedback logs to a model whose trade-offs you can see.

The command line is `recsys`. As a library: `load_pipeline` and `run` do what `recsys run` does, and `open_run` gives what a run has left.
`evaluate` takes anyone's scores and gives long rows of metrics with intervals, `evaluate_arrays` the same of plain arrays, and
`off_policy` the value of a policy that did not run.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys.evaluation.arrays import evaluate_arrays
    from recsys.evaluation.evaluation import evaluate
    from recsys.evaluation.policy_value import off_policy
    from recsys.library import Run, load_pipeline, open_run, run
    from recsys.objectives import Objective

__all__ = ["Objective", "Run", "evaluate", "evaluate_arrays", "load_pipeline", "off_policy", "open_run", "run"]

# Imported on first use only: `recsys --help`, and Ctrl-C in the first second, need not wait for numpy and pandas.
_WHERE = {
    "Objective": "recsys.objectives",
    "evaluate": "recsys.evaluation.evaluation",
    "evaluate_arrays": "recsys.evaluation.arrays",
    "off_policy": "recsys.evaluation.policy_value",
    **dict.fromkeys(("Run", "load_pipeline", "open_run", "run"), "recsys.library"),
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})  # a notebook completes names by it, and those of `_WHERE` are no globals
