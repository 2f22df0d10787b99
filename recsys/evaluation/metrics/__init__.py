"""The table of metrics. A new metric is one new entry here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from recsys import schema
from recsys.evaluation.inputs.rows import Rows
from recsys.evaluation.intervals.bootstrap import Estimate, Exact, Undefined
from recsys.evaluation.metrics import concordance, lists, offpolicy, probability, ranked_probability, ranking, regression
from recsys.list_metrics import ListMetric
from recsys.objectives import Kind, Objective

BINARY: tuple[Kind, ...] = ("binary",)
ORDINAL: tuple[Kind, ...] = ("ordinal",)
NUMERIC: tuple[Kind, ...] = ("regression", "watch_time", *ORDINAL)  # judged by their expected value
EVERY: tuple[Kind, ...] = BINARY + NUMERIC


@dataclass(frozen=True)
class Metric:
    """One way to judge the predictions of an objective.

    `better` is the direction of the metric, whatever the direction of the label. Even for a dismissal, higher AUC is better, because the
    prediction is of the label. None: neither direction (calibration is best at 1). `of_label`: the metric is a value of the label itself,
    so its direction is the objective's. `of_lists`: the metric judges the fused order and reads all impressions, not only those with a
    known label. `by_list`: the metric is a mean over lists. `main`: the metric is also reported by slice and by day. `centred`: see
    `bootstrap.interval`.
    """

    name: str
    kinds: tuple[Kind, ...]
    better: str | None
    estimate: Callable[[Rows], Estimate | Exact | Undefined]
    main: bool = False
    centred: bool = False
    of_label: bool = False
    of_lists: bool = False
    by_list: bool = False

    @property
    def reads_lists(self) -> bool:
        return self.of_lists or self.by_list

    def better_of(self, objective: Objective) -> str | None:
        return objective.better if self.of_label else self.better


METRICS = (
    Metric("auc", BINARY, schema.HIGHER, ranking.auc, main=True),
    Metric("gauc", BINARY, schema.HIGHER, ranking.gauc, main=True),
    Metric("gauc_list", BINARY, schema.HIGHER, ranking.gauc_list, main=True, by_list=True),
    Metric("pr_auc", BINARY, schema.HIGHER, ranking.pr_auc),
    Metric("log_loss", BINARY + ORDINAL, schema.LOWER, probability.log_loss, main=True),
    Metric("normalized_entropy", BINARY, schema.LOWER, probability.normalized_entropy, main=True),
    Metric("rps", ORDINAL, schema.LOWER, ranked_probability.rps, main=True),
    Metric("ece", BINARY, schema.LOWER, probability.ece, main=True, centred=True),
    Metric("calibration", EVERY, None, probability.calibration, main=True),
    Metric("rmse", NUMERIC, schema.LOWER, regression.rmse, main=True),
    Metric("mae", NUMERIC, schema.LOWER, regression.mae, main=True),
    Metric("r2", NUMERIC, schema.HIGHER, regression.r2),
    Metric("xauc", NUMERIC, schema.HIGHER, concordance.xauc, main=True),
    Metric("xgauc", NUMERIC, schema.HIGHER, concordance.xgauc, main=True),
    Metric("xgauc_list", NUMERIC, schema.HIGHER, concordance.xgauc_list, main=True, by_list=True),
    Metric("spearman", NUMERIC, schema.HIGHER, concordance.spearman),
)

# What an objective is judged by first. Pooled metrics mix two questions: which users will, and which item a user will. The metrics within
# lists ask the second one alone; where too few lists can tell, the metric within users stands in.
POOLED = ("auc", "rmse", "xauc")
WITHIN = {"gauc_list": "gauc", "xgauc_list": "xgauc"}  # within lists → within users
IN_GROUPS = (*WITHIN, *WITHIN.values())
HEADLINE = ("auc", "gauc_list", "gauc", "rmse", "xauc", "xgauc_list", "xgauc")

# Metrics of predictions with the propensities of a logging and a target policy. They judge the target policy, not the predictions.
OFF_POLICY = (
    Metric("ips", EVERY, None, offpolicy.ips, of_label=True),
    Metric("ips_clipped", EVERY, None, offpolicy.ips_clipped, of_label=True),
    Metric("snips", EVERY, None, offpolicy.snips, main=True, of_label=True),
    Metric("dr", EVERY, None, offpolicy.dr, main=True, of_label=True),
    Metric("ess", EVERY, schema.HIGHER, offpolicy.ess, main=True),
    Metric("max_weight", EVERY, schema.LOWER, offpolicy.max_weight),
)


def is_within_lists(*, lists_tell: bool, users_tell: bool) -> bool:
    """Return whether an objective is judged within lists, and not within users.

    `lists_tell`: the metric within lists has an interval, or needs none. `users_tell`: the one within users has a value.
    """
    return lists_tell or not users_tell


def main_metric(objective: Objective) -> str:
    """Return the metric that judges an objective where one number must do: AUC, or XAUC, its counterpart for values."""
    return "auc" if objective.kind in BINARY else "xauc"


def list_metrics(list_k: Sequence[int], top_percent: Sequence[float]) -> tuple[Metric, ...]:
    """Return the metrics of the fused order: `ndcg@K` and `captured@K` for each K, `captured@P%` for each P, each once."""
    of_lists = [ListMetric(kind, k=k) for kind in ("ndcg", "captured") for k in list_k]
    of_all = [ListMetric("captured", percent=percent) for percent in top_percent]
    return tuple({str(asked): list_metric(asked) for asked in [*of_lists, *of_all]}.values())


def list_metric(asked: ListMetric) -> Metric:
    """Return one metric of the fused order.

    One order serves all objectives. So the metric takes the direction of an objective's label: capturing fewer dismissals is better.
    """
    if asked.percent is not None:
        estimate = partial(lists.captured_overall, percent=asked.percent)
    else:
        assert asked.k is not None, "a metric has a k or a percent"
        estimate = partial(lists.ndcg if asked.kind == "ndcg" else lists.captured_in_lists, k=asked.k)
    return Metric(str(asked), EVERY, None, estimate, main=True, of_label=True, of_lists=True)
