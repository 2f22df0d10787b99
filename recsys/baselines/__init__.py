"""Honest baselines: they are fitted on the same examples as any model, and leave the same predictions."""

from recsys.baselines.base import Baseline, Position
from recsys.baselines.fit_and_score import LEARNED, fit_and_score, write_predictions
from recsys.baselines.kept import score_kept

__all__ = ["LEARNED", "Baseline", "Position", "fit_and_score", "score_kept", "write_predictions"]
