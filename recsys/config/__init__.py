"""A pipeline's TOML as typed, frozen options. Imports no torch and no engine."""

from recsys.config.balance import Balance
from recsys.config.checks_options import Checks
from recsys.config.evaluate_options import MOST_CONFIDENCE, MOST_REPLICATES, Evaluate
from recsys.config.features_options import Features
from recsys.config.forms import FORMS, NAME
from recsys.config.fuse_options import Fuse
from recsys.config.known_truth import known_truth
from recsys.config.learning import Learning
from recsys.config.log_options import (
    ActionOptions,
    Columns,
    EventColumns,
    Feedback,
    FeedbackOptions,
    FileFormat,
    Formats,
    LogColumns,
    SideFormat,
    TimeOptions,
    duration_ms,
)
from recsys.config.model import Model
from recsys.config.narrowed import all_but, narrowed
from recsys.config.pipeline import Pipeline
from recsys.config.problems import of_a_word, problems_of
from recsys.config.promote_options import Promote
from recsys.config.reading import from_tables, load, load_in_part, options_from, with_table
from recsys.config.sources import (
    DAY,
    SOURCES,
    AnySource,
    EventsSource,
    KuaiRandSource,
    KuaiRecSource,
    MovieLensSource,
    OpenBanditSource,
    Source,
    TableSource,
    WorldOptions,
    WorldSource,
)
from recsys.config.spark_options import Spark
from recsys.config.split_options import Split
from recsys.config.tracking_options import SQLITE
from recsys.config.train_options import Negatives, Train

__all__ = [
    "DAY",
    "FORMS",
    "MOST_CONFIDENCE",
    "MOST_REPLICATES",
    "NAME",
    "SOURCES",
    "SQLITE",
    "ActionOptions",
    "AnySource",
    "Balance",
    "Checks",
    "Columns",
    "Evaluate",
    "EventColumns",
    "EventsSource",
    "Features",
    "Feedback",
    "FeedbackOptions",
    "FileFormat",
    "Formats",
    "Fuse",
    "KuaiRandSource",
    "KuaiRecSource",
    "Learning",
    "LogColumns",
    "Model",
    "MovieLensSource",
    "Negatives",
    "OpenBanditSource",
    "Pipeline",
    "Promote",
    "SideFormat",
    "Source",
    "Spark",
    "Split",
    "TableSource",
    "TimeOptions",
    "Train",
    "WorldOptions",
    "WorldSource",
    "all_but",
    "duration_ms",
    "from_tables",
    "known_truth",
    "load",
    "load_in_part",
    "narrowed",
    "of_a_word",
    "options_from",
    "problems_of",
    "with_table",
]
