"""The value of a policy that did not run, as rows in long format, from a log with two propensities."""

from collections.abc import Mapping, Sequence

import pandas as pd
import pyarrow as pa

from recsys import schema
from recsys.evaluation.inputs.propensities import known_rows, require_propensities, weighed, with_softmax
from recsys.evaluation.inputs.scored_impressions import as_table, check_options, read_impressions, require_objectives
from recsys.evaluation.inputs.scores import check_same_impressions, read_scores
from recsys.evaluation.inputs.targets import targets
from recsys.evaluation.long_rows import Settings, long_rows
from recsys.evaluation.metrics import OFF_POLICY
from recsys.objectives import Objective


def off_policy(
    predictions: pa.Table | pd.DataFrame,
    objectives: Sequence[Objective],
    *,
    run: str,
    temperature: float | None = None,
    against: Mapping[str, pa.Table | pd.DataFrame] | None = None,
    bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    slices: Sequence[str] | None = None,
) -> pa.Table:
    """Estimate the mean label under a policy that did not run, as rows of schema.METRICS: ips, ips_clipped, snips, dr, ess, max_weight.

    `predictions` needs event_id, user_id, timestamp, each objective's `label.X`, the `propensity` of the logging policy, and the
    `target_propensity` of the target policy. With a `temperature`, `score` and `request_id` are needed in place of `target_propensity`. The
    target propensity is then the softmax of `score` over each list's candidates. Only dr needs `pred.X`. A candidate that was not shown is
    a row without labels and without `propensity`. The formulas and their assumptions stand in `metrics.offpolicy`. The other
    options are those of `evaluate`. An objective with `given` is valued by its joint label.

    Raises DataError where a propensity is absent, not above 0, or above 1, where the logging policy never chose at random, and as
    `evaluate` does. Raises ConfigError for options out of range.

    >>> import pandas as pd
    >>> shown = {"event_id": [1, 2, 3, 4], "user_id": ["ann", "ann", "ben", "ben"], "timestamp": [0, 1, 2, 3], "label.click": [1, 0, 0, 1]}
    >>> chances = {"propensity": [0.5, 0.5, 0.25, 0.5], "target_propensity": [1.0, 0.0, 0.5, 0.5]}  # under the logging and the new policy
    >>> rows = off_policy(pd.DataFrame({**shown, **chances}), [Objective(name="click")], run="new", bootstrap=0).to_pandas()
    >>> float(rows.set_index("metric").loc["ips", "value"])  # (1 · 2 + 0 · 0 + 0 · 2 + 1 · 1) / 4
    0.75
    """
    require_objectives(objectives)
    joint = [objective.model_copy(update={"given": None}) for objective in objectives]
    check_options(joint, run, against, bootstrap=bootstrap, seed=seed, confidence=confidence)
    tables = {name: as_table(table, name) for name, table in {run: predictions, **(against or {})}.items()}
    for name, table in tables.items():
        require_propensities(table, name, temperature=temperature)
        tables[name] = _with_predictions(table, joint)
    runs = [read_scores(table, joint, name, labels=name == run) for name, table in tables.items()]
    for other in runs[1:]:
        check_same_impressions(runs[0], other)
    impressions, label = read_impressions(tables[run], run, slices), runs[0].label
    if temperature is not None:
        known_N = known_rows(label)
        tables = {n: with_softmax(table, impressions.list_N, known_N, n, temperature=temperature) for n, table in tables.items()}
    runs = [weighed(scores, tables[scores.run], impressions, label) for scores in runs]
    return long_rows(impressions, runs, Settings(run, bootstrap, confidence, seed, {}), targets(joint), OFF_POLICY)


def _with_predictions(table: pa.Table, objectives: Sequence[Objective]) -> pa.Table:
    """Return the table with an empty prediction column for each objective that has none."""
    for column in (schema.prediction_column(objective.name) for objective in objectives):
        if column not in table.column_names:
            table = table.append_column(column, pa.nulls(len(table), pa.float64()))
    return table
