"""A pipeline's TOML as typed, frozen options. Imports no torch and no engine."""

from recsys.config.pipeline import (
    Balance,
    Evaluate,
    Features,
    MMoEOptions,
    Model,
    Pipeline,
    SharedBottomOptions,
    SingleTaskOptions,
    Split,
    Train,
)
from recsys.config.reading import load, options_from
from recsys.config.sources import (
    AnySource,
    Columns,
    FeedbackOptions,
    KuaiRandSource,
    TableSource,
    TimeOptions,
    WorldOptions,
    WorldSource,
    duration_ms,
)

__all__ = [
    "AnySource",
    "Balance",
    "Columns",
    "Evaluate",
    "Features",
    "FeedbackOptions",
    "KuaiRandSource",
    "MMoEOptions",
    "Model",
    "Pipeline",
    "SharedBottomOptions",
    "SingleTaskOptions",
    "Split",
    "TableSource",
    "TimeOptions",
    "Train",
    "WorldOptions",
    "WorldSource",
    "duration_ms",
    "load",
    "options_from",
]
