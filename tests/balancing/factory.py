"""Objectives, options and Gramians for the tests of balancing. Shape letters: K objectives, D width of a gradient, R rank."""

import torch

from recsys.balancing import BALANCERS, build
from recsys.config import Balance
from recsys.objectives import Objective


def objectives(loss_weights):
    kinds = ("binary", "regression", "watch_time")
    return [Objective(name=f"o{k}", label="x", kind=kinds[k % 3], loss_weight=weight) for k, weight in enumerate(loss_weights)]


def options(method, **changes):
    table = changes
    for part in reversed(method.split(".")):
        table = {part: table}
    return Balance.model_validate({"method": method, **table})


def balancer(method, loss_weights=(1.0, 1.0, 1.0), **changes):
    return build(options(method, **changes), objectives(loss_weights))


def gradients(num, d=12, *, rank=None, seed=0):
    """[K, D] float64, random; of a lower rank if asked."""
    draws = torch.Generator().manual_seed(seed)  # and not the global state, which some methods draw from
    rank = rank or d
    left_KR, right_RD = (torch.randn(shape, generator=draws, dtype=torch.float64) for shape in ((num, rank), (rank, d)))
    return left_KR @ right_RD


def gramian(num, d=12, *, rank=None, seed=0):
    gradients_KD = gradients(num, d, rank=rank, seed=seed)
    return gradients_KD @ gradients_KD.T


def losses(num, seed=0):
    return 0.3 + 0.7 * torch.rand(num, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


METHODS = list(BALANCERS)
DRAWN = ("torchjd.random", "torchjd.pcgrad", "torchjd.gradvac")  # from the random state
