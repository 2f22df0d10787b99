"""Loss balancing: the methods that turn K losses into one step.

A new method is a file with a `Balancer` (for one of TorchJD's, a class of a few lines beside the others), and its options in
config/balance.py.
"""

from collections.abc import Sequence
from pkgutil import resolve_name

from recsys.balancing.balancer import Balancer
from recsys.config import Balance
from recsys.config.balance import METHODS
from recsys.objectives import Objective

BALANCERS: dict[str, type[Balancer]] = {name: resolve_name(options.implementation) for name, options in METHODS.items()}

__all__ = ["BALANCERS", "Balancer", "build"]


def build(options: Balance, objectives: Sequence[Objective]) -> Balancer:
    """Build a fresh balancer of the chosen method. Raise ConfigError for a `balance.worst_case.baseline` that cannot be used."""
    return BALANCERS[options.method](options.chosen, objectives)
