"""A trained model: its members, its folder, the device that it runs on, and its predictions."""

from recsys.scoring.permutation import Permuted, permuted
from recsys.scoring.scorer import Scorer, load, score, score_frozen

__all__ = ["Permuted", "Scorer", "load", "permuted", "score", "score_frozen"]
