"""The evaluation of predictions, as rows in long format: every metric of every objective, with intervals and paired differences.

An objective with `given` is judged twice. Its joint form is judged on all rows with a known label. Its conditional form has the name
`like|click`, and is judged on those of these rows whose given label is 1. Its prediction is `pred.like|click`, or where that column is
absent `pred.like` / `pred.click`. An ordinal objective is judged by its expected value, and by the probabilities of its levels where the
run has `pred.X=LEVEL`.

Where the run has a `score`, the order by it is judged too, for each objective: `ndcg@K`, `captured@K` and `captured@P%`
(`metrics.lists`). In a slice, places are those in whole lists. Where the run has both `propensity` and `target_propensity`, the rows of
`off_policy` follow those of each objective, with the same draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys import predictions as prediction_files
from recsys import schema
from recsys.errors import ConfigError
from recsys.evaluation.inputs.propensities import has_propensities, known_rows, weighed, with_softmax
from recsys.evaluation.inputs.scored_impressions import Impressions, as_table, check_options, read_impressions
from recsys.evaluation.inputs.scores import Scores, check_predictions, check_same_impressions, read_scores
from recsys.evaluation.inputs.targets import targets
from recsys.evaluation.long_rows import Settings, long_rows
from recsys.evaluation.metrics import METRICS, OFF_POLICY, Metric, list_metrics
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
    target_temperature: float | None = None,
    metrics: Sequence[str] | None = None,
    also: Sequence[str] = (),
) -> pa.Table:
    """Compute the metrics of one run's `predictions`, as rows of schema.METRICS.

    They have the columns of predictions.parquet. They need event_id, user_id, timestamp and each objective's `label.X` and `pred.X`.
    Without a split column, all rows are "test". Each split and objective gets every metric on the whole (slice "all"). The main metrics are
    also given per day, where a split has several days, and per value of each of `slices` (default: all `slice.…` columns, and "position" in
    bins). A null value has slice_value null. Beyond the 200 most frequent values, all others share the slice_value "(other values)".
    `gauc_list` and `xgauc_list` order by `rank.X` where there is one, the metrics of the fused order by `score`. The others judge `pred.X`.

    `against`: other runs' predictions of the same impressions, joined by event_id. Rows with `against` hold this run minus the other.
    `train_means`: the mean training label per objective or conditional form, for normalised entropy. Default: from the table's metadata.
    `bootstrap`: the number of replicates over users, which give `low` and `high` at `confidence`. With 0 there are no intervals.
    `list_k`, `top_percent`: the K and the P of the metrics of the fused order.
    `target_temperature`: each run's target policy samples by its fused score. The softmax of `score` over each request's candidates then
    replaces any `target_propensity`. A run without `propensity`, `score` or `request_id` is refused.
    `metrics`: the names of the wanted metrics; default all. `also`: names of other runs in `against` whose own rows are wanted too.

    A metric that the rows do not define is null, with a reason. A `reason` beside a value says why the value has no interval. `n` counts
    rows with a known label, `n_positive` those with a positive one. `coverage` is the share of `n` that the value rests on.

    Raise DataError for predictions that cannot be judged: a missing column, repeated impressions, a prediction missing where the label is
    known, other impressions in another run. Raise ConfigError for options out of range.

    >>> import pandas as pd
    >>> shown = {"event_id": [1, 2, 3, 4], "user_id": ["ann", "ann", "ben", "ben"], "timestamp": [0, 1, 2, 3]}  # ms since 1970
    >>> predictions = pd.DataFrame({**shown, "label.click": [1, 0, 0, 1], "pred.click": [0.8, 0.3, 0.4, 0.2]})
    >>> rows = evaluate(predictions, [Objective(name="click")], run="mine", bootstrap=0).to_pandas()
    >>> float(rows.set_index("metric").loc["auc", "value"])
    0.5
    """
    _refuse_other_types(train_means, slices=slices, metrics=metrics, also=also)
    check_options(
        objectives, run, against, also, bootstrap=bootstrap, seed=seed, confidence=confidence, list_k=list_k, top_percent=top_percent
    )
    of_objectives = [column(o.name) for column in (schema.prediction_column, schema.label_column) for o in objectives]
    table = as_table(predictions, run, needed=[schema.USER_ID, schema.TIMESTAMP, *of_objectives])  # report all missing columns at once
    this = read_scores(table, objectives, run, labels=True)
    check_predictions(this, this.label)
    impressions = read_impressions(table, run, slices)
    tables = {run: table} | {name: as_table(other, name) for name, other in (against or {}).items()}
    runs = _runs(this, tables, objectives, impressions, target_temperature)
    means = prediction_files.train_means(table.schema) if train_means is None else train_means
    settings = Settings(run, bootstrap, confidence, seed, means, also)
    return long_rows(impressions, runs, settings, targets(objectives), _wanted(_all_metrics(runs[0], list_k, top_percent), metrics))


def _refuse_other_types(means: Any, **names: Sequence[str] | None) -> None:
    """Raise ConfigError for means that are no mapping to numbers, and for one text in place of a list of names."""
    problems = [
        f'{option}: found the text "{given}", expected a list of names. Fix: ["{given}"]'
        for option, given in names.items()
        if isinstance(given, str)
    ]
    is_mapping = means is None or isinstance(means, Mapping)
    if not is_mapping or not all(isinstance(mean, int | float | np.number) for mean in (means or {}).values()):
        problems.append(f"train_means: found {means!r}, expected a mapping of objectives to numbers. Fix: {{name: mean label}}")
    if problems:
        raise ConfigError(problems)


def _runs(
    this: Scores, tables: Mapping[str, pa.Table], objectives: Sequence[Objective], impressions: Impressions, temperature: float | None
) -> list[Scores]:
    """Return the scores of each table, that of `this` run first, weighed where a table has propensities or a temperature makes them."""
    scored = {name: this if name == this.run else _other(this, name, table, objectives) for name, table in tables.items()}
    if temperature is not None:
        known_N = known_rows(this.label)
        tables = {n: with_softmax(table, impressions.list_N, known_N, n, temperature=temperature) for n, table in tables.items()}
    return [weighed(scored[n], table, impressions, this.label) if has_propensities(table) else scored[n] for n, table in tables.items()]


def _all_metrics(scores: Scores, list_k: Sequence[int], top_percent: Sequence[float]) -> tuple[Metric, ...]:
    """Return the metrics that a run with these scores can have."""
    of_lists = () if scores.score_N is None else list_metrics(list_k, top_percent)
    return (*METRICS, *of_lists, *(OFF_POLICY if scores.importance else ()))


def _wanted(all_: Sequence[Metric], names: Sequence[str] | None) -> tuple[Metric, ...]:
    """Return the metrics in `names` (None: all), in the order of `all_`.

    Raise ConfigError for a name that these predictions do not have.
    """
    there = [metric.name for metric in all_]
    unknown = [] if names is None else [name for name in names if name not in there]
    if unknown:
        raise ConfigError(f"metrics: found {', '.join(unknown)}, expected some of {', '.join(there)}. Fix: leave the others out")
    return tuple(metric for metric in all_ if names is None or metric.name in names)


def _other(this: Scores, run: str, table: pa.Table, objectives: Sequence[Objective]) -> Scores:
    other = read_scores(table, objectives, run, labels=False)
    check_same_impressions(this, other)
    check_predictions(other, this.label)
    return replace(other, label={})  # they are those of this run: of millions of rows, a copy takes room
