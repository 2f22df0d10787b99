"""Daily partial sums per entity, and their sums over trailing windows.

All sums are integers until the last step. A sum of int64 is the same in any order and on any engine; a sum of floats is not.
"""

from collections.abc import Mapping
from functools import reduce

import ibis
import ibis.expr.types as ir

from recsys import schema
from recsys.features.impressions import ROW, signal_value
from recsys.features.plan import Entity, Plan

AGE = "age"  # whole days from the day of a partial to the day of the examples
_BILLION = 1e9  # a mean over the values of a cell sums whole billionths: exact below 2⁵³, so the same in any order
_RECENCY = ".recency"


def known_day(delay_index: int) -> str:
    """Return the name of the column of past impressions that holds the day on which the signals of one delay become known.

    The day is null where the state of another day counts the impression.
    """
    return f"known_day.{delay_index}"


def sum_column(name: str) -> str:
    """Return the name of the column of partial sums that adds up a signal's known values."""
    return f"sum.{name}"


def known_column(name: str) -> str:
    """Return the name of the column of partial sums that counts a signal's known values."""
    return f"known.{name}"


# --- Partials -----------------------------------------------------------------------------------------------------
def partials(past: ir.Table, keys: tuple[str, ...], multi: tuple[str, ...], plan: Plan) -> ir.Table:
    """Compute, per entity and day, the impressions (`count`), and per signal the number of known values and their sum.

    The rows are ordered by key and day. A signal belongs to the day on which it becomes known, so each delay is grouped by
    its own day. With empty `keys`, all impressions are counted together.
    """
    parts = [_of_one_delay(one_value_a_row(past, keys, multi), keys, plan, index) for index in range(len(plan.delays))]
    sums = reduce(lambda left, right: left.union(right), parts)
    if len(parts) > 1:
        sums = sums.group_by([*keys, "day"]).agg(**{name: sums[name].sum() for name in _measures(plan)})
    return sums.order_by([*keys, "day"])


def one_value_a_row(table: ir.Table, keys: tuple[str, ...], multi: tuple[str, ...], *, keep_empty: bool = False) -> ir.Table:
    """Make one row per value of each multi-valued key. A row that lacks a key's value is dropped, or with `keep_empty` kept with null."""
    for key in multi:
        values = table[key]
        if keep_empty:
            # Not `unnest(keep_empty=True)`, a lateral join that takes three times as long.
            values = (values.length() > 0).fill_null(False).ifelse(values, ibis.array([ibis.null("string")]))
        table = table.mutate(**{key: values.unnest()})
    return table if keep_empty or not keys else table.drop_null(list(keys))


def _of_one_delay(past: ir.Table, keys: tuple[str, ...], plan: Plan, index: int) -> ir.Table:
    counted = past.filter(past[known_day(index)].notnull()).rename({"day": known_day(index)})
    here = {signal.name for signal in plan.signals_of(plan.delays[index])}
    nothing = ibis.literal(0, "int64")
    # `count` goes with the label delay alone. Otherwise an impression with slower signals would be counted again.
    measures: dict[str, ir.Value] = {schema.COUNT: counted.count() if index == 0 else nothing}
    for signal in plan.signals:
        value = counted[signal_value(signal.name)]
        measures[known_column(signal.name)] = value.count() if signal.name in here else nothing
        measures[sum_column(signal.name)] = value.sum().fill_null(0) if signal.name in here else nothing
    aggregated = {name: value for name, value in measures.items() if value is not nothing}
    grouped = counted.group_by([*keys, "day"]).agg(**aggregated)
    return grouped.select(
        *keys, "day", **{name: nothing if value is nothing else grouped[name].cast("int64") for name, value in measures.items()}
    )


def _measures(plan: Plan) -> list[str]:
    return [schema.COUNT, *(name for signal in plan.signals for name in (known_column(signal.name), sum_column(signal.name)))]


# --- Windows ------------------------------------------------------------------------------------------------------
def _totals(recent: ir.Table, plan: Plan) -> dict[str, ir.Value]:
    """Compute the sums over trailing windows: a window of w days covers the partial sums with ages 1 … w."""
    return {
        f"{name}.{window}": recent[name].sum(where=recent[AGE] <= window).cast("float64")
        for window in plan.windows
        for name in _measures(plan)
    }


def base_rates(everything: ir.Table, plan: Plan) -> ir.Table:
    """Compute one row: the impressions of the first window, and per signal and window the base rate `base.SIGNAL.W`.

    A base rate is the signal's mean over the whole window. It is null where this mean is 0 or no value is known.
    """
    totals = everything.agg(**_totals(everything, plan))
    rates: dict[str, ir.Value] = {}
    for window in plan.windows:
        for signal in plan.signals:
            total, known = (totals[f"{name}.{window}"] for name in (sum_column(signal.name), known_column(signal.name)))
            rates[base_name(signal.name, window)] = total.nullif(0) / known.nullif(0)
    return totals.mutate(**rates).select(f"{schema.COUNT}.{plan.windows[0]}", *rates)


