"""predictions.parquet: the one file in which a model, a baseline or any other system leaves its scores.

The fused score is the weighted product of Zhao et al. (RecSys 2019, section 4.2) in logarithms.

Legend: N rows, K objectives, V values of a row: K expected values, then the probabilities of levels (`value_names`).
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys import schema
from recsys.errors import DataError, Place, data_error, nearest
from recsys.objectives import Objective, chain

_SEPARATORS = (",", ";", "\t", "|")
FLOOR = 1e-6  # a smaller probability or expected value is fused as this one: log 0 would decide alone

SMALLEST = 1e-12  # the least divisor of a conditional probability: below any rate of a feed, above 0

_TRAIN_MEANS = b"recsys.train_means"


def value_names(objectives: Sequence[Objective]) -> tuple[str, ...]:
    """Return the names of the values that a model predicts per row, in order.

    Each objective's expected value comes first, then the probability of each level of the ordinal objectives.
    """
    levels = (schema.level_name(objective.name, level) for objective in objectives for level in objective.levels)
    return (*(objective.name for objective in objectives), *levels)


def conditional(joint_N: NDArray[np.float64], given_N: NDArray[np.float64], place: Place) -> NDArray[np.float64]:
    """Compute P(a | b) = P(a and b) / P(b), at most 1; NaN where either is not known.

    Raises DataError if either is not a probability. The error names `place`, where the quotient would stand.
    """
    bad = int(np.count_nonzero((joint_N < 0) | (joint_N > 1) | (given_N < 0) | (given_N > 1)))
    if bad:
        raise data_error(
            place,
            found="no such column, and values outside [0, 1] in the two whose quotient it is",
            expected="probabilities",
            bad_rows=bad,
            rows=len(joint_N),
            fix="write probabilities, or this column beside them",
        )
    quotient_N: NDArray[np.float64] = np.minimum(joint_N / np.maximum(given_N, SMALLEST), 1.0)
    return quotient_N


_CARRIED = (
    schema.EVENT_ID,
    schema.USER_ID,
    schema.ITEM_ID,
    schema.TIMESTAMP,
    schema.REQUEST_ID,
    schema.PROPENSITY,
    schema.TARGET_PROPENSITY,
    schema.BIAS + schema.POSITION,
)


def carried(examples: Iterable[str]) -> list[str]:
    """Return the columns of examples that `assemble` reads."""
    return [name for name in examples if name in _CARRIED or name.startswith((schema.SLICE, schema.LABEL, schema.KNOWN))]


def fused_score(values_NK: NDArray[np.float64], objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """Compute the fused score Σ_k w_k · term of objective k.

    The terms are added in the order of `objectives`; any sum in this order has the same bits. `values_NK` are expected values in each
    label's own unit, one column per objective, in the order of `objectives`.
    """
    score = np.zeros(len(values_NK))
    for k, objective in enumerate(objectives):
        score += objective.fusion_weight * fused_term(values_NK[:, k], objective)
    return score


def ranking_columns(there: Sequence[str], objectives: Sequence[Objective]) -> list[str]:
    """Return the column that orders lists for each objective: `rank.X` where `there` holds it, else `pred.X`."""
    names = [(schema.rank_column(objective.name), schema.prediction_column(objective.name)) for objective in objectives]
    return [rank if rank in there else predicted for rank, predicted in names]


def fused_again(predictions: pa.Table, objectives: Sequence[Objective]) -> pa.Table:
    """Return the predictions with their score under the fusion weights of `objectives`, to the same bits as `assemble` would give."""
    values_NK = np.column_stack([predictions[name].to_numpy() for name in ranking_columns(predictions.column_names, objectives)])
    score = pa.array(fused_score(values_NK, objectives), pa.float64())
    return predictions.set_column(predictions.column_names.index(schema.SCORE), schema.SCORE, score)


def fused_term(value_N: NDArray[np.float64], objective: Objective) -> NDArray[np.float64]:
    """Compute log max(v, 1e-6) of expected values v.

    Where lower is better, return the same log of the complement 1 − v for probabilities, and minus the log for other kinds.
    """
    if objective.better == schema.LOWER and objective.is_probability:
        return np.log(np.maximum(1.0 - value_N, FLOOR))
    log_N: NDArray[np.float64] = np.log(np.maximum(value_N, FLOOR))
    return log_N if objective.better == schema.HIGHER else -log_N


def assemble(
    examples: pa.Table,
    *,
    day: str,
    split: str,
    objectives: Sequence[Objective],
    predicted_NV: NDArray[np.float64],
    ranking_NK: NDArray[np.float64] | None = None,
    train_means: Mapping[str, float],
) -> pa.Table:
    """Assemble one day's predictions in the form of predictions.parquet.

    `examples` is the day's table of examples, or any projection of it that holds the ids, `slice.…`, `label.…`, `known.…` and
    `bias.position`. `predicted_NV` are values in the order of `value_names`, or the K expected values alone. `ranking_NK` is the same
    prediction with the position missing, where the model sees a position; only expected values are kept of it. An objective with `given`
    gets its conditional form too: `pred.like|click` = `pred.like` / `pred.click`. `train_means` (objective, or conditional form → mean
    label over its training rows) is stored in the file's metadata. Normalised entropy needs this background rate, and an evaluation does
    not open the log. Raises ValueError for another number of values.
    """
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        name: examples[name] for name in (schema.EVENT_ID, schema.USER_ID, schema.ITEM_ID, schema.TIMESTAMP)
    }
    rows = len(examples)
    columns[schema.DAY] = pa.array([day] * rows, pa.string())
    columns[schema.SPLIT] = pa.array([split] * rows, pa.string())
    for name in (schema.REQUEST_ID, schema.PROPENSITY, schema.TARGET_PROPENSITY):
        if name in examples.column_names:
            columns[name] = examples[name]
    position = schema.BIAS + schema.POSITION
    if position in examples.column_names:
        columns[schema.POSITION] = examples[position]
    for prefix in (schema.SLICE, schema.LABEL, schema.KNOWN):
        columns |= {name: examples[name] for name in examples.column_names if name.startswith(prefix)}
    columns |= _predicted(objectives, predicted_NV, ranking_NK, place=f"predictions of {day}")
    columns[schema.SCORE] = pa.array(fused_score(predicted_NV if ranking_NK is None else ranking_NK, objectives), pa.float64())
    return pa.table(columns).replace_schema_metadata({_TRAIN_MEANS: json.dumps(dict(train_means)).encode()})


def _predicted(
    objectives: Sequence[Objective], predicted_NV: NDArray[np.float64], ranking_NK: NDArray[np.float64] | None, *, place: str
) -> dict[str, pa.Array]:
    """Return the columns of expected values and ranks, then those of levels, then those of conditional forms."""
    names = value_names(objectives)
    if predicted_NV.shape[1] not in (len(objectives), len(names)):
        raise ValueError(f"{predicted_NV.shape[1]} values per row, expected {len(objectives)}, or with the levels {len(names)}")
    values = dict(zip(names, predicted_NV.T, strict=False))
    columns = {}
    for k, objective in enumerate(objectives):
        columns[schema.prediction_column(objective.name)] = values.pop(objective.name)
        if ranking_NK is not None:
            columns[schema.rank_column(objective.name)] = ranking_NK[:, k]
    columns |= {schema.prediction_column(level): values_N for level, values_N in values.items()}
    for objective in objectives:
        if objective.given is not None:
            name = schema.prediction_column(schema.conditional_name(objective.name, objective.given))
            joint_N, given_N = (columns[schema.prediction_column(of)] for of in (objective.name, objective.given))
            columns[name] = conditional(joint_N, given_N, Place(place, column=name))
    return {name: pa.array(values_N, pa.float64()) for name, values_N in columns.items()}


def train_means(predictions: pa.Schema) -> dict[str, float]:
    """Return the background means that `assemble` put into the file's metadata; empty for another system's file."""
    means: dict[str, float] = json.loads((predictions.metadata or {}).get(_TRAIN_MEANS, b"{}"))
    return means


def known_before(predictions: pa.Table, moment: int | None) -> pa.Table:
    """Return the table as it may be fitted to. On its validation rows, labels that are known only at `moment` (ms UTC) or later are null.

    Labels without a `known.X`, as in another system's file, count as known. `moment` None hides nothing.
    """
    table = predictions
    if moment is None or schema.SPLIT not in table.column_names:
        return table
    fitted = pyarrow.compute.equal(table[schema.SPLIT], schema.VALIDATION)
    for known in [name for name in table.column_names if name.startswith(schema.KNOWN)]:
        label = schema.label_column(schema.strip(known, schema.KNOWN))
        hidden = pyarrow.compute.and_(fitted, pyarrow.compute.fill_null(pyarrow.compute.greater_equal(table[known], moment), False))
        shown = pyarrow.compute.if_else(hidden, pa.scalar(None, table[label].type), table[label])
        table = table.set_column(table.column_names.index(label), label, shown)
    return table


def read_foreign(path: Path, objectives: Sequence[Objective]) -> tuple[pa.Table, tuple[Objective, ...]]:
    """Read another system's scores: parquet, or text with a header, separated by commas, semicolons, tabs or bars.

    Return them with the objectives that they hold: those with a `label.X` or a `pred.X`. `day` (UTC), `split` (all test), conditional forms
    and `score` are derived where absent. The probabilities of levels may be absent. Raises DataError where the file cannot be read or lacks
    event_id, user_id, timestamp (milliseconds), one of the two columns of an objective, or all objectives; the error names every missing
    column at once. Raises DataError also where a value is derived from a prediction that is not a
    number, or not a probability.
    """
    table = _read(path)
    if twice := [name for name, times in Counter(table.column_names).items() if times > 1]:
        raise data_error(path, found=f"the columns {', '.join(twice)} more than once", expected="each column once", fix="keep one of each")
    objectives = _held(table, objectives)
    needed = [schema.EVENT_ID, schema.USER_ID, schema.TIMESTAMP]
    for objective in objectives:
        needed += [schema.label_column(objective.name), schema.prediction_column(objective.name)]
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise data_error(
            path,
            found=f"no column {', '.join(name + nearest(name, set(table.column_names) - set(needed)) for name in missing)}",
            expected="event_id, user_id, timestamp and label.X, pred.X of each objective that is to be judged",
            fix="add them",
        )
    if not len(table):
        raise data_error(path, found="no rows", expected="one row per scored impression", fix="give the file that holds the scores")
    if not pa.types.is_int64(table.schema.field(schema.TIMESTAMP).type):
        raise data_error(
            f"{path} column {schema.TIMESTAMP}",
            found=str(table.schema.field(schema.TIMESTAMP).type),
            expected="int64 milliseconds since 1970",
            fix="write the time of the impression in milliseconds",
        )
    if schema.DAY not in table.column_names:
        stamps = table[schema.TIMESTAMP].cast(pa.timestamp("ms"))
        table = table.append_column(schema.DAY, pa.compute.strftime(stamps, format="%Y-%m-%d"))
    if schema.SPLIT not in table.column_names:
        table = table.append_column(schema.SPLIT, pa.array([schema.TEST] * len(table), pa.string()))
    for objective in objectives:
        if objective.given is None:
            continue
        name = schema.prediction_column(schema.conditional_name(objective.name, objective.given))
        if name not in table.column_names:
            joint_N, given_N = (_numbers(table, schema.prediction_column(of), path) for of in (objective.name, objective.given))
            table = table.append_column(name, pa.array(conditional(joint_N, given_N, Place(path, column=name))))
    if schema.SCORE not in table.column_names:
        by = [rank if (rank := schema.rank_column(o.name)) in table.column_names else schema.prediction_column(o.name) for o in objectives]
        values_NK = np.column_stack([_numbers(table, name, path) for name in by])
        table = table.append_column(schema.SCORE, pa.array(fused_score(values_NK, objectives)))
    return table, objectives


def _held(table: pa.Table, objectives: Sequence[Objective]) -> tuple[Objective, ...]:
    """Return the objectives of which the file has a column, and those by which they are `given`; all of them where it has none."""

    def is_there(objective: Objective) -> bool:
        columns = (schema.label_column(objective.name), schema.prediction_column(objective.name))
        return any(column in table.column_names for column in columns)

    needed = {of.name for objective in objectives if is_there(objective) for of in chain(objective, objectives)}
    return tuple(objective for objective in objectives if objective.name in needed or not needed)


def _numbers(table: pa.Table, column: str, path: Path) -> NDArray[np.float64]:
    """Return a column as float64, null as NaN."""
    try:
        return np.asarray(table[column].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    except pa.ArrowException as error:
        raise data_error(
            Place(path, column=column), found=f"values of type {table[column].type}", expected="numbers", fix="write the column as numbers"
        ) from error


def _read(path: Path) -> pa.Table:
    try:
        with path.open("rb") as file:
            first = file.readline(1 << 20)
        if first.startswith(b"PAR1"):
            return pq.read_table(path)
        separator = max(_SEPARATORS, key=lambda each: first.count(each.encode()))  # that of the header; a tie: the comma
        return pa.csv.read_csv(path, parse_options=pa.csv.ParseOptions(delimiter=separator))
    except FileNotFoundError as error:
        raise DataError(f"{path}: found no such file, expected predictions as parquet or text. Fix: check the path") from error
    except (OSError, pa.ArrowException) as error:
        detail = str(error).splitlines()[0]
        raise data_error(
            path, found=f"a file that cannot be read ({detail})", expected="parquet, or text with a header", fix="write it again"
        ) from error
