"""Counters up to the very moment: what an entity has gathered since the day began (`features.today`), or in hours (`features.recent`).

An entity of `today` contains the user. So a user's own past is all that has to be read for his asks. Hours are counted over the past of
all users: for the asks of an entity, over the past of this entity.

The arithmetic is on integers, as for the windows. The past impressions of an entity are sorted by (entity, moment). The impressions that
are known before a moment end at one place in this order, which a binary search finds. So a sum over the impressions that became known
between two moments is a difference of prefix sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys import schema
from recsys.days import Day
from recsys.features import aggregates
from recsys.features.impressions import ROW, signal_value
from recsys.features.plan import HOUR_MS, Entity, OpenWindow, Plan, Signal

Places = npt.NDArray[np.int64]
ABSENT = -1  # the code of a value that no past impression has
TODAY = "counted-today"  # the table of the counters of `features.today`
WINDOW = "window"  # the place of a window among those that are counted together: in `plan.today`, or in `plan.hours`


def _names(plan: Plan) -> list[str]:
    """List the columns of `EntityPast.counters`, all int64."""
    return [ROW, schema.COUNT, *(name for signal in plan.signals for name in (_known(signal), _total(signal)))]


def recent_name(index: int) -> str:
    """Return the name of the table of the counters of an entity of `features.recent`."""
    return f"counted-{index}"


def counted_schema(plan: Plan) -> pa.Schema:
    """Return the schema of `of_today` and `of_hours`."""
    return pa.schema(dict.fromkeys([*_names(plan), WINDOW], pa.int64()))


@dataclass(frozen=True)
class _Rows:
    """Impressions with one value per multi-valued key: the place of each in its table, and its keys' columns."""

    place_R: Places
    keys: Sequence[pa.Array]

    @classmethod
    def of(cls, table: pa.Table, keys: Sequence[str], *, keep_empty: bool) -> "_Rows":
        """Part the table's rows. One that lacks a value of a key is left out, or with `keep_empty` kept with null."""
        places = pa.array(np.arange(len(table)))
        columns = [table[key].combine_chunks() for key in keys]
        for at, key in enumerate(keys):
            if pa.types.is_list(table.schema.field(key).type):
                lists = columns[at]
                row_V, values = pc.list_parent_indices(lists), pc.list_flatten(lists)
                if keep_empty:
                    is_bare = pc.fill_null(pc.equal(pc.list_value_length(lists), 0), True)
                    bare = pa.array(np.flatnonzero(is_bare.to_numpy(zero_copy_only=False)))
                    row_V = pa.concat_arrays([row_V.cast(pa.int64()), bare])
                    values = pa.concat_arrays([values, pa.nulls(len(bare), values.type)])
                places = places.take(row_V)
                columns = [values if other == at else column.take(row_V) for other, column in enumerate(columns)]
        if not keep_empty:
            there = np.logical_and.reduce([column.is_valid().to_numpy(zero_copy_only=False) for column in columns])
            places, columns = places.filter(pa.array(there)), [column.filter(pa.array(there)) for column in columns]
        return cls(_integers(places), columns)


def past_of(entity: Entity, past: ir.Table, begin: str, plan: Plan) -> ir.Table:
    """Select what `features.recent` counts of an entity: impressions of all users, known from the moment in the column `begin` on.

    There is a row per value of a multi-valued key.
    """
    columns = dict.fromkeys([schema.TIMESTAMP, *entity.keys, *(signal_value(signal.name) for signal in plan.signals)])
    reached = past.filter(past[schema.TIMESTAMP] >= past[begin] - max(plan.delays)).select(*columns)
    return aggregates.one_value_a_row(reached, entity.keys, entity.multi)


def known_from(begin: int, past: pa.Table, plan: Plan) -> pa.Table:
    """Return the past impressions of which something became known from the moment `begin` on."""
    return past.filter(pa.array(_integers(past[schema.TIMESTAMP]) >= begin - max(plan.delays)))


def of_today(past: pa.Table, asks: pa.Table, *, day: Day, plan: Plan) -> pa.Table:
    """Count the entities of `features.today` since the day began. `past` is that of the users (`running.own_past`)."""
    known = known_from(day.start, past, plan)
    return _with_window([EntityPast(known, entity.keys, plan).counters(asks, day.start) for entity in plan.today])


def of_hours(past: "EntityPast", asks: pa.Table, *, plan: Plan) -> pa.Table:
    """Count an entity of `features.recent` in each of the windows that end at an ask's moment."""
    moments = _integers(asks[schema.TIMESTAMP])
    return _with_window([past.counters(asks, moments - hours * HOUR_MS) for hours in plan.hours])


def _with_window(counted: Sequence[pa.Table]) -> pa.Table:
    """Put the counters of several windows into one table, with the place of their `WINDOW`."""
    placed = [each.append_column(WINDOW, pa.repeat(pa.scalar(place), len(each))) for place, each in enumerate(counted)]
    return pa.concat_tables(placed)


