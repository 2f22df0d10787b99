"""Evaluation: numpy in, long rows out. Knows no torch, no model, no config of training."""

from recsys.evaluation.bootstrap import Interval, UserDraws, interval
from recsys.evaluation.evaluate import evaluate
from recsys.evaluation.groups import bursts
from recsys.evaluation.metrics import METRICS, OFF_POLICY, Metric, list_metric, list_metrics
from recsys.evaluation.offpolicy import softmax_propensity
from recsys.evaluation.policy_value import off_policy
from recsys.evaluation.probability import calibration_curve
from recsys.evaluation.rows import Rows
from recsys.evaluation.scores import Scores, read_scores
from recsys.evaluation.targets import Target, targets

__all__ = [
    "METRICS",
    "OFF_POLICY",
    "Interval",
    "Metric",
    "Rows",
    "Scores",
    "Target",
    "UserDraws",
    "bursts",
    "calibration_curve",
    "evaluate",
    "interval",
    "list_metric",
    "list_metrics",
    "off_policy",
    "read_scores",
    "softmax_propensity",
    "targets",
]
