"""Predictions of a model that gets another row's values of one group of features, and the row's own values of all other features.

The drop of a metric under this change is the group's permutation importance for this model (Breiman 2001, section 10; Fisher, Rudin &
Dominici 2019, who call it model reliance).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import artifacts, schema
from recsys.config import Pipeline
from recsys.encoding import EncodedDays, feature_groups, rows_of_day
from recsys.errors import ArtifactError, DataError
from recsys.predictions import value_names
from recsys.progress import Console
from recsys.scoring.scorer import carried_columns, load
from recsys.workspace import MODEL, PART, day_folder, days_of

# Legend: N rows of the sample, V values of a row (predictions.value_names).

MOST_PERMUTATIONS = 3  # used where the log has fewer rows than may be scored; otherwise more rows say more than more permutations


@dataclass(frozen=True)
class Permuted:
    """Ids, labels and predictions of a sample of one split: as the model makes them, and with each group permuted.

    `groups` yields each group's name with one table per permutation. It is computed while it is read.
    """

    split: str
    base: pa.Table
    groups: Iterator[tuple[str, list[pa.Table]]]


def permuted(pipeline: Pipeline, examples: Path, encoded: Path, run: Path, *, rows: int, console: Console) -> Permuted:
    """Predict a sample of at most `rows` rows of the test days as they are, and with each group of features permuted.

    Without test days, the sample is of the validation days. The pipeline's seed draws the sample. Values are permuted among the sampled
    rows of one day, so that dates and counters stay plausible. All columns of a group are permuted together, and the permutation is the
    same for all members and all groups. Positions are as logged. A sample of half of `rows` or less is permuted several times, at most
    MOST_PERMUTATIONS.

    Raise DataError where there is no day to score. Raise ArtifactError for a damaged model, a day that is not encoded, or examples whose
    rows are not those that were encoded.
    """
    scorer = load(run / MODEL, pipeline.train)
    split, days = _latest(pipeline, examples)
    read = EncodedDays(encoded, days).known_to(scorer.model.encoder.layout)
    places_N = np.sort(np.random.default_rng([pipeline.seed, 0]).choice(len(read), min(rows, len(read)), replace=False))
    starts = np.cumsum([0, *(rows_of_day(encoded, day) for day in days)])
    cuts = np.searchsorted(places_N, starts)  # places in the sample: where each day begins, and the end
    carried = pa.concat_tables(
        _ids_and_labels(day_folder(examples, day) / PART, stop - start, places_N[first:last] - start)
        for day, start, stop, first, last in zip(days, starts, starts[1:], cuts, cuts[1:], strict=False)
    )
    packed = read.take(places_N)
    permutations = max(1, min(MOST_PERMUTATIONS, rows // max(1, len(places_N))))
    orders = [_within_days(cuts, np.random.default_rng([pipeline.seed, number])) for number in range(1, permutations + 1)]
    columns = [schema.prediction_column(name) for name in value_names(pipeline.objective)]

    def table(predicted_NV: NDArray[np.float64]) -> pa.Table:
        return pa.table({name: carried[name] for name in carried.column_names} | dict(zip(columns, predicted_NV.T, strict=True)))

    def each() -> Iterator[tuple[str, list[pa.Table]]]:
        groups = feature_groups(read.layout, pipeline.features.entities)
        with console.bar("importance", len(groups)) as advance:
            for group in groups:
                yield group.name, [table(scorer.predict_packed(group.permuted(packed, order_N), "logged")) for order_N in orders]
                advance(note=group.name)

    return Permuted(split, table(scorer.predict_packed(packed, "logged")), each())


def _latest(pipeline: Pipeline, examples: Path) -> tuple[str, list[str]]:
    """Return the split and its days that have examples: the test days, else the validation days."""
    for split in (schema.TEST, schema.VALIDATION):
        if days := days_of(pipeline.split, examples, split):
            return split, days
    raise DataError(
        f"{examples}: found no validation and no test day, expected at least one to score. Fix: split.test, or the source's files"
    )


def _ids_and_labels(path: Path, expected: int, places_N: NDArray[np.intp]) -> pa.Table:
    """Return ids and labels of these rows of a day's examples. Raise ArtifactError where the day has other rows than were encoded."""
    wanted = (schema.EVENT_ID, schema.USER_ID)
    table = artifacts.read_table(path, [name for name in carried_columns(path) if name in wanted or name.startswith(schema.LABEL)])
    if len(table) != expected:
        raise ArtifactError(f"{path}: found {len(table):,} rows, expected the {expected:,} that were encoded. Fix: run encode and train")
    return table.take(places_N)


def _within_days(cuts: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw an order of all rows of the sample in which each row stays within its day."""
    return np.concatenate([start + rng.permutation(stop - start) for start, stop in pairwise(cuts)])
