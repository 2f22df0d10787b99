"""predictions.parquet: the one file in which a model, a baseline or any other system leaves its scores.

The fused score is the weighted product of Zhao et al. (RecSys 2019, section 4.2) in logarithms.

Legend: N rows, K objectives, V values of a row (`value_names`), R of them that order lists (`ranking_names`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from recsys import schema
from recsys.errors import Place, data_error
from recsys.objectives import Objective

FLOOR = 1e-6  # a smaller probability or expected value is fused as this one: log 0 would decide alone

SMALLEST = 1e-12  # the least divisor of a conditional probability: below any rate of a feed, above 0

_TRAIN_MEANS = b"recsys.train_means"


def value_names(objectives: Sequence[Objective]) -> tuple[str, ...]:
    """Return the names of the values that a model predicts per row, in order.

    Those of `ranking_names` come first, then the probability of each level of the ordinal objectives.
    """
    levels = (schema.level_name(objective.name, level) for objective in objectives for level in objective.levels)
    return (*ranking_names(objectives), *levels)


def ranking_names(objectives: Sequence[Objective]) -> tuple[str, ...]:
    """Return the names of the values that order impressions: each objective's expected value, then the percentiles of those that have one.

    A percentile is the expected share of the training rows that were watched for less time. Expected watch times of long videos are high
    because of a few long watches, so they do not tell which of two impressions was watched longer. Percentiles do.
    """
    percentiles = (schema.percentile_name(objective.name) for objective in objectives if objective.has_percentile)
    return (*(objective.name for objective in objectives), *percentiles)


def ranking_values(values_NV: NDArray[np.float64], objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """Return the columns of `ranking_names`, [N, R], which are the first of those of `value_names`."""
    return values_NV[:, : len(ranking_names(objectives))]


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

_TOLD_BESIDE = (schema.EVENT_ID, schema.SPLIT, schema.REQUEST_ID, schema.PROPENSITY, schema.TARGET_PROPENSITY, schema.SCORE)


def carried(examples: Iterable[str]) -> list[str]:
    """Return the columns of examples that `assemble` reads."""
    return [name for name in examples if name in _CARRIED or name.startswith((schema.SLICE, schema.LABEL, schema.KNOWN))]


def judged(names: Iterable[str]) -> list[str]:
    """Return the columns of predictions.parquet that say how good a run is: all but the times at which labels became known."""
    return [name for name in names if not name.startswith(schema.KNOWN)]


def judged_beside(names: Iterable[str]) -> list[str]:
    """Return the columns of predictions.parquet that compare a run with another one of the same impressions.

    They tell whether the impressions are the same, and hold what the run predicts. Users, times and slices are those of the other run.
    """
    return [name for name in names if name in _TOLD_BESIDE or name.startswith((schema.LABEL, schema.PREDICTION, schema.RANK))]


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
    ranking_NR: NDArray[np.float64] | None = None,
    train_means: Mapping[str, float],
) -> pa.Table:
    """Assemble one day's predictions in the form of predictions.parquet.

    `examples` is the day's table of examples, or any projection of it that holds the ids, `slice.…`, `label.…`, `known.…` and
    `bias.position`. `predicted_NV` are values in the order of `value_names`, or the K expected values alone. `ranking_NR` is the same
    prediction with the position missing, where the model sees a position, in the order of `ranking_names`. An objective with `given` gets
    its conditional form too: `pred.like|click` = `pred.like` / `pred.click`. `train_means` (objective, or conditional form → mean label
    over its training rows) is stored in the file's metadata. Normalised entropy needs this background rate, and an evaluation does not
    open the log. Raises ValueError for another number of values.
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
    columns |= _predicted(objectives, predicted_NV, ranking_NR, place=f"predictions of {day}")
    columns[schema.SCORE] = pa.array(fused_score(predicted_NV if ranking_NR is None else ranking_NR, objectives), pa.float64())
    return pa.table(columns).replace_schema_metadata({_TRAIN_MEANS: json.dumps(dict(train_means)).encode()})


def _predicted(
    objectives: Sequence[Objective], predicted_NV: NDArray[np.float64], ranking_NR: NDArray[np.float64] | None, *, place: str
) -> dict[str, pa.Array]:
    """Return the columns of expected values and percentiles, each with its rank, then those of levels, then those of conditional forms."""
    names, ranked = value_names(objectives), ranking_names(objectives)
    if predicted_NV.shape[1] not in (len(objectives), len(names)):
        raise ValueError(f"{predicted_NV.shape[1]} values per row, expected {len(objectives)}, or with percentiles and levels {len(names)}")
    columns = {}
    for v, name in enumerate(names[: predicted_NV.shape[1]]):
        columns[schema.prediction_column(name)] = predicted_NV[:, v]
        if ranking_NR is not None and v < len(ranked):
            columns[schema.rank_column(name)] = ranking_NR[:, v]
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
