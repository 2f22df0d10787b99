"""Two reference values for each metric: that of a constant prediction, and that of the labels used as predictions.

Both are computed from the judged rows alone.
"""

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
    """Compute each number for a constant prediction (AUC: 0.5), and for the labels used as predictions (AUC: 1). None: undefined.

    The constant is the mean training label where the table's metadata gives it, else the mean label of the rows. Its fused order is the
    order of event_id. The labels' fused order is by the label itself; an unknown label counts as 0, since it gains nothing. Both values
    depend on rows and labels only, not on what a model predicted. So all runs on one log can be compared with them.
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
    """Return a score that puts the objective's best labels first."""
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
