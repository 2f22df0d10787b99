"""Which factors a day has: fitted to the pairs before some day, and told what became known since."""

from collections.abc import Sequence
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from recsys.days import Day
from recsys.features import factors
from recsys.features.engine import Engine
from recsys.features.plan import Factor, Plan

_FITTED, _ORDINAL = "fitted", "ordinal"


class _PairsOf(NamedTuple):
    """A factor's pairs in the longest window before the day of the fit, those since then, before today, and how dense the first are."""

    learned: ir.Table
    news: ir.Table
    density: ir.Table


class DailyFactors:
    """The factors of one day after another, in the order of the days. A fit is kept for the days that share it.

    `stored` are the partial sums of each factor's entity; `today` has one row with the day's `ordinal`.
    """

    def __init__(self, engine: Engine, plan: Plan, stored: Sequence[ir.Table], today: ir.Table) -> None:
        self._engine, self._plan = engine, plan
        fitted = ibis.table({_FITTED: "int32"}, name=_FITTED)
        self._pairs = [
            _pairs_of(factor, partials.cross_join(fitted), today, plan) for factor, partials in zip(plan.factors, stored, strict=True)
        ]
        self._fitted: tuple[int, list[factors.DayFactors]] = (-1, [])
        self.first_too_many: str | None = None  # the first day whose pairs were too many for factors that nobody asked for

    def of(self, day: Day, fitted: int) -> list[factors.DayFactors]:
        """Fit the factors to the start of the day `fitted`, unless they are, and tell them what became known since."""
        engine = self._engine
        engine.rows(_FITTED, pa.table({_FITTED: pa.array([fitted], pa.int32())}))
        if self._fitted[0] != fitted:
            self._fitted = (fitted, [self._fit(factor, pairs, day) for factor, pairs in zip(self._plan.factors, self._pairs, strict=True)])
        found = zip(self._fitted[1], self._pairs, strict=True)
        return [factor.after(engine.arrow(pairs.news)) if factor.is_fitted else factor for factor, pairs in found]

    def _fit(self, factor: Factor, pairs: _PairsOf, day: Day) -> factors.DayFactors:
        """Fit a factor. One that nobody asked for is fitted where this is cheap and may learn something; else its pairs are not read."""
        if self._plan.features.factors is None:
            (counts,) = self._engine.arrow(pairs.density).to_pylist()
            if counts["pairs"] > factors.MOST_PAIRS:
                self.first_too_many = self.first_too_many or day.iso
                return factors.DayFactors.none(factor)
            if not factors.are_dense(**counts):
                return factors.DayFactors.none(factor)
        return factors.DayFactors.fit(self._engine.arrow(pairs.learned), factor, self._plan.features.d_factors)


def _pairs_of(factor: Factor, stored: ir.Table, today: ir.Table, plan: Plan) -> _PairsOf:
    begin = stored[_FITTED] - max(plan.windows)
    learned = stored.filter((stored["day"] >= begin) & (stored["day"] < stored[_FITTED]))
    since = stored.cross_join(today)
    news = since.filter((since["day"] >= since[_FITTED]) & (since["day"] < since[_ORDINAL]))
    return _PairsOf(factors.pairs(learned, factor), factors.pairs(news, factor), factors.density(learned, factor))
