"""Metrics of plain arrays: labels and scores of one objective, perhaps with users and lists."""

from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike

from recsys import schema
from recsys.errors import ConfigError, DataError, data_error
from recsys.evaluation.evaluation import evaluate
from recsys.evaluation.inputs.rows import FloatArray, IntArray
from recsys.objectives import Kind, Objective

_NAME = "y"
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

    `y_true` [N] are labels, NaN or masked where one is not known. `y_score` [N] are predictions in the unit of the label, of a binary
    objective probabilities. `users` [N] names each row's user: intervals are over users, and `gauc` orders within them; without it each
    list is a user of its own, or each row where there are no lists. `lists` [N] names the list in which the row was shown (`gauc_list`),
    null where there was none; a list belongs to one user. Arrays may be of numpy, pandas, Arrow or torch. Columns: value, low, high, n,
    n_positive, coverage, reason. A metric that the rows do not define has no value, but a reason.

    Raises ConfigError where the arrays differ in length or shape or an option is out of range, and DataError where values are no numbers, a
    user is missing, and as `evaluate` does.

    >>> found = evaluate_arrays([1, 0, 1, 0, 0, 1], [0.9, 0.2, 0.4, 0.5, 0.1, 0.8], bootstrap=0)
    >>> round(float(found.loc["auc", "value"]), 3)
    0.889
    """
    if kind not in (kinds := [each for each in get_args(Kind) if each != "ordinal"]):
        why = ". Fix: use evaluate, which knows the levels" if kind == "ordinal" else ""
        raise ConfigError(f'kind: found "{kind}", expected {", ".join(kinds)}{why}')
    given: dict[str, Any] = {"y_true": y_true, "y_score": y_score, "users": users, "lists": lists}
    if absent := [name for name in ("y_true", "y_score") if given[name] is None]:
        raise ConfigError([f"{name}: found None, expected a value per row" for name in absent])
    series = {name: _column(name, values) for name, values in given.items() if values is not None}
    rows = len(series["y_true"])
    if problems := [
        f"{name}: found {len(each):,} values, expected {rows:,}, as many as y_true" for name, each in series.items() if len(each) != rows
    ]:
        raise ConfigError(problems)
    list_N = _codes(series["lists"]) if "lists" in series else np.full(rows, -1)
    alone_N = np.where(list_N < 0, list_N.max(initial=-1) + 1 + np.arange(rows), list_N)  # a row without a list is one of its own
    user_N = _codes(series["users"]) if "users" in series else alone_N
    if missing := int(np.count_nonzero(user_N < 0)):
        raise data_error("users", found="null", expected="a user of each row", bad_rows=missing, rows=rows, fix="leave these rows out")
    table = pa.table(
        {
            schema.EVENT_ID: np.arange(rows),
            schema.USER_ID: user_N,
            schema.TIMESTAMP: np.zeros(rows, np.int64),
            schema.REQUEST_ID: alone_N,
            schema.label_column(_NAME): pa.array(_numbers("y_true", series["y_true"]), from_pandas=True),
            schema.prediction_column(_NAME): _numbers("y_score", series["y_score"]),
        }
    )
    return _evaluated(table, kind, bootstrap=bootstrap, confidence=confidence, seed=seed)


def _evaluated(table: pa.Table, kind: Kind, **options: Any) -> pd.DataFrame:
    objective = Objective(name=_NAME, kind=kind, label=_NAME)
    try:
        found: pd.DataFrame = evaluate(table, [objective], run=_NAME, **options).to_pandas()
    except DataError as error:  # in the caller's words
        said = str(error).replace(f"predictions of run {_NAME} column ", "").replace(f"predictions of run {_NAME}", "y_true")
        names = {schema.label_column(_NAME): "y_true", schema.prediction_column(_NAME): "y_score"}
        for ours, theirs in names.items():
            said = said.replace(ours, theirs)
        raise DataError(said) from error
    return found.set_index("metric")[list(_COLUMNS)]


def _column(name: str, values: Any) -> "pd.Series[Any]":
    """Return the values as a column, masked ones as null. Raises ConfigError unless they have one dimension."""
    given = values
    if hasattr(values, "detach"):  # a tensor of torch, which is not imported for this
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()
    if isinstance(values, pa.Array | pa.ChunkedArray):
        values = values.to_pandas(integer_object_nulls=True)  # beside a null, as doubles, large ids would become one
    is_masked = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    if not isinstance(values, pd.Series | pd.Index | pd.api.extensions.ExtensionArray | list | tuple):
        values = np.ma.getdata(values) if is_masked is not None else np.asarray(values)
        if values.ndim == 2 and values.shape[1] == 1:
            values, is_masked = values[:, 0], is_masked if is_masked is None else is_masked[:, 0]
    try:
        shape = np.shape(values)
    except ValueError as error:
        raise ConfigError(f"{name}: found lists of different lengths, expected one value per row. Fix: put them into one list") from error
    if not shape:  # numpy makes one value of a generator, a set or a dict
        raise ConfigError(f"{name}: found one {type(given).__name__}, expected one value per row. Fix: put the values into a list")
    if len(shape) != 1:
        raise ConfigError(f"{name}: found an array of {' × '.join(map(str, shape))}, expected one value per row. Fix: take one column")
    is_ids = name in ("users", "lists")
    column = pd.Series(values, dtype=object if is_ids and isinstance(values, list | tuple) else None).reset_index(drop=True)
    if isinstance(column.dtype, np.dtype):
        column = column.astype(column.dtype.newbyteorder("="))  # pandas sorts no numbers of the other byte order
    return column if is_masked is None else column.astype(object).mask(is_masked)


def _numbers(name: str, column: "pd.Series[Any]") -> FloatArray:
    """Return the values as float64, null as NaN. Raises DataError for values that are no numbers."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    kind = getattr(column.dtype, "kind", "O")
    try:
        if kind in "cmM":  # complex numbers, spans and moments of time
            raise TypeError
        if isinstance(column.dtype, np.dtype) and kind in "biuf":
            return column.to_numpy(np.float64)
        return column.astype(object).where(column.notna(), np.nan).to_numpy(np.float64)
    except OverflowError as error:
        raise data_error(
            name, found="a whole number beyond the range of a 64-bit float", expected="numbers within it", fix="write another unit"
        ) from error
    except (TypeError, ValueError) as error:
        shown = next((each for each in column if not isinstance(each, int | float)), None)
        raise data_error(
            name, found=f"values of type {column.dtype} ({shown!r})", expected="numbers", fix="write 0 and 1, or the value"
        ) from error


def _codes(column: "pd.Series[Any]") -> IntArray:
    """Return the place of each value among the distinct ones in ascending order, −1 where it is null."""
    found: IntArray = pd.factorize(column, sort=True)[0].astype(np.int64)
    return found
