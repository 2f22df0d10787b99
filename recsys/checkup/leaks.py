"""The search for a feature that alone tells a label: as a rule one that is written after the impression."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from recsys import schema
from recsys.checkup.findings import Findings
from recsys.features import Preview

_TELLS = 0.98  # an AUC above it, or below 1 minus it, is an alarm
_FEWEST = 20  # rows of each class, below which such an AUC may be chance
_KEYS = {schema.USER: "user", schema.ITEM: "item", schema.CONTEXT: "context"}
# Legend: N training impressions, V values of a category.


@dataclass(frozen=True)
class Leak:
    """A feature that alone tells an objective. `key` is its key in [features], `rows` the training rows that show it."""

    key: str
    name: str
    objective: str
    auc: float
    rows: int


def leak_findings(preview: Preview, found: Findings) -> None:
    """Warn of each feature that alone orders the training labels nearly perfectly."""
    for leak in leaks(preview):
        tells = f"which alone tells {leak.objective} (AUC {leak.auc:.3f} on {leak.rows:,} training rows)"
        found.warnings.append(
            f"features.{leak.key}: found {leak.name}, {tells}, expected columns known before the impression."
            " Fix: leave it out, unless it is known by then"
        )


def leaks(preview: Preview) -> Iterator[Leak]:
    """Yield the features whose AUC for an objective is an alarm. A label that is no probability is cut at its median."""
    for objective in preview.plan.objectives:
        label_N = preview.features[schema.label_column(objective.name)].cast(pa.float64()).to_numpy().astype(np.float64)
        known = ~np.isnan(label_N)
        if not known.any() or (objective.is_probability and not np.isin(label_N[known], (0.0, 1.0)).all()):
            continue  # other labels than 0 and 1 are told elsewhere
        label = label_N[known] if objective.is_probability else _two_classes(label_N[known])
        if min(label.sum(), len(label) - label.sum()) < _FEWEST:
            continue
        for name, column in preview.plan.outputs.items():
            values = preview.features[name].combine_chunks().filter(pa.array(known))
            auc = float(roc_auc_score(label, _scores(values, label, is_category=column.is_categorical)))
            if not 1 - _TELLS <= auc <= _TELLS:
                key = next(key for prefix, key in _KEYS.items() if name.startswith(prefix))
                yield Leak(key, column.name, objective.name, auc, len(label))


def _two_classes(label_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [N], 1 above the median, and where nothing is above it, 1 at it. Of two in the middle the lower one will do."""
    median = float(np.sort(label_N)[(len(label_N) - 1) // 2])
    above = label_N > median
    return (above if above.any() else label_N >= median).astype(np.float64)


def _scores(values: pa.Array, label_N: NDArray[np.float64], *, is_category: bool) -> NDArray[np.float64]:
    """Return [N], what each value tells: the rank of a number, of a category the mean label of the rows with it in the other half.

    The order of numbers is all that counts, and ranks do not overflow. A missing number comes before all others.
    """
    if not is_category:
        number_N: NDArray[np.float64] = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return np.where(np.isnan(number_N), -1.0, np.unique(number_N, return_inverse=True)[1])
    texts = values.cast(pa.string()) if not pa.types.is_list(values.type) else pa.array(map(str, values.to_pylist()), pa.string())
    code_N = texts.fill_null("").dictionary_encode().indices.to_numpy().astype(np.int64)
    half_N = np.arange(len(code_N)) % 2
    score_N = np.empty(len(code_N))
    for half in (0, 1):
        other = half_N != half
        count_V = np.bincount(code_N[other], minlength=code_N.max() + 1)
        sum_V = np.bincount(code_N[other], label_N[other], minlength=code_N.max() + 1)
        score_N[~other] = ((sum_V + label_N.mean()) / (count_V + 1))[code_N[~other]]
    return score_N
