"""Features from a user's own past up to the very moment: counters that run on through the day, and the last impressions.

The engine sorts by (user, timestamp, event_id); the rest is arithmetic on places in this order. The impressions of a user
that are known before a moment end at one place, which a binary search finds. So a sum over the impressions that became known
between two moments is a difference of prefix sums. A history is the last places before such a place.
"""

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys import schema
from recsys.days import Day
from recsys.features.aggregates import base_name, log_count, log_lift
from recsys.features.impressions import ROW, signal_value
from recsys.features.plan import Plan, Signal

Places = npt.NDArray[np.int64]


def own_past(asks: ir.Table, past: ir.Table, plan: Plan) -> ir.Table:
    """Select all past impressions of the users in `asks`, in the order that `OwnPast` needs."""
    columns = dict.fromkeys(
        [schema.USER_ID, schema.TIMESTAMP, *plan.history_sources.values(), *(signal_value(s.name) for s in plan.signals)]
    )
    order = [schema.USER_ID, schema.TIMESTAMP, schema.EVENT_ID]
    return past.semi_join(asks, schema.USER_ID).order_by(order).select(*columns)


class OwnPast:
    """The features of asks (a user and a moment each), from the past of their users (`own_past`)."""

    def __init__(self, asks: pa.Table, past: pa.Table, plan: Plan) -> None:
        self._past, self._plan = past.combine_chunks(), plan
        self._moments, times = _integers(asks[schema.TIMESTAMP]), _integers(past[schema.TIMESTAMP])
        users = self._past[schema.USER_ID].combine_chunks().dictionary_encode()
        self._users = _integers(pc.index_in(asks[schema.USER_ID], value_set=users.dictionary))
        # One ascending number per impression: the user's place in the order, then the moment. A century of ms and 2²⁰ users fit.
        self._begin, self._span = int(times.min()), int(np.ptp(times)) + 1
        self._keys = _integers(users.indices) * self._span + (times - self._begin)

    def _known_before(self, moments: Places | int, delay: int) -> Places:
        """Find, per ask, the place after its user's last impression with timestamp + delay strictly before the moment."""
        since = np.clip(np.asarray(moments) - delay - self._begin, 0, self._span)
        places: Places = np.searchsorted(self._keys, self._users * self._span + since, side="left")
        return places

    def counters(self, day: Day) -> pa.Table:
        """Count, per ask and in order, what became known since the day began.

        The columns are `count` (impressions), and per signal the number and the sum of known values.
        """
        found = {ROW: np.arange(len(self._moments))}
        for delay in self._plan.delays:
            since, until = self._known_before(day.start, delay), self._known_before(self._moments, delay)
            if delay == self._plan.delays[0]:
                found[schema.COUNT] = until - since
            for signal in self._plan.signals_of(delay):
                values = self._past[signal_value(signal.name)]
                for name, numbers in ((_known(signal), values.is_valid()), (_total(signal), values.fill_null(0))):
                    up_to = np.concatenate([[0], np.cumsum(_integers(numbers))])
                    found[name] = up_to[until] - up_to[since]
        return pa.table(found)

    def history(self) -> pa.Table:
        """List `history.…` per ask, in order: the last impressions of its user that are known before the ask, newest first."""
        plan = self._plan
        ends = self._known_before(self._moments, plan.delays[0])
        lengths = np.minimum(ends - self._known_before(self._begin, 0), plan.features.history)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        places = np.repeat(ends - 1 + offsets[:-1], lengths) - np.arange(offsets[-1])
        past = self._past.take(places)
        elapsed = pc.subtract(pa.array(np.repeat(self._moments, lengths)), past[schema.TIMESTAMP])
        values = {name: past[source] for name, source in plan.history_sources.items()}
        for signal in plan.signals:
            value = pc.divide(past[signal_value(signal.name)].cast(pa.float64()), float(signal.scale)).cast(pa.float32())
            # An impression enters the history after the first delay. A slower signal of it enters only later.
            values[schema.HISTORY + signal.name] = pc.if_else(pc.greater(elapsed, signal.delay), value, None)
        seconds = pc.divide(elapsed.cast(pa.float64()), 1000.0)
        values[schema.HISTORY_AGE] = pc.ln(pc.add(seconds, 1.0)).cast(pa.float32())
        lists = {name: pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), _whole(each)) for name, each in values.items()}
        return pa.table(lists)


def counter_names(plan: Plan) -> list[str]:
    """List the columns of `OwnPast.counters`, all int64."""
    return [ROW, schema.COUNT, *(name for signal in plan.signals for name in (_known(signal), _total(signal)))]


def history_schema(past: pa.Schema, plan: Plan) -> pa.Schema:
    """Return the schema of `OwnPast.history`. `past` is the schema of `own_past`."""
    kinds = {name: past.field(source).type for name, source in plan.history_sources.items()}
    kinds |= dict.fromkeys([*(schema.HISTORY + signal.name for signal in plan.signals), schema.HISTORY_AGE], pa.float32())
    return pa.schema({name: pa.list_(kind) for name, kind in kinds.items()})


def today_features(counted: ir.Table, base: ir.Table, plan: Plan) -> ir.Table:
    """Compute `agg.user_id.….today`, ordered by row. The base rate is that of the longest window: the day has none of its own yet."""
    longest = max(plan.windows)
    rows = counted.cross_join(base)
    entity = (schema.USER_ID,)
    lifts = {
        schema.aggregate_column(entity, signal.name, schema.TODAY): log_lift(
            rows[_total(signal)], rows[_known(signal)], rows[base_name(signal.name, longest)], plan.features.shrinkage
        )
        for signal in plan.signals
    }
    features = {**lifts, schema.aggregate_column(entity, schema.COUNT, schema.TODAY): log_count(rows[schema.COUNT])}
    return rows.select(ROW, **{name: value.cast("float32") for name, value in features.items()}).order_by(ROW)


def _known(signal: Signal) -> str:
    return f"known.{signal.name}"


def _total(signal: Signal) -> str:
    return f"sum.{signal.name}"


def _integers(values: pa.Array | pa.ChunkedArray) -> Places:
    numbers: Places = values.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return numbers


def _whole(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
