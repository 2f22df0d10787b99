"""Examples from events, with features as of each impression's moment.

The features are written once, in Ibis. An engine (DuckDB, or Spark) computes them day by day and keeps state between the days.
"""

from recsys.features.build import build
from recsys.features.candidates import Candidates, needed_columns
from recsys.features.check import check, problems, require
from recsys.features.duckdb_engine import DuckDBEngine
from recsys.features.factors import advice, come_often
from recsys.features.feature_columns import Columns
from recsys.features.plan import signal_delays
from recsys.features.preview import Preview, columns_of, preview
from recsys.features.steps import Step, all_steps, days_with_events, read_columns, spans

__all__ = [
    "Candidates",
    "Columns",
    "DuckDBEngine",
    "Preview",
    "Step",
    "advice",
    "all_steps",
    "build",
    "check",
    "columns_of",
    "come_often",
    "days_with_events",
    "needed_columns",
    "preview",
    "problems",
    "read_columns",
    "require",
    "signal_delays",
    "spans",
]
