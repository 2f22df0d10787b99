"""Multi-objective ranking: from feedback logs to a model whose trade-offs you can see.

The command line is `recsys`; as a library, `evaluate` takes anyone's scores and gives long rows of metrics with
intervals, and `off_policy` the value of a policy that did not run.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys.evaluation.evaluation import evaluate
    from recsys.evaluation.policy_value import off_policy
    from recsys.objectives import Objective

__all__ = ["Objective", "evaluate", "off_policy"]


def __getattr__(name: str) -> Any:
    # Only on first use: `recsys --help`, and Ctrl-C in the first second, need not wait for numpy and pandas.
    if name in ("evaluate", "off_policy"):
        from recsys.evaluation import evaluate, off_policy

        return {"evaluate": evaluate, "off_policy": off_policy}[name]
    if name == "Objective":
        from recsys.objectives import Objective

        return Objective
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
