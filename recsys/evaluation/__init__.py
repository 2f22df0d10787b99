"""Evaluation: numpy in, long rows out. Knows no torch, no model, no config of training."""

from recsys.evaluation.bootstrap import Interval, UserDraws, interval
from recsys.evaluation.evaluate import evaluate
from recsys.evaluation.groups import bursts
from recsys.evaluation.metrics import METRICS, Metric
from recsys.evaluation.probability import calibration_curve
from recsys.evaluation.rows import Rows
from recsys.evaluation.scores import Scores, read_scores
from recsys.evaluation.targets import Target, targets

__all__ = [
    "METRICS",
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
    "read_scores",
    "targets",
]
