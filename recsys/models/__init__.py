"""Ranking models: one frame, and one file per architecture, which says how objectives share what is learned.

A new architecture is a file with an `Architecture`, and its options in config/architectures.py.
"""

from collections.abc import Sequence
from pkgutil import resolve_name

from torch import Tensor

from recsys.config import Model
from recsys.config.architectures import Architectures
from recsys.encoding.layout import Layout
from recsys.models.architecture import Architecture, Look, Priors, Setting, Shared
from recsys.models.budget import sized
from recsys.models.cost import multiplications, parameters
from recsys.models.inputs import DRAWN, TableStart
from recsys.models.ranker import Output, ParameterGroups, Position, Ranker
from recsys.objectives import Objective

ARCHITECTURES: dict[str, type[Architecture]] = {
    name: resolve_name(field.default.implementation) for name, field in Architectures.model_fields.items()
}

__all__ = [
    "ARCHITECTURES",
    "DRAWN",
    "Architecture",
    "Look",
    "Output",
    "ParameterGroups",
    "Position",
    "Priors",
    "Ranker",
    "Setting",
    "Shared",
    "TableStart",
    "build",
    "multiplications",
    "parameters",
    "sized",
]


def build(
    options: Model, layout: Layout, objectives: Sequence[Objective], starts_K: Tensor, seed: int, tables_start: TableStart = DRAWN
) -> Ranker:
    """Build a fresh ranker, the same for the same seed. Its every prediction is the best constant (`starts_K`, from losses/).

    Its widths are those of the options. Raise ValueError where the options have a budget: `sized` turns a budget into widths, once per
    training.
    """
    if options.budget_macs is not None:
        raise ValueError(f"model.budget_macs: found {options.budget_macs:,}, expected widths that were made of it (recsys.models.sized)")
    return Ranker(options, layout, objectives, starts_K, seed, architecture=ARCHITECTURES[options.architecture], tables_start=tables_start)
