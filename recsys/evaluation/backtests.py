"""The rows of a backtest from its predictions: every number over all days and by day, over users and seeds, and its differences.

The predictions of one day come from a model that learned the days before it, so several models are judged together, as a feed that is
trained anew each day would be.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from recsys import schema
from recsys.evaluation.over_seeds import Mean, gains, means
from recsys.evaluation.paired import Judged, Paired


@dataclass(frozen=True)
class Contestants:
    """Name who is compared: name → the places of its runs in a `Paired`. `points` have one run per seed, `baselines` one run alone.

    Each point is held against the baselines, and each but the first also against the first.
    """

    points: Mapping[str, Sequence[int]]
    baselines: Mapping[str, int]


def backtest_rows(found: Paired, who: Contestants, *, day: str | None, confidence: float) -> Iterator[dict[str, Any]]:
    """Yield the values and the differences on one day, or on all days (`day` None), in the form of schema.BACKTEST.

    The variance over seeds is pooled over the points (`over_seeds`).
    """
    for k, judged in enumerate(found.judged):
        about = {"day": day, "n": found.rows[k], "users": found.users[k], **_of(judged)}
        options: Any = {"confidence": confidence, "centred": judged.metric.centred}
        points = {name: [found.measured[m][k] for m in places] for name, places in who.points.items()}
        baselines = {name: [found.measured[m][k]] for name, m in who.baselines.items()}
        seeds = len(next(iter(points.values())))
        for of in (points, baselines):
            for name, mean in zip(of, means(list(of.values()), **options), strict=True):
                yield _row(name, None, mean, seeds=len(of[name]), **about)
        for name, (measured,) in baselines.items():  # one run, beside each seed of a point
            for point, above in zip(points, gains([[measured] * seeds, *points.values()], correlation=0.0, **options), strict=True):
                yield _row(point, name, above, seeds=seeds, **about)
        first, *others = points
        for point, above in zip(others, gains(list(points.values()), **options), strict=True):
            yield _row(point, first, above, seeds=seeds, **about)


def _of(judged: Judged) -> dict[str, Any]:
    return {"objective": judged.objective, "metric": judged.metric.name, "better": judged.better}


def _row(name: str, against: str | None, mean: Mean, **about: Any) -> dict[str, Any]:
    value, (low, high, reason) = mean
    return {"run": name, "against": against, "value": value, "low": low, "high": high, "reason": reason, **about}


def backtest_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Return rows of `backtest_rows` as a table."""
    return pa.Table.from_pylist(list(rows), schema=schema.BACKTEST)
