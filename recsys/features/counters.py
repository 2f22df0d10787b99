"""Counters that run on through the day (`features.today`): what an entity has gathered since the day began, up to the very moment.

Each entity contains the user. So the past of the users that are asked for is all that has to be read.

The arithmetic is on integers, as for the windows. The past impressions of an entity are sorted by (entity, moment). The impressions that
are known before a moment end at one place in this order, which a binary search finds. So a sum over the impressions that became known
between two moments is a difference of prefix sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys import schema
from recsys.days import Day
from recsys.features import aggregates
from recsys.features.impressions import ROW, signal_value
from recsys.features.plan import Entity, Plan, Signal

Places = npt.NDArray[np.int64]
ABSENT = -1  # the code of a value that no past impression has


def names(plan: Plan) -> list[str]:
    """List the columns of `counters`, all int64."""
    return [ROW, schema.COUNT, *(name for signal in plan.signals for name in (_known(signal), _total(signal)))]


@dataclass(frozen=True)
class _Rows:
    """Impressions with one value per multi-valued key: the place of each in its table, and its keys' columns."""

    place_R: Places
    keys: Sequence[pa.Array]

    @classmethod
    def of(cls, table: pa.Table, entity: Entity, *, keep_empty: bool) -> "_Rows":
        """Part the table's rows. One that lacks a value of a key is left out, or with `keep_empty` kept with null."""
        places = pa.array(np.arange(len(table)))
        columns = [table[key].combine_chunks() for key in entity.keys]
        for at, key in enumerate(entity.keys):
            if key in entity.multi:
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


def counters(asks: pa.Table, past: pa.Table, entity: Entity, plan: Plan, day: Day) -> pa.Table:
    """Count, per ask and in order, what became known of its entity since the day began, strictly before the ask's moment.

    `asks` and `past` hold the entity's keys and timestamps; `past` also the signals. An ask has a row per value of a multi-valued key, and
    a row of zeros without a value. The columns are the ask's place (`ROW`), the impressions (`count`), and per signal the number and the
    sum of known values.
    """
    times = _integers(past[schema.TIMESTAMP])
    past = past.filter(pa.array(times >= day.start - max(plan.delays)))  # what was known before the day began counts in no window of today
    asked, gone = _Rows.of(asks, entity, keep_empty=True), _Rows.of(past, entity, keep_empty=False)
    group_A, group_R = _groups(asked.keys, gone.keys)
    times_R = _integers(past[schema.TIMESTAMP])[gone.place_R]
    moment_A = _integers(asks[schema.TIMESTAMP])[asked.place_R]
    begin = int(times_R.min(initial=day.start))
    span = int(times_R.max(initial=day.start)) + 1 - begin
    order_R = np.argsort(group_R * span + (times_R - begin), kind="stable")
    keys_R = (group_R * span + (times_R - begin))[order_R]

    def known_before(moments: Places | int, delay: int) -> Places:
        """Find, per ask, the place after its entity's last impression with timestamp + delay strictly before the moment."""
        since = np.clip(np.asarray(moments) - delay - begin, 0, span)
        places: Places = np.searchsorted(keys_R, group_A * span + since, side="left")
        return places

    found = {ROW: asked.place_R}
    for delay in plan.delays:
        since, until = known_before(day.start, delay), known_before(moment_A, delay)
        until = np.where(group_A == ABSENT, since, until)
        if delay == plan.delays[0]:
            found[schema.COUNT] = until - since
        for signal in plan.signals_of(delay):
            values = past[signal_value(signal.name)].take(pa.array(gone.place_R[order_R]))
            for name, numbers in ((_known(signal), values.is_valid()), (_total(signal), values.fill_null(0))):
                up_to = np.concatenate([[0], np.cumsum(_integers(numbers))])
                found[name] = up_to[until] - up_to[since]
    return pa.table({name: found[name] for name in names(plan)})


def _groups(asked: Sequence[pa.Array], past: Sequence[pa.Array]) -> tuple[Places, Places]:
    """Return a code per ask and per past impression, equal where all keys are; ABSENT for an ask of an entity without a past."""
    code_A, code_R = np.zeros(len(asked[0]), np.int64), np.zeros(len(past[0]), np.int64)
    for of_asks, of_past in zip(asked, past, strict=True):
        encoded = of_past.dictionary_encode()
        value_A = _integers(pc.fill_null(pc.index_in(of_asks, value_set=encoded.dictionary, skip_nulls=True), ABSENT))
        values, code_R = np.unique(code_R * max(len(encoded.dictionary), 1) + _integers(encoded.indices), return_inverse=True)
        wanted_A = code_A * max(len(encoded.dictionary), 1) + value_A
        place_A = np.minimum(np.searchsorted(values, wanted_A), max(len(values) - 1, 0))
        is_there = (code_A != ABSENT) & (value_A != ABSENT) & (len(values) > 0)
        is_there[is_there] = values[place_A[is_there]] == wanted_A[is_there]
        code_A = np.where(is_there, place_A, ABSENT)
    return code_A, code_R


def features(counted: ir.Table, base: ir.Table, entity: Entity, plan: Plan) -> ir.Table:
    """Compute `agg.ENTITY.….today`, ordered by row, from `counters`. For a multi-valued key they are means over its values.

    The base rate is that of the longest window: the day has none of its own yet.
    """
    longest = max(plan.windows)
    rows = counted.cross_join(base)
    lifts = {
        schema.aggregate_column(entity.names, signal.name, schema.TODAY): aggregates.log_lift(
            rows[_total(signal)], rows[_known(signal)], rows[aggregates.base_name(signal.name, longest)], plan.features.shrinkage
        )
        for signal in plan.signals
    }
    found = {**lifts, schema.aggregate_column(entity.names, schema.COUNT, schema.TODAY): aggregates.log_count(rows[schema.COUNT])}
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
