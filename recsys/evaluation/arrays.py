"""Metrics of plain arrays: labels and scores of one objective, perhaps with users and lists."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike

from recsys import schema
from recsys.errors import ConfigError
from recsys.evaluation.evaluation import evaluate
from recsys.objectives import Kind, Objective

_NAME = "y"
_APART = 3_600_000  # ms between two rows without a list, so that no two of them are a session
_COLUMNS = ("value", "low", "high", "n", "n_positive", "coverage", "reason")
# Legend: N rows.


def evaluate_arrays(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    users: ArrayLike | None = None,
    lists: ArrayLike | None = None,
    kind: Kind = "binary",
    bootstrap: int = 1_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute the metrics of one objective from arrays, one row per metric.

    `y_true` [N] are labels, NaN where one is not known. `y_score` [N] are predictions in the unit of the label, of a binary objective
    probabilities. `users` [N] names each row's user: intervals are over users, and `gauc` orders within them; without it each row is its
    own user. `lists` [N] names the list in which the row was shown (`gauc_list`); a list belongs to one user. Columns: value, low, high, n,
    n_positive, coverage, reason. A metric that the rows do not define has no value, but a reason.

    Raises ConfigError where the arrays differ in length or an option is out of range, and DataError as `evaluate` does.

    >>> found = evaluate_arrays([1, 0, 1, 0, 0, 1], [0.9, 0.2, 0.4, 0.5, 0.1, 0.8], bootstrap=0)
    >>> round(float(found.loc["auc", "value"]), 3)
    0.889
    """
    if kind == "ordinal":
        raise ConfigError('kind: found "ordinal", expected binary, regression or watch_time. Fix: use evaluate, which knows the levels')
    label_N, score_N = np.asarray(y_true, np.float64).ravel(), np.asarray(y_score, np.float64).ravel()
    rows = len(label_N)
    given: dict[str, Any] = {"y_score": score_N, "users": users, "lists": lists}
    sizes = {name: np.size(each) for name, each in given.items() if each is not None}
    problems = [f"{name}: found {size:,} values, expected {rows:,}, as many as y_true" for name, size in sizes.items() if size != rows]
    if problems:
        raise ConfigError(problems)
    table = pa.table(
        {
            schema.EVENT_ID: np.arange(rows),
            schema.USER_ID: np.arange(rows) if users is None else _codes(users),
            schema.TIMESTAMP: np.arange(rows) * _APART,
            **({} if lists is None else {schema.REQUEST_ID: _codes(lists)}),
            schema.label_column(_NAME): pa.array(label_N, from_pandas=True),
            schema.prediction_column(_NAME): score_N,
        }
    )
    objective = Objective(name=_NAME, kind=kind, label=_NAME)
    found: pd.DataFrame = evaluate(table, [objective], run=_NAME, bootstrap=bootstrap, confidence=confidence, seed=seed).to_pandas()
    return found.set_index("metric")[list(_COLUMNS)]


def _codes(names: ArrayLike) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.unique(np.asarray(names).ravel(), return_inverse=True)[1].astype(np.int64)
