"""Two ends that metrics are seen between, of the judged rows alone: a constant prediction's, and that of the labels themselves."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import predictions as prediction_files
from recsys import schema
from recsys.evaluation.paired import Judged, paired
from recsys.objectives import Objective

CONSTANT, LABELS = "a constant", "the labels themselves"


def anchors(
    predictions: pa.Table, objectives: Sequence[Objective], judged: Sequence[Judged], *, split: str
) -> tuple[list[float | None], list[float | None]]:
    """Of each number its value for a constant prediction (.5 of AUC), and for the labels as predictions (1 of AUC); None: undefined.

    The constant is the mean training label where the table says it, else that of the rows; its order is by event_id. The labels are
    ordered by themselves, an unknown one as the 0 that it gains. Neither depends on what a model predicted, only on rows and labels, so
    they are fixed points that runs of one log can be held against.
    """
    rows = predictions
    if schema.SPLIT in rows.column_names:
        rows = rows.filter(pc.equal(rows[schema.SPLIT], split))
    own = [name for name in rows.column_names if name.startswith((schema.PREDICTION, schema.RANK)) or name == schema.SCORE]
    bare = rows.drop_columns(own)
    means = prediction_files.train_means(predictions.schema)
    constant = {o.name: np.full(len(bare), means.get(o.name, pc.mean(bare[schema.label_column(o.name)]).as_py())) for o in objectives}
    low = _numbers(bare, constant, np.zeros(len(bare)), CONSTANT, objectives, judged, split)
    label = {o.name: bare[schema.label_column(o.name)].cast(pa.float64()).to_numpy() for o in objectives}
    high = [
        number
        for each in judged
        for number in _numbers(bare, label, _order(label, each.target.objective), LABELS, objectives, [each], split)
    ]
    return low, high


def _order(label: dict[str, np.ndarray], objective: Objective) -> np.ndarray:
    """A score by which the objective's labels come best first."""
    gain_N = np.asarray(np.nan_to_num(label[objective.name]))
    return gain_N if objective.better == schema.HIGHER else -gain_N


def _numbers(
    bare: pa.Table,
    predicted: dict[str, np.ndarray],
    score_N: np.ndarray,
    name: str,
    objectives: Sequence[Objective],
    judged: Sequence[Judged],
    split: str,
) -> list[float | None]:
    table = bare
    for objective in objectives:
        table = table.append_column(schema.prediction_column(objective.name), pa.array(predicted[objective.name]))
    table = table.append_column(schema.SCORE, pa.array(score_N))
    found = paired([(name, table)], objectives, judged, split=split, bootstrap=0, seed=0)
    return [measured.value for measured in found.measured[0]]
