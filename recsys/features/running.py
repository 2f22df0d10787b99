"""The user's history: the last impressions that are known before the very moment, newest first.

The engine sorts by (user, timestamp, event_id); the rest is arithmetic on places in this order. The impressions of a user
that are known before a moment end at one place, which a binary search finds. A history is the last places before it.

Legend: P places of the past, those of all histories in a row.
"""

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys import schema
from recsys.features.impressions import signal_value
from recsys.features.plan import Plan

Places = npt.NDArray[np.int64]
ORDER = (schema.USER_ID, schema.TIMESTAMP, schema.EVENT_ID)  # of a user's own past


def own_past(asks: ir.Table, past: ir.Table, plan: Plan) -> ir.Table:
    """Select all past impressions of the users in `asks`, with what `OwnPast` and others read. They need it in `ORDER`."""
    keys = [key for entity in plan.with_own_past for key in entity.keys]
    columns = dict.fromkeys([*ORDER, *keys, *plan.history_sources.values(), *(signal_value(s.name) for s in plan.signals)])
    return past.semi_join(asks, schema.USER_ID).select(*columns)


class OwnPast:
    """The past of asks (a user and a moment each): the impressions of their users, in `ORDER`."""

    def __init__(self, asks: pa.Table, past: pa.Table, plan: Plan) -> None:
        self._past, self._plan = past.combine_chunks(), plan
        self.moments, self._times = _integers(asks[schema.TIMESTAMP]), _integers(past[schema.TIMESTAMP])
        users = self._past[schema.USER_ID].combine_chunks().dictionary_encode()
        # A user without a past comes after all others, where no impression is.
        places = pc.index_in(asks[schema.USER_ID], value_set=users.dictionary)
        self._users = _integers(pc.fill_null(places, pa.scalar(len(users.dictionary), pa.int32())))
        # One ascending number per impression: the user's place in the order, then the moment. A century of ms and 2²⁰ users fit.
        self._begin, self._span = (int(self._times.min()), int(np.ptp(self._times)) + 1) if len(self._times) else (0, 1)
        self._keys = _integers(users.indices) * self._span + (self._times - self._begin)

    def known_before(self, moments: Places | int, delay: int) -> Places:
        """Find, per ask, the place after its user's last impression with timestamp + delay strictly before the moment."""
        since = np.clip(np.asarray(moments) - delay - self._begin, 0, self._span)
        places: Places = np.searchsorted(self._keys, self._users * self._span + since, side="left")
        return places

    def history(self) -> pa.Table:
        """List `history.…` per ask, in order: the last impressions of its user that are known before the ask, newest first."""
        plan = self._plan
        ends = self.known_before(self.moments, plan.delays[0])
        lengths = np.minimum(ends - self.known_before(self._begin, 0), plan.features.history)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        places_P = np.repeat(ends - 1 + offsets[:-1], lengths) - np.arange(offsets[-1])
        places, elapsed = pa.array(places_P), pa.array(np.repeat(self.moments, lengths) - self._times[places_P])
        values = {name: self._past[source].take(places) for name, source in plan.history_sources.items()}
        for signal in plan.signals:
            # The past is divided before it is taken: an impression comes into many histories. Whole numbers beyond 2⁵³ are rounded.
            number = pc.divide(self._past[signal_value(signal.name)].cast(pa.float64(), safe=False), float(signal.scale)).cast(pa.float32())
            value = number.take(places)
            # An impression enters the history after the first delay. A slower signal of it enters only later.
            is_slower = signal.delay > plan.delays[0]
            values[schema.HISTORY + signal.name] = pc.if_else(pc.greater(elapsed, signal.delay), value, None) if is_slower else value
        seconds = pc.divide(elapsed.cast(pa.float64()), 1000.0)
        values[schema.HISTORY_AGE] = pc.ln(pc.add(seconds, 1.0)).cast(pa.float32())
        lists = {name: pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), _whole(each)) for name, each in values.items()}
        return pa.table(lists)


def history_schema(past: pa.Schema, plan: Plan) -> pa.Schema:
    """Return the schema of `OwnPast.history`. `past` is the schema of `own_past`."""
    kinds = {name: past.field(source).type for name, source in plan.history_sources.items()}
    kinds |= dict.fromkeys([*(schema.HISTORY + signal.name for signal in plan.signals), schema.HISTORY_AGE], pa.float32())
    return pa.schema({name: pa.list_(kind) for name, kind in kinds.items()})


def _integers(values: pa.Array | pa.ChunkedArray) -> Places:
    numbers: Places = values.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return numbers


def _whole(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
