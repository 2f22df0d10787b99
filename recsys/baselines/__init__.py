"""Honest baselines: they are fitted on the same examples as any model, and leave the same predictions."""

from recsys.baselines.base import Baseline, Position
from recsys.baselines.fit_and_score import BASELINES, fit_and_score, write_predictions

__all__ = ["BASELINES", "Baseline", "Position", "fit_and_score", "write_predictions"]
