"""How K losses become one step. A new way is a file with a `Balancer`, its options in config.py and a line in `BALANCERS`."""

from collections.abc import Sequence

from recsys.balancing.balancer import Balancer
from recsys.balancing.fixed import Fixed
from recsys.config import Balance
from recsys.objectives import Objective

BALANCERS: dict[str, type[Balancer]] = {"fixed": Fixed}

__all__ = ["BALANCERS", "Balancer", "Fixed", "build"]


def build(options: Balance, objectives: Sequence[Objective]) -> Balancer:
    return BALANCERS[options.method](options, objectives)
