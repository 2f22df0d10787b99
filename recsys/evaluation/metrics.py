"""The table of metrics: adding one is one entry here."""

from collections.abc import Callable
from dataclasses import dataclass

from recsys import schema
from recsys.evaluation import concordance, ordinal, probability, ranking, regression
from recsys.evaluation.bootstrap import Estimate, Undefined
from recsys.evaluation.rows import Rows
from recsys.objectives import Kind

BINARY: tuple[Kind, ...] = ("binary",)
ORDINAL: tuple[Kind, ...] = ("ordinal",)
NUMERIC: tuple[Kind, ...] = ("regression", "watch_time", *ORDINAL)  # judged by their expected value


@dataclass(frozen=True)
class Metric:
    """One way to judge the predictions of an objective.

    `better` is the direction of the metric, whatever the direction of the label: AUC of a dismissal is better higher,
    because the prediction is of the label. None: neither way (calibration is best at 1). `main` metrics are reported by slice
    and by day too. `centred`: see `bootstrap.interval`.
    """

    name: str
    kinds: tuple[Kind, ...]
    better: str | None
    estimate: Callable[[Rows], Estimate | Undefined]
    main: bool = False
    centred: bool = False


METRICS = (
    Metric("auc", BINARY, schema.HIGHER, ranking.auc, main=True),
    Metric("gauc", BINARY, schema.HIGHER, ranking.gauc, main=True),
    Metric("gauc_list", BINARY, schema.HIGHER, ranking.gauc_list, main=True),
    Metric("pr_auc", BINARY, schema.HIGHER, ranking.pr_auc),
    Metric("log_loss", BINARY + ORDINAL, schema.LOWER, probability.log_loss, main=True),
    Metric("normalized_entropy", BINARY, schema.LOWER, probability.normalized_entropy, main=True),
    Metric("rps", ORDINAL, schema.LOWER, ordinal.rps, main=True),
    Metric("ece", BINARY, schema.LOWER, probability.ece, centred=True),
    Metric("calibration", BINARY + NUMERIC, None, probability.calibration, main=True),
    Metric("rmse", NUMERIC, schema.LOWER, regression.rmse, main=True),
    Metric("mae", NUMERIC, schema.LOWER, regression.mae, main=True),
    Metric("r2", NUMERIC, schema.HIGHER, regression.r2),
    Metric("xauc", NUMERIC, schema.HIGHER, concordance.xauc, main=True),
    Metric("xgauc", NUMERIC, schema.HIGHER, concordance.xgauc),
    Metric("spearman", NUMERIC, schema.HIGHER, concordance.spearman),
)
