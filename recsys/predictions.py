"""predictions.parquet: the one file in which a model, a baseline and any other system leave their scores.

The fused score is the weighted product of Zhao et al. (RecSys 2019, section 4.2) in logarithms.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys import schema
from recsys.errors import DataError, data_error
from recsys.objectives import Objective

FLOOR = 1e-6  # a probability or an expected value below this is fused as this: log 0 would decide alone

_TRAIN_MEANS = b"recsys.train_means"


def fused_score(values_NK: NDArray[np.float64], objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """Σ_k w_k · log max(v_k, 1e-6), and log of the complement (probabilities) or minus the log (else) where lower is better.

    `values_NK` are expected values in each label's own unit, one column an objective, in the order of `objectives`.
    """
    score = np.zeros(len(values_NK))
    for k, objective in enumerate(objectives):
        value = values_NK[:, k]
        if objective.better == schema.HIGHER:
            score += objective.fusion_weight * np.log(np.maximum(value, FLOOR))
        elif objective.is_probability:
            score += objective.fusion_weight * np.log(np.maximum(1.0 - value, FLOOR))
        else:
            score -= objective.fusion_weight * np.log(np.maximum(value, FLOOR))
    return score


def assemble(
    examples: pa.Table,
    *,
    day: str,
    split: str,
    objectives: Sequence[Objective],
    predicted_NK: NDArray[np.float64],
    ranking_NK: NDArray[np.float64] | None = None,
    train_means: Mapping[str, float],
) -> pa.Table:
    """One day's predictions in the border schema.

    `examples` is the day's table of examples, or any projection of it that holds the ids, `slice.…`, `label.…` and
    `bias.position`. `ranking_NK` is the same prediction with the position missing, where the model sees a position.
    `train_means` (objective → mean label over its training rows) travels in the file's metadata: normalised entropy
    needs the background rate, and the log is not opened for an evaluation.
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
    for prefix in (schema.SLICE, schema.LABEL):
        columns |= {name: examples[name] for name in examples.column_names if name.startswith(prefix)}
    for k, objective in enumerate(objectives):
        columns[schema.prediction_column(objective.name)] = pa.array(predicted_NK[:, k], pa.float64())
        if ranking_NK is not None:
            columns[schema.rank_column(objective.name)] = pa.array(ranking_NK[:, k], pa.float64())
    by = predicted_NK if ranking_NK is None else ranking_NK
    columns[schema.SCORE] = pa.array(fused_score(by, objectives), pa.float64())
    return pa.table(columns).replace_schema_metadata({_TRAIN_MEANS: json.dumps(dict(train_means)).encode()})


def train_means(predictions: pa.Schema) -> dict[str, float]:
    """The background means that `assemble` put into the file's metadata; empty for another system's file."""
    means: dict[str, float] = json.loads((predictions.metadata or {}).get(_TRAIN_MEANS, b"{}"))
    return means


def read_foreign(path: Path, objectives: Sequence[Objective]) -> pa.Table:
    """Another system's scores, parquet or csv. `day` (UTC), `split` (all test) and `score` are derived where absent.

    Raises DataError, naming every missing column at once, where the file cannot be read or lacks event_id, user_id,
    timestamp (milliseconds), or label.X and pred.X of an objective.
    """
    table = _read(path)
    needed = [schema.EVENT_ID, schema.USER_ID, schema.TIMESTAMP]
    for objective in objectives:
        needed += [schema.label_column(objective.name), schema.prediction_column(objective.name)]
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise data_error(
            path,
            found=f"no column {', '.join(missing)}",
            expected="event_id, user_id, timestamp and label.X, pred.X of each objective",
            fix="add them, or name fewer objectives in the TOML",
        )
    if not len(table):
        raise data_error(path, found="no rows", expected="one row a scored impression", fix="give the file that holds the scores")
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
    if schema.SCORE not in table.column_names:
        by = [rank if (rank := schema.rank_column(o.name)) in table.column_names else schema.prediction_column(o.name) for o in objectives]
        values_NK = np.column_stack([table[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in by])
        table = table.append_column(schema.SCORE, pa.array(fused_score(values_NK, objectives)))
    return table


def _read(path: Path) -> pa.Table:
    try:
        return pa.csv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: found no such file, expected predictions as parquet or csv. Fix: check the path") from error
    except (OSError, pa.ArrowException) as error:
        detail = str(error).splitlines()[0]
        raise data_error(
            path, found=f"a file that cannot be read ({detail})", expected="parquet, or csv by its name", fix="write it again"
        ) from error
