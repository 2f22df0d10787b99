"""Score what a user makes of a value of a column (`features.factors`), by a matrix factorisation of the days before.

Users and values have vectors, fitted to the pairs of the longest window (`factorisation.py`) once so many are new (`fit_day`). Between two
fits the values' vectors stand still. A user's vector also knows what has become known of him since, up to the very moment. The score is the
product of the two vectors, on the scale of the signal: how much more of it than what user and value have on the whole.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from recsys import schema
from recsys.config import Features
from recsys.days import Day
from recsys.features.aggregates import known_column, sum_column
from recsys.features.factorisation import Evidence, Factorisation, Moments, Numbers, factorise
from recsys.features.impressions import signal_value
from recsys.features.plan import Factor, Signal
from recsys.features.running import OwnPast

# Legend: A asks, R impressions that became known today, D the length of a vector and its offset, S different numbers of a D × D matrix and
# a vector.

OFTEN = 50  # rows per user, and per item, on average in the longest window, from which factors may be worth their time (docs/factors.md)
# A fit that nobody asked for is made between the two: below, nothing can be learned (25 rows per user taught nothing on one log; but the
# window of a log that becomes dense should have scores early); above, it takes more than two seconds per signal.
FEWEST_ROWS = 10  # per user, and per item, on average in the longest window
MOST_PAIRS = 300_000  # in the longest window
RENEWED = 0.02  # share of the window's rows since the last fit from which a day is fitted anew
Places = npt.NDArray[np.int64]
Whole = npt.NDArray[np.int64]  # numbers in units of 1 / _FIXED
_ABSENT = -1  # the place of a user or a value that was in no pair
_FIXED = 2.0**32  # one, in the whole numbers of the sums
_MOST_NUMBERS = 2**21  # of the evidence of some impressions, or of some asks, that is in memory at once


def come_often(rows: int, users: int, items: int, days: int, windows: Sequence[int]) -> bool:
    """Return whether users and items come often enough in the longest window, in a log of so many rows on so many days."""
    return rows * min(1.0, max(windows, default=1) / max(days, 1)) >= OFTEN * max(users, items, 1)


def advice(features: Features, rows: int, users: int, items: int, days: int) -> str | None:
    """Return words for a log from which factors could learn, if there are none and the TOML does not speak of them; else None."""
    is_answered = features.factored or "factors" in features.model_fields_set  # an empty table is an answer
    if not features.signals or is_answered or not come_often(rows, users, items, days, features.windows):
        return None
    often = f"users and items come often ({rows / users:.0f} rows per user, {rows / items:.0f} per item)"
    return f"{often}: features.factors may learn taste (docs/factors.md)"


def fit_day(days: Sequence[int], rows: Sequence[int], window: int) -> int:
    """Return the day to whose start the factors of the last of `days` are fitted: itself, or an earlier day since which little is new.

    `days` are ordinals, in order; `rows` are their impressions. A day is fitted anew once RENEWED of the rows in its window have come since
    the last fit. This depends on no later day, so each day has the same factors whenever it is built.
    """
    before = [0, *accumulate(rows)]  # rows before each day
    fitted = 0
    for place, day in enumerate(days):
        in_window, since = (before[place] - before[first] for first in (bisect_left(days, day - window), fitted))
        if since >= RENEWED * in_window:
            fitted = place
    return days[fitted]


def pairs(recent: ir.Table, factor: Factor) -> ir.Table:
    """Sum some partial sums per user and value, ordered by both. Their signals are counted and summed, as float64.

    The sums of a day fit into 64 bits, and those of a window need not.
    """
    names = [name for signal in factor.signals for name in (known_column(signal.name), sum_column(signal.name))]
    summed = recent.group_by(list(factor.entity.keys)).agg(**{name: recent[name].sum().cast("float64") for name in names})
    return summed.order_by(list(factor.entity.keys))


def density(recent: ir.Table, factor: Factor) -> ir.Table:
    """Compute one row of a factor's partial sums: `pairs`, `users`, `values` and `rows`, the impressions."""
    user_key, value_key = factor.entity.keys
    each = recent.group_by([user_key, value_key]).agg(rows=recent[schema.COUNT].sum())
    return each.agg(pairs=each.count(), users=each[user_key].nunique(), values=each[value_key].nunique(), rows=each["rows"].sum())


def are_dense(pairs: int, users: int, values: int, rows: int) -> bool:
    """Return whether users and values come often enough for a fit by default. Without pairs, `rows` is null."""
    return pairs > 0 and rows >= FEWEST_ROWS * max(users, values)


