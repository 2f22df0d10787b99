"""The comparison of each run with the first one, number by number, with the number of users who could show a difference."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from recsys import schema
from recsys.evaluation.measured import difference
from recsys.evaluation.paired import Paired

_DIFFERENCE = ("difference", "difference_low", "difference_high")


def comparison(paired: Paired, *, split: str, confidence: float) -> pa.Table:
    """Return rows of schema.COMPARISON: each number of each run, and its difference (this run minus the first) on the same users."""
    return pa.Table.from_pylist(list(_rows(paired, split, confidence)), schema=schema.COMPARISON)


def _rows(paired: Paired, split: str, confidence: float) -> Iterator[dict[str, Any]]:
    for k, judged in enumerate(paired.judged):
        first = paired.measured[0][k]
        for m, run in enumerate(paired.runs):
            this, centred = paired.measured[m][k], judged.metric.centred
            row = {
                "run": run,
                "objective": judged.objective,
                "metric": judged.metric.name,
                "split": split,
                "users": paired.users[k],
                "n": paired.rows[k],
                "coverage": None if this.value is None else this.coverage,
                "better": judged.better,
                "value": this.value,
            }
            row["low"], row["high"], reason = this.interval(confidence=confidence, centred=centred)
            if m > 0:
                above = difference(this, first, paired.runs[0])
                bounds = above.interval(confidence=confidence, centred=centred)
                row |= dict(zip(_DIFFERENCE, (above.value, bounds.low, bounds.high), strict=True))
                reason = bounds.reason
            yield row | {"reason": reason}
