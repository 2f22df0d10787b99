"""Evaluation works in numpy: it turns predictions into rows in long format. It knows no torch, no model and no training config."""

from recsys.evaluation.anchors import anchors
from recsys.evaluation.backtests import Contestants, backtest_rows, backtest_table
from recsys.evaluation.comparison import comparison
from recsys.evaluation.evaluation import evaluate
from recsys.evaluation.fronts import beyond_noise, dominates, front_share, hypervolume, hypervolume_replicates, non_dominated
from recsys.evaluation.inputs.groups import sessions
from recsys.evaluation.inputs.position_bins import position_bins
from recsys.evaluation.inputs.propensities import softmax_propensity
from recsys.evaluation.inputs.rows import Rows
from recsys.evaluation.inputs.scored_impressions import as_table
from recsys.evaluation.inputs.scores import Scores, read_scores
from recsys.evaluation.inputs.slices import MOST_VALUES, OTHERS
from recsys.evaluation.inputs.targets import Target, targets
from recsys.evaluation.intervals.bootstrap import (
    ALIKE,
    MIN_USERS,
    Interval,
    UserDraws,
    effective_number,
    interval,
    least_replicates,
    percentile_interval,
)
from recsys.evaluation.intervals.dominance import Dominant, dominant_users
from recsys.evaluation.intervals.seeds import SHARED_REFERENCE, SeedNoise, half_widths
from recsys.evaluation.measured import Measured, difference
from recsys.evaluation.metrics import (
    HEADLINE,
    METRICS,
    OFF_POLICY,
    POOLED,
    WITHIN,
    Metric,
    is_within_lists,
    list_metric,
    list_metrics,
    main_metric,
)
from recsys.evaluation.metrics.probability import calibration_curve
from recsys.evaluation.over_seeds import gains
from recsys.evaluation.paired import Judged, Paired, headline, judged_by, one_within, paired, two_questions
from recsys.evaluation.permutation_importance import falls
from recsys.evaluation.points import Ends, Points, later_rows, sweep_rows
from recsys.evaluation.policy_value import off_policy
from recsys.evaluation.position_curve import position_curve
from recsys.evaluation.questions import by_question, left_out_rows, only_valued

__all__ = [
    "ALIKE",
    "HEADLINE",
    "METRICS",
    "MIN_USERS",
    "MOST_VALUES",
    "OFF_POLICY",
    "OTHERS",
    "POOLED",
    "SHARED_REFERENCE",
    "WITHIN",
    "Contestants",
    "Dominant",
    "Ends",
    "Interval",
    "Judged",
    "Measured",
    "Metric",
    "Paired",
    "Points",
    "Rows",
    "Scores",
    "SeedNoise",
    "Target",
    "UserDraws",
    "anchors",
    "as_table",
    "backtest_rows",
    "backtest_table",
    "beyond_noise",
    "by_question",
    "calibration_curve",
    "comparison",
    "difference",
    "dominant_users",
    "dominates",
    "effective_number",
    "evaluate",
    "falls",
    "front_share",
    "gains",
    "half_widths",
    "headline",
    "hypervolume",
    "hypervolume_replicates",
    "interval",
    "is_within_lists",
    "judged_by",
    "later_rows",
    "least_replicates",
    "left_out_rows",
    "list_metric",
    "list_metrics",
    "main_metric",
    "non_dominated",
    "off_policy",
    "one_within",
    "only_valued",
    "paired",
    "percentile_interval",
    "position_bins",
    "position_curve",
    "read_scores",
    "sessions",
    "softmax_propensity",
    "sweep_rows",
    "targets",
    "two_questions",
]
