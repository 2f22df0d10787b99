"""A pipeline's TOML as typed, frozen options. Imports no torch and no engine."""

from recsys.config.balance import Balance
from recsys.config.evaluate_options import Evaluate
from recsys.config.features_options import Features
from recsys.config.fuse_options import Fuse
from recsys.config.learning import Learning
from recsys.config.model import (
    AddTaskOptions,
    AITMOptions,
    CGCOptions,
    ConcatTaskOptions,
    CrossStitchOptions,
    DeepRelationshipOptions,
    Descriptor,
    FiLMOptions,
    GatedIndependentOptions,
    HoMEOptions,
    MMoEOptions,
    Model,
    MTANOptions,
    OMoEOptions,
    PEPNetOptions,
    PLEOptions,
    SharedBottomOptions,
    SingleTaskOptions,
    SluiceOptions,
    SoftOptions,
    STEMOptions,
)
from recsys.config.narrowed import all_but, narrowed
from recsys.config.pipeline import Pipeline
from recsys.config.reading import load, options_from, with_table
from recsys.config.sources import (
    SOURCES,
    AnySource,
    Columns,
    FeedbackOptions,
    KuaiRandSource,
    OpenBanditSource,
    Source,
    TableSource,
    TimeOptions,
    WorldOptions,
    WorldSource,
    duration_ms,
)
from recsys.config.split_options import Split
from recsys.config.train_options import Negatives, Train

__all__ = [
    "SOURCES",
    "AITMOptions",
    "AddTaskOptions",
    "AnySource",
    "Balance",
    "CGCOptions",
    "Columns",
    "ConcatTaskOptions",
    "CrossStitchOptions",
    "DeepRelationshipOptions",
    "Descriptor",
    "Evaluate",
    "Features",
    "FeedbackOptions",
    "FiLMOptions",
    "Fuse",
    "GatedIndependentOptions",
    "HoMEOptions",
    "KuaiRandSource",
    "Learning",
    "MMoEOptions",
    "MTANOptions",
    "Model",
    "Negatives",
    "OMoEOptions",
    "OpenBanditSource",
    "PEPNetOptions",
    "PLEOptions",
    "Pipeline",
    "STEMOptions",
    "SharedBottomOptions",
    "SingleTaskOptions",
    "SluiceOptions",
    "SoftOptions",
    "Source",
    "Split",
    "TableSource",
    "TimeOptions",
    "Train",
    "WorldOptions",
    "WorldSource",
    "all_but",
    "duration_ms",
    "load",
    "narrowed",
    "options_from",
    "with_table",
]
