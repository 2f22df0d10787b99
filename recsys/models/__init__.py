"""Ranking models: one frame, and one file a way of sharing what is learned between objectives.

A new way is a file with a `Sharing`, its options in config.py and a line in `SHARING`.
"""

from collections.abc import Sequence

from torch import Tensor

from recsys.config import Model
from recsys.encoding.layout import Layout
from recsys.models.cost import multiplications, parameters
from recsys.models.frame import Output, ParameterGroups, Position, Ranker
from recsys.models.mmoe import MMoE
from recsys.models.shared_bottom import SharedBottom
from recsys.models.sharing import Shared, Sharing
from recsys.models.single_task import SingleTask
from recsys.objectives import Objective

SHARING: dict[str, type[Sharing]] = {
    "single_task": SingleTask,
    "shared_bottom": SharedBottom,
    "mmoe": MMoE,
}

__all__ = ["SHARING", "Output", "ParameterGroups", "Position", "Ranker", "Shared", "Sharing", "build", "multiplications", "parameters"]


def build(options: Model, layout: Layout, objectives: Sequence[Objective], starts_K: Tensor, seed: int) -> Ranker:
    """A fresh ranker, equal for a seed, whose every prediction is the best constant (`starts_K`, from losses/)."""
    return Ranker(options, layout, objectives, starts_K, seed, sharing=SHARING[options.sharing])