class EntityPast:
    """The past impressions of an entity, in the order of (entity, moment): what its counters are read from.

    `past` holds the entity's `keys`, timestamps and signals, of all impressions that a window reaches.
    """

    def __init__(self, past: pa.Table, keys: Sequence[str], plan: Plan) -> None:
        self._keys, self._plan = keys, plan
        gone = _Rows.of(past, keys, keep_empty=False)
        self._values, group_R = _coded(gone.keys)
        times_R = _integers(past[schema.TIMESTAMP])[gone.place_R]
        self._begin = int(times_R.min()) if len(times_R) else 0
        self._span = int(np.ptp(times_R)) + 1 if len(times_R) else 1
        moment_R = group_R * self._span + (times_R - self._begin)
        order_R = np.argsort(moment_R, kind="stable")
        self._moment_R = moment_R[order_R]
        places = pa.array(gone.place_R[order_R])
        self._signals = {signal.name: past[signal_value(signal.name)].take(places) for signal in plan.signals}

    def counters(self, asks: pa.Table, since: Places | int) -> pa.Table:
        """Count, per ask and in order, what became known of its entity from the moment `since` on, strictly before the ask's moment.

        `since` is one moment, or one per ask. `asks` hold the entity's keys and timestamps. An ask has a row per value of a multi-valued
        key, and a row of zeros without a value. The columns are the ask's `ROW`, the impressions (`count`), and per signal the number and
        the sum of known values.
        """
        plan = self._plan
        asked = _Rows.of(asks, self._keys, keep_empty=True)
        group_A = _groups(asked.keys, self._values)
        moment_A = _integers(asks[schema.TIMESTAMP])[asked.place_R]
        since_A = np.broadcast_to(since, len(asks))[asked.place_R]
        found = {ROW: _integers(asks[ROW])[asked.place_R]}
        for delay in plan.delays:
            first_A, end_A = self._known_before(group_A, since_A, delay), self._known_before(group_A, moment_A, delay)
            end_A = np.where(group_A == ABSENT, first_A, end_A)
            if delay == plan.delays[0]:
                found[schema.COUNT] = end_A - first_A
            for signal in plan.signals_of(delay):
                values = self._signals[signal.name]
                for name, numbers in ((_known(signal), values.is_valid()), (_total(signal), values.fill_null(0))):
                    up_to = np.concatenate([[0], np.cumsum(_integers(numbers))])
                    found[name] = up_to[end_A] - up_to[first_A]
        return pa.table({name: found[name] for name in _names(plan)})

    def _known_before(self, group_A: Places, moment_A: Places, delay: int) -> Places:
        """Find, per ask, the place after its entity's last impression with timestamp + delay strictly before the moment."""
        since = np.clip(moment_A - delay - self._begin, 0, self._span)
        places: Places = np.searchsorted(self._moment_R, group_A * self._span + since, side="left")
        return places


@dataclass(frozen=True)
class _Values:
    """The values of a key, and the codes of those combinations of values so far that occur, ascending."""

    values: pa.Array
    codes: Places


def _coded(past: Sequence[pa.Array]) -> tuple[list[_Values], Places]:
    """Return what `_groups` finds asks by, and a code per past impression, equal where all keys are."""
    found, code_R = [], np.zeros(len(past[0]), np.int64)
    for of_past in past:
        encoded = of_past.dictionary_encode()
        codes, code_R = np.unique(code_R * max(len(encoded.dictionary), 1) + _integers(encoded.indices), return_inverse=True)
        found.append(_Values(encoded.dictionary, codes))
    return found, code_R


def _groups(asked: Sequence[pa.Array], past: Sequence[_Values]) -> Places:
    """Return the code of each ask's entity, the same as that of its past impressions; ABSENT for an entity without a past."""
    code_A = np.zeros(len(asked[0]), np.int64)
    for of_asks, known in zip(asked, past, strict=True):
        value_A = _integers(pc.fill_null(pc.index_in(of_asks, value_set=known.values, skip_nulls=True), ABSENT))
        wanted_A = code_A * max(len(known.values), 1) + value_A
        place_A = np.minimum(np.searchsorted(known.codes, wanted_A), max(len(known.codes) - 1, 0))
        is_there = (code_A != ABSENT) & (value_A != ABSENT) & (len(known.codes) > 0)
        is_there[is_there] = known.codes[place_A[is_there]] == wanted_A[is_there]
        code_A = np.where(is_there, place_A, ABSENT)
    return code_A


def _kept(window: OpenWindow, plan: Plan) -> ir.Table:
    """Return the counters of a window among those that the engine keeps."""
    if window.hours is None:
        name, place = TODAY, plan.today.index(window.entity)
    else:
        name, place = recent_name(plan.recent.index(window.entity)), plan.hours.index(window.hours)
    kept = ibis.table(ibis.schema(counted_schema(plan)), name=name)
    return kept.filter(kept[WINDOW] == place)


def features(base: ir.Table, window: OpenWindow, plan: Plan) -> ir.Table:
    """Compute `agg.ENTITY.….WINDOW`, ordered by row, from the kept counters. For a multi-valued key they are means over its values.

    The base rate is that of the longest window of days: the day, or the last hours, have none of their own yet.
    """
    entity = window.entity
    longest = max(plan.windows)
    rows = _kept(window, plan).cross_join(base)
    lifts = {
        schema.aggregate_column(entity.names, signal.name, window.name): aggregates.log_lift(
            rows[_total(signal)], rows[_known(signal)], rows[aggregates.base_name(signal.name, longest)], plan.features.shrinkage
        )
        for signal in plan.signals
    }
    found = {**lifts, schema.aggregate_column(entity.names, schema.COUNT, window.name): aggregates.log_count(rows[schema.COUNT])}
    if entity.multi:
        return aggregates.mean_over_values(rows.select(ROW, **aggregates.in_billionths(found))).order_by(ROW)
    return rows.select(ROW, **{name: value.cast("float32") for name, value in found.items()}).order_by(ROW)


def _known(signal: Signal) -> str:
    return f"known.{signal.name}"


def _total(signal: Signal) -> str:
    return f"sum.{signal.name}"


def _integers(values: pa.Array | pa.ChunkedArray) -> Places:
    numbers: Places = values.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return numbers