@dataclass(frozen=True)
class _Fit:
    """A factorisation of one signal, and whose vectors it holds, in their order. A new user or value is the one after the last."""

    users: pa.Array
    values: pa.Array
    found: Factorisation
    evidence: Evidence  # of the users at the start of the day

    @cached_property
    def user_vectors(self) -> Numbers:
        return self.evidence.means()

    @cached_property
    def item_vectors(self) -> Numbers:
        return np.vstack([self.found.items.mean_ND, np.zeros_like(self.found.prior_of_users_D)])

    @cached_property
    def moments(self) -> Moments:
        return Moments.of(self.found.items)

    def after(self, news: "_Pairs") -> "_Fit":
        """Return what is known of the users after more pairs. Values keep their vectors; those without one tell nothing."""
        value_P = _places(news.values, self.values)
        is_known = value_P != _ABSENT
        users_P = news.users.filter(pa.array(is_known))
        users = pa.chunked_array([self.users, users_P]).unique()  # those that were there keep their places
        places = (_places(users_P, users), value_P[is_known])
        weight_P, mean_P = news.known[is_known], news.mean[is_known]
        y_P = np.clip((mean_P - self.found.centre) / self.found.scale, *self.found.bounds)
        shape, d = (len(users) + 1, len(self.values)), len(self.found.prior_of_users_D)
        weights, sums = sparse.csr_array((weight_P, places), shape), sparse.csr_array((weight_P * y_P, places), shape)
        more_NDD = (weights @ self.moments.xx_MDD.reshape(-1, d * d)).reshape(-1, d, d)
        more_ND = sums @ self.moments.x_MD - weights @ self.moments.xc_MD
        from_N = np.append(np.arange(len(self.users)), np.full(len(users) + 1 - len(self.users), len(self.users)))  # new ones: the prior
        precision_NDD, information_ND = self.evidence.precision_NDD[from_N], self.evidence.information_ND[from_N]
        noise = self.found.noise
        return replace(self, users=users, evidence=Evidence(precision_NDD + more_NDD / noise, information_ND + more_ND / noise))


class DayFactors:
    """The factorisations of one factor, one per signal, with what is known of the users when a day begins."""

    def __init__(self, factor: Factor, fits: Sequence[_Fit | None]) -> None:
        self._factor, self._fits = factor, fits

    @classmethod
    def fit(cls, pairs: pa.Table, factor: Factor, d_factors: int) -> "DayFactors":
        return cls(factor, [_fit(_Pairs.of(pairs, factor, signal), d_factors) for signal in factor.signals])

    @classmethod
    def none(cls, factor: Factor) -> "DayFactors":
        """Return factors without a fit: all scores are 0."""
        return cls(factor, [None] * len(factor.signals))

    @property
    def is_fitted(self) -> bool:
        return any(fit is not None for fit in self._fits)

    def after(self, news: pa.Table) -> "DayFactors":
        """Return the factors of a later day: `news` are the pairs that became known since."""
        if len(news) == 0:
            return self
        named = zip(self._factor.signals, self._fits, strict=True)
        return DayFactors(
            self._factor, [None if fit is None else fit.after(_Pairs.of(news, self._factor, signal)) for signal, fit in named]
        )

    def scores(self, asks: pa.Table, past: pa.Table, own: OwnPast, day: Day) -> pa.Table:
        """Return [A] a score per ask and signal, float32: 0 for a value that is new or null, and for a user of whom nothing is known.

        `own` is the past of the asks, `past` the table that it was made of.
        """
        columns = []
        for signal, fit in zip(self._factor.signals, self._fits, strict=True):
            score_A = np.zeros(len(asks)) if fit is None else self._score(fit, signal, asks, past, own, day)
            columns.append(pa.array(score_A.astype(np.float32)))
        return pa.table(columns, schema=factor_schema(self._factor))

    def _score(self, fit: _Fit, signal: Signal, asks: pa.Table, past: pa.Table, own: OwnPast, day: Day) -> Numbers:
        user_key, value_key = self._factor.entity.keys
        user_A, value_A = _places(asks[user_key], fit.users), _places(asks[value_key], fit.values)
        vector_AD = fit.user_vectors[user_A]
        told = _Told.today(fit, signal, past, value_key, day)
        since_A = np.searchsorted(told.place_R, own.known_before(day.start, signal.delay))
        until_A = np.searchsorted(told.place_R, own.known_before(own.moments, signal.delay))
        news = np.flatnonzero((until_A > since_A) & (value_A != _ABSENT))
        for some, sums_AS in told.sums(fit, news[np.argsort(until_A[news], kind="stable")], since_A, until_A):
            vector_AD[some] = _updated(fit, user_A[some], sums_AS)
        score_A: Numbers = np.einsum("ad,ad->a", vector_AD[:, :-1], fit.item_vectors[value_A, :-1]) * fit.found.scale
        return score_A


def factor_schema(factor: Factor) -> pa.Schema:
    return pa.schema([(name, pa.float32()) for name in factor.outputs])


class _Pairs(NamedTuple):
    """Pairs with known values of one signal: user, value, the number of impressions and their mean."""

    users: pa.ChunkedArray
    values: pa.ChunkedArray
    known: Numbers
    mean: Numbers

    @classmethod
    def of(cls, pairs: pa.Table, factor: Factor, signal: Signal) -> "_Pairs":
        there = pairs.filter(pc.greater(pairs[known_column(signal.name)], 0))
        known = there[known_column(signal.name)].to_numpy().astype(np.float64)
        mean = there[sum_column(signal.name)].to_numpy() / (signal.scale * known)  # one division: equal means are equal
        user_key, value_key = factor.entity.keys
        return cls(there[user_key], there[value_key], known, mean)


