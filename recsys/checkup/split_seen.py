"""The parts of the split in the rows that were read: their days, rows and users."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import schema
from recsys.checkup.findings import Findings
from recsys.config import Pipeline
from recsys.days import ordinal, ordinals
from recsys.evaluation import MIN_USERS, effective_number
from recsys.features import Preview, advice, spans
from recsys.progress import aligned

# Legend: N impressions.


@dataclass(frozen=True)
class Seen:
    """The impressions that were read. `is_whole`: all of the log."""

    pipeline: Pipeline
    preview: Preview
    is_whole: bool
    user_N: NDArray[np.int64]
    moment_N: NDArray[np.int64]

    @classmethod
    def of(cls, pipeline: Pipeline, preview: Preview, *, is_whole: bool) -> "Seen":
        labels = preview.labels
        user_N = labels[schema.USER_ID].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
        return cls(pipeline, preview, is_whole, user_N, labels[schema.TIMESTAMP].to_numpy())

    def label(self, objective: str) -> NDArray[np.float64]:
        """Return [N]; NaN where the label is not known."""
        label_N: NDArray[np.float64] = self.preview.labels[schema.label_column(objective)].cast(pa.float64()).to_numpy()
        return label_N

    @cached_property
    def parts(self) -> dict[str, NDArray[np.bool_]]:
        """Part of the split → [N], which impressions are in it."""
        parts = self.pipeline.split.parts().items()
        return {
            part: (self.day_ordinals >= ordinal(str(first))) & (self.day_ordinals <= ordinal(str(last))) for part, (first, last) in parts
        }

    @cached_property
    def day_ordinals(self) -> NDArray[np.int32]:
        """[N], the day of each impression in the zone of the source, in days since 1970-01-01."""
        return ordinals(self.moment_N, self.pipeline.zone)

    @property
    def days(self) -> list[str]:
        return [str(np.datetime64(int(day), "D")) for day in np.unique(self.day_ordinals)]


def density_findings(seen: Seen, found: Findings) -> None:
    """Say of a log without factors that they may learn from it, where users and items come often enough."""
    users, items = (len(seen.preview.labels[column].unique()) for column in (schema.USER_ID, schema.ITEM_ID))
    if (said := advice(seen.pipeline.features, len(seen.user_N), users, items, len(seen.days))) is not None:
        found.facts.append(said)


def split_findings(seen: Seen, found: Findings) -> None:
    days, users_in_all = seen.days, len(np.unique(seen.user_N))
    found.facts.append(f"days: {spans(days)}; {users_in_all:,} users")
    rows = [("part", "days", "rows", "users")]
    empty = []
    is_of_few = users_in_all < MIN_USERS and seen.is_whole  # then other days help no more
    fix = f"give a log of {MIN_USERS} users or more" if is_of_few else "choose more days"
    for part, (first, last) in seen.pipeline.split.parts().items():
        user = seen.user_N[seen.parts[part]]
        rows.append((part, f"{first} to {last}", f"{len(user):,}", f"{len(np.unique(user)):,}"))
        if not len(user):
            empty.append(f"split.{part} ({first} to {last})")
        elif (users := effective_number(np.bincount(user)[np.unique(user)])) < MIN_USERS and part != schema.TRAIN:
            found.warnings.append(
                f"split.{part}: found as many rows per user as {users:.3g} equally active users would have, expected {MIN_USERS} or more:"
                f" there will be no intervals and no verdicts. Fix: {fix}"
            )
    found.facts += aligned(rows)
    if empty and seen.is_whole:
        fix = f"choose from the days that have rows: {spans(days) or 'none'}"
        found.data.append(f"{', '.join(empty)}: found no rows, expected rows in each part of the split. Fix: {fix}")
    elif empty:
        found.warnings.append(
            f"{', '.join(empty)}: found no rows in what was read (days {spans(days)}). Fix: recsys check --full reads all rows"
        )
