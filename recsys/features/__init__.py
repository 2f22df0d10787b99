"""Events → examples: point in time, written once in Ibis, run on DuckDB day by day with kept state."""

from recsys.features.build import Built, build
from recsys.features.check import check
from recsys.features.columns import Columns
from recsys.features.plan import feature_config, plan_fingerprint
from recsys.features.steps import read_columns

__all__ = ["Built", "Columns", "build", "check", "feature_config", "plan_fingerprint", "read_columns"]