def _fit(pairs: _Pairs, d_factors: int) -> _Fit | None:
    users, values = (column.combine_chunks().dictionary_encode() for column in (pairs.users, pairs.values))
    places, shape = (users.indices.to_numpy(), values.indices.to_numpy()), (len(users.dictionary), len(values.dictionary))
    found = factorise(sparse.csr_array((pairs.known, places), shape), sparse.csr_array((pairs.mean, places), shape), d_factors)
    if found is None:
        return None
    prior_DD = np.diag(1.0 / found.prior_of_users_D)
    evidence = Evidence(
        np.concatenate([found.users.precision_NDD, prior_DD[None]]), np.vstack([found.users.information_ND, np.zeros(len(prior_DD))])
    )
    return _Fit(users.dictionary, values.dictionary, found, evidence)


class _Told(NamedTuple):
    """Impressions that become known today and tell of a user's taste: place in the past, place of the value, and y, [R] each.

    They stand in the order of the past: those of a user together.
    """

    place_R: Places
    value_R: Places
    y_R: Numbers

    @classmethod
    def today(cls, fit: _Fit, signal: Signal, past: pa.Table, value_key: str, day: Day) -> "_Told":
        number = past[signal_value(signal.name)].combine_chunks()
        value_P = _places(past[value_key], fit.values)
        known_P = past[schema.TIMESTAMP].to_numpy() + signal.delay
        is_told = (known_P >= day.start) & (known_P < day.end) & number.is_valid().to_numpy(zero_copy_only=False) & (value_P != _ABSENT)
        place_R = np.flatnonzero(is_told)
        y_R = (number.take(pa.array(place_R)).to_numpy() / signal.scale - fit.found.centre) / fit.found.scale
        return cls(place_R, value_P[place_R], np.clip(y_R, *fit.found.bounds))

    def sums(self, fit: _Fit, asks: Places, since_A: Places, until_A: Places) -> Iterator[tuple[Places, Whole]]:
        """Yield some of the asks, and [., S] what the impressions from `since` to before `until` add to their user's evidence.

        `asks` are in the order of `until`. All asks of a user have the same `since`. The sums are whole numbers of 1 / _FIXED, so that
        they are the same wherever a chunk of asks begins. Running sums may run over, because only their differences are used.
        """
        size = len(fit.found.prior_of_users_D) * (len(fit.found.prior_of_users_D) + 3) // 2
        most = max(1, _MOST_NUMBERS // size)
        before_S, of_since_S = np.zeros(size, np.int64), np.zeros(size, np.int64)
        for start in range(0, len(self.place_R), most):
            end = min(start + most, len(self.place_R))
            up_to_RS = before_S + _running(self._evidence(fit, start, end))
            first, last = np.searchsorted(until_A[asks], [start, end], side="right")
            for low in range(first, last, most):
                some = asks[low : min(low + most, last)]
                began_AS = np.where((since_A[some] >= start)[:, None], up_to_RS[np.maximum(since_A[some] - start, 0)], of_since_S)
                yield some, up_to_RS[until_A[some] - start] - began_AS
            if last < len(asks) and start <= since_A[asks[last]] < end:  # a user whose impressions go on beyond `end`
                of_since_S = up_to_RS[since_A[asks[last]] - start]
            before_S = up_to_RS[-1]

    def _evidence(self, fit: _Fit, start: int, end: int) -> Whole:
        """Return what each impression adds to its user's evidence, [end − start, S], in whole numbers of 1 / _FIXED."""
        moments = fit.moments
        value_R, y_R = self.value_R[start:end], self.y_R[start:end]
        rows, columns = np.triu_indices(moments.x_MD.shape[1])
        information_RD = y_R[:, None] * moments.x_MD[value_R] - moments.xc_MD[value_R]
        told_RS = np.concatenate([moments.xx_MDD[value_R[:, None], rows, columns], information_RD], axis=1) / fit.found.noise
        whole_RS: Whole = np.round(told_RS * _FIXED).astype(np.int64)
        return whole_RS


def _running(whole_RS: Whole) -> Whole:
    """Return the sums up to each row, [R + 1, S], from 0 on."""
    return np.concatenate([np.zeros((1, whole_RS.shape[1]), np.int64), np.cumsum(whole_RS, axis=0)])


def _updated(fit: _Fit, user_A: Places, whole_AS: Whole) -> Numbers:
    """Return the vectors of users who have told something today, [A, D]."""
    rows, columns = np.triu_indices(len(fit.found.prior_of_users_D))
    told_AS = whole_AS / _FIXED
    precision_ADD = fit.evidence.precision_NDD[user_A]
    precision_ADD[:, rows, columns] += told_AS[:, : len(rows)]
    precision_ADD[:, columns, rows] = precision_ADD[:, rows, columns]
    return Evidence(precision_ADD, fit.evidence.information_ND[user_A] + told_AS[:, len(rows) :]).means()


def _places(values: pa.ChunkedArray, known: pa.Array) -> Places:
    found: Places = pc.fill_null(pc.index_in(values, value_set=known, skip_nulls=True), _ABSENT).to_numpy().astype(np.int64)
    return found
