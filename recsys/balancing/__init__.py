"""Loss balancing: the methods that turn K losses into one step.

A new method is a file with a `Balancer` (for one of TorchJD's, a class of a few lines beside the others), its options and its name in
config/balance.py, and a line in `BALANCERS`.
"""

from collections.abc import Sequence

from recsys.balancing.balancer import Balancer
from recsys.balancing.dwa import DWA
from recsys.balancing.famo import FAMO
from recsys.balancing.fixed import Fixed
from recsys.balancing.gradnorm import GradNorm
from recsys.balancing.scalarizers import IMTLL, STCH, GeometricMean, Random
from recsys.balancing.uncertainty import Uncertainty
from recsys.balancing.weightings import IMTLG, MGDA, AlignedMTL, CAGrad, FairGrad, GradVac, PCGrad, UPGrad
from recsys.balancing.worst_case import WorstCase
from recsys.config import Balance
from recsys.objectives import Objective

BALANCERS: dict[str, type[Balancer]] = {
    "fixed": Fixed,
    "gradnorm": GradNorm,
    "worst_case": WorstCase,
    "uncertainty": Uncertainty,
    "torchjd.dwa": DWA,
    "torchjd.famo": FAMO,
    "torchjd.stch": STCH,
    "torchjd.geometric_mean": GeometricMean,
    "torchjd.random": Random,
    "torchjd.imtl_l": IMTLL,
    "torchjd.mgda": MGDA,
    "torchjd.pcgrad": PCGrad,
    "torchjd.cagrad": CAGrad,
    "torchjd.upgrad": UPGrad,
    "torchjd.imtl_g": IMTLG,
    "torchjd.aligned_mtl": AlignedMTL,
    "torchjd.fairgrad": FairGrad,
    "torchjd.gradvac": GradVac,
}

__all__ = ["BALANCERS", "Balancer", "build"]


def build(options: Balance, objectives: Sequence[Objective]) -> Balancer:
    """Build a fresh balancer of the chosen method. Raise ConfigError for a `balance.worst_case.baseline` that cannot be used."""
    return BALANCERS[options.method](options.chosen, objectives)
