"""Predictions in, long rows out: every metric of every objective, with intervals and paired differences."""

from collections.abc import Mapping, Sequence

import pandas as pd
import pyarrow as pa

from recsys import predictions as prediction_files
from recsys.evaluation.importance import has_propensities, weighed
from recsys.evaluation.inputs import as_table, check_options, read_impressions
from recsys.evaluation.long_rows import Settings, long_rows
from recsys.evaluation.metrics import METRICS, OFF_POLICY, list_metrics
from recsys.evaluation.scores import Scores, check_predictions, check_same_impressions, read_scores
from recsys.evaluation.targets import targets
from recsys.objectives import Objective


def evaluate(
    predictions: pa.Table | pd.DataFrame,
    objectives: Sequence[Objective],
    *,
    run: str,
    against: Mapping[str, pa.Table | pd.DataFrame] | None = None,
    train_means: Mapping[str, float] | None = None,
    bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    slices: Sequence[str] | None = None,
    list_k: Sequence[int] = (5, 10),
    top_percent: Sequence[float] = (10.0,),
) -> pa.Table:
    """The metrics of one run's predictions as rows of schema.METRICS.

    `predictions` has the columns of predictions.parquet; event_id, user_id, timestamp and each objective's `label.X` and
    `pred.X` are needed. Without a split all rows are "test". Rows come per split and objective: every metric on the whole
    (slice "all"), the main ones also by day, where a split has several, and by each value of `slices` (default: all
    `slice.…` columns; a null value of a slice has slice_value null).
    `gauc_list` orders by `rank.X` where there is one; all other metrics judge `pred.X`, the prediction for the log as it was shown.
    An objective with `given` is judged twice: jointly, on all rows with a known label, and under the name `like|click` as
    `pred.like|click` (where that column is absent: `pred.like` / `pred.click`) on those of them whose given label is 1. An ordinal one
    is judged by its expected value, and where the run has `pred.X=LEVEL` by the probabilities of its levels.

    `against`: other runs' predictions of the same impressions, joined by event_id. Their rows say this run minus the
    other; both are resampled with the same users.
    `train_means`: the mean training label by objective or conditional form, for normalised entropy; default what the table's metadata says.
    `bootstrap` replicates over users give `low` and `high` at `confidence`; 0: none.

    Where the run has a `score`, the order by it is judged too, for each objective: `ndcg@K` and `captured@K` for the K of `list_k`,
    `captured@P%` for the P of `top_percent` (`recsys.evaluation.lists`). In a slice, places are those in whole lists.
    A metric that the rows do not define is null with a reason. `reason` beside a value says why it has no interval.
    Where the run has both `propensity` and `target_propensity`, the rows of `off_policy` follow those of each objective, on the same draws.
    `n` counts rows with a known label, `n_positive` those of a positive label (binary objectives), `coverage` is the share of
    `n` that the value rests on.

    Raises DataError for predictions that cannot be judged (a missing column, repeated impressions, a prediction missing
    where the label is known, runs that scored different impressions), ConfigError for options out of range.
    """
    check_options(objectives, run, against or {}, bootstrap, confidence)
    table = as_table(predictions, run)
    this = read_scores(table, objectives, run, labels=True)
    check_predictions(this, this.label)
    impressions = read_impressions(table, run, slices)
    tables = {run: table, **{name: as_table(other, name) for name, other in (against or {}).items()}}
    scored = {name: this if name == run else _other(this, name, each, objectives) for name, each in tables.items()}
    runs = [weighed(scored[n], each, impressions, this.label) if has_propensities(each) else scored[n] for n, each in tables.items()]
    means = prediction_files.train_means(table.schema) if train_means is None else train_means
    settings = Settings(run, bootstrap, confidence, seed, means)
    of_lists = () if this.score_N is None else list_metrics(list_k, top_percent)
    metrics = (*METRICS, *of_lists, *(OFF_POLICY if runs[0].importance else ()))
    return long_rows(impressions, runs, settings, targets(objectives), metrics)


def _other(this: Scores, run: str, table: pa.Table, objectives: Sequence[Objective]) -> Scores:
    other = read_scores(table, objectives, run, labels=False)
    check_same_impressions(this, other)
    check_predictions(other, this.label)
    return other