def base_name(signal: str, window: int) -> str:
    return f"base.{signal}.{window}"


def log_lift(total: ir.Value, known: ir.Value, base: ir.Value, shrinkage: float) -> ir.Value:
    """Compute log((total + c·base) / (known + c) / base), float64, with c = `shrinkage`.

    The result is the log ratio of a rate to the base rate, shrunk towards 0 by c impressions at the base rate. It is exactly 0
    where nothing is known or there is no base rate.
    """
    prior = base * shrinkage
    return ((total.cast("float64").fill_null(0.0) + prior) / (known.cast("float64").fill_null(0.0) * base + prior)).ln().fill_null(0.0)


def log_count(count: ir.Value) -> ir.Value:
    return (count.cast("float64").fill_null(0.0) + 1.0).ln()


def rated(day: ir.Table, recent: ir.Table, base: ir.Table, entity: Entity, plan: Plan) -> ir.Table:
    """Compute the features `agg.ENTITY.…` per entity of the day's impressions.

    They are per entity, not per impression, because many impressions share an entity. They are log lifts and log counts per window, and
    the recency of entities other than the user. `recent` holds the entity's partial sums in the longest window, with their `age`. For a
    multi-valued column, lifts and counts are in whole billionths.
    """
    keys = list(entity.keys)
    wanted = recent.semi_join(one_value_a_row(day.select(*keys), entity.keys, entity.multi), keys)
    totals = wanted.group_by(keys).agg(**_totals(wanted, plan), **{AGE: wanted[AGE].min(where=wanted[schema.COUNT] > 0)})
    rows = totals.cross_join(base)
    kind = "float64" if entity.multi else "float32"
    features = {name: value.cast(kind) for name, value in _window_features(rows, entity, plan).items()}
    if entity.multi:
        features = in_billionths(features)
    return rows.select(*keys, **features, **_recency(rows, entity))


def trailing(asks: ir.Table, rates: ir.Table, entity: Entity) -> ir.Table:
    """Select the features of each ask (an impression that needs features), ordered by row, from those of its entity (`rated`).

    For a multi-valued column, lifts and counts are means over its values, and the recency is that of its most recent value. A null or new
    entity has 0 and no recency.
    """
    keys = list(entity.keys)
    wanted = one_value_a_row(asks.select(*dict.fromkeys([ROW, *keys])), entity.keys, entity.multi, keep_empty=True)
    met = wanted.left_join(rates, keys).select(ROW, *(name for name in rates.columns if name not in keys))
    zero_where_new = {name: met[name].fill_null(0) for name in met.columns if name != ROW and not name.endswith(_RECENCY)}
    features = met.mutate(**zero_where_new)
    return (mean_over_values(features) if entity.multi else features).order_by(ROW)


def _window_features(totals: ir.Table, entity: Entity, plan: Plan) -> dict[str, ir.Value]:
    features: dict[str, ir.Value] = {}
    for window in plan.windows:
        for signal in plan.signals:
            total, known = (totals[f"{name}.{window}"] for name in (sum_column(signal.name), known_column(signal.name)))
            lift = log_lift(total, known, totals[base_name(signal.name, window)], plan.features.shrinkage)
            features[schema.aggregate_column(entity.names, signal.name, window)] = lift
        features[schema.aggregate_column(entity.names, schema.COUNT, window)] = log_count(totals[f"{schema.COUNT}.{window}"])
    return features


def _recency(totals: ir.Table, entity: Entity) -> dict[str, ir.Value]:
    """Compute log(1 + days since the last day with an impression). The user's recency is finer: see `session.py`."""
    if entity.is_just(schema.USER_ID):
        return {}
    return {f"{schema.AGGREGATE}{'+'.join(entity.names)}{_RECENCY}": (totals[AGE].cast("float64") + 1.0).ln().cast("float32")}


def in_billionths(features: Mapping[str, ir.Value]) -> dict[str, ir.Value]:
    """Return the features as `mean_over_values` reads them: whole, so that their sum is the same in any order."""
    return {name: (value * _BILLION).round().cast("float64") for name, value in features.items()}


def mean_over_values(features: ir.Table) -> ir.Table:
    """Compute, per row, the mean of each feature in billionths over the row's values, and the least recency."""
    names = [name for name in features.columns if name != ROW]
    recency = [name for name in names if name.endswith(_RECENCY)]
    summed = features.group_by(ROW).agg(
        values=features.count(), **{name: features[name].min() if name in recency else features[name].sum() for name in names}
    )
    divisor = summed["values"].cast("float64") * _BILLION
    means = {name: summed[name] if name in recency else (summed[name] / divisor).cast("float32") for name in names}
    return summed.select(ROW, **means)
