"""The loop, the optimisers, the checkpoint, the device, and scoring."""

from recsys.training.permutation import Permuted, permuted
from recsys.training.score import Scorer, load, score
from recsys.training.train import train

__all__ = ["Permuted", "Scorer", "load", "permuted", "score", "train"]
