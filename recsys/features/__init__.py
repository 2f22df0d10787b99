"""Examples from events, with features as of each impression's moment.

The features are written once, in Ibis. DuckDB computes them day by day and keeps state between the days.
"""

from recsys.features.build import Built, build
from recsys.features.check import check
from recsys.features.columns import Columns
from recsys.features.plan import feature_config, plan_fingerprint
from recsys.features.steps import read_columns

__all__ = ["Built", "Columns", "build", "check", "feature_config", "plan_fingerprint", "read_columns"]
