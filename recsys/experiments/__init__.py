"""Experiments: variants × seeds as ordinary runs, judged together. A sweep and a study of affinity are two; studies/ has others."""

from recsys.experiments.affinity import only, run_affinity
from recsys.experiments.backtest import Asked, run_backtest
from recsys.experiments.sweep import Judge, run_sweep
from recsys.experiments.trained import Run, open_runs, paired, points, trained
from recsys.experiments.variants import Variant

__all__ = [
    "Asked",
    "Judge",
    "Run",
    "Variant",
    "only",
    "open_runs",
    "paired",
    "points",
    "run_affinity",
    "run_backtest",
    "run_sweep",
    "trained",
]
