"""Ranking models: one frame, and one file per architecture, which says how objectives share what is learned.

A new architecture is a file with a `Sharing`, its options in config/model.py and a line in `SHARING`.
"""

from collections.abc import Sequence

from torch import Tensor

from recsys.config import Model
from recsys.encoding.layout import Layout
from recsys.models.add_task import AddTask
from recsys.models.aitm import AITM
from recsys.models.budget import sized
from recsys.models.cgc import CGC
from recsys.models.concat_task import ConcatTask
from recsys.models.cost import multiplications, parameters
from recsys.models.cross_stitch import CrossStitchNets
from recsys.models.deep_relationship import DeepRelationship
from recsys.models.film import FiLM
from recsys.models.gated_independent import GatedIndependent
from recsys.models.home import HoME
from recsys.models.mmoe import MMoE
from recsys.models.mtan import MTAN
from recsys.models.omoe import OMoE
from recsys.models.pepnet import PEPNet
from recsys.models.ple import PLE
from recsys.models.ranker import Output, ParameterGroups, Position, Ranker
from recsys.models.shared_bottom import SharedBottom
from recsys.models.sharing import Look, Priors, Setting, Shared, Sharing
from recsys.models.single_task import SingleTask
from recsys.models.sluice import Sluice
from recsys.models.soft import Soft
from recsys.models.stem import STEM
from recsys.objectives import Objective

SHARING: dict[str, type[Sharing]] = {
    "single_task": SingleTask,
    "shared_bottom": SharedBottom,
    "soft": Soft,
    "gated_independent": GatedIndependent,
    "concat_task": ConcatTask,
    "add_task": AddTask,
    "film": FiLM,
    "cross_stitch": CrossStitchNets,
    "sluice": Sluice,
    "mtan": MTAN,
    "deep_relationship": DeepRelationship,
    "omoe": OMoE,
    "mmoe": MMoE,
    "cgc": CGC,
    "ple": PLE,
    "home": HoME,
    "pepnet": PEPNet,
    "stem": STEM,
    "aitm": AITM,
}

__all__ = [
    "SHARING",
    "Look",
    "Output",
    "ParameterGroups",
    "Position",
    "Priors",
    "Ranker",
    "Setting",
    "Shared",
    "Sharing",
    "build",
    "multiplications",
    "parameters",
    "sized",
]


def build(options: Model, layout: Layout, objectives: Sequence[Objective], starts_K: Tensor, seed: int) -> Ranker:
    """Build a fresh ranker, the same for the same seed. Its every prediction is the best constant (`starts_K`, from losses/).

    Its widths are those of the options. Raise ValueError where the options have a budget: `sized` turns a budget into widths, once per
    training.
    """
    if options.budget_macs is not None:
        raise ValueError(f"model.budget_macs: found {options.budget_macs:,}, expected widths that were made of it (recsys.models.sized)")
    return Ranker(options, layout, objectives, starts_K, seed, sharing=SHARING[options.sharing])
