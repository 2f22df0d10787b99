"""Fusion weights for a stated aim: found on validation days, judged on test days."""

from recsys.fusion.tune import InfeasibleError, told, tune
from recsys.fusion.tuned import Aim, Effect, Tuned

__all__ = ["Aim", "Effect", "InfeasibleError", "Tuned", "told", "tune"]
