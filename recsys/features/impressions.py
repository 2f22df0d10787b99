"""One day's impressions with all that is known about the user, the video and the request, ready to be counted."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ibis
import ibis.expr.types as ir

from recsys import schema
from recsys.days import DAY_MS
from recsys.features.clock import DAY, LOCAL, WEEKDAY
from recsys.features.feature_columns import Column
from recsys.features.labels import translate
from recsys.features.list_starts import NAME, with_lists
from recsys.features.plan import FRACTION, HOUR_MS, Entity, Plan, Signal, key_column
from recsys.features.session import LISTED
from recsys.features.sides import joined_value
from recsys.features.values import finite
from recsys.objectives import Objective, chain

ROW = "row"  # 0, 1, …: the place of an impression in its day, by (timestamp, event_id)
_PLACED_ID, _OWN = f"placed.{schema.EVENT_ID}", "own"
_HOUR, _OF_HOUR, _BEFORE = "hour", "of_hour", "before"


def signal_value(name: str) -> str:
    """Return the name of the column of impressions that holds a signal as a whole number, ready to be summed."""
    return f"signal.{name}"


def signal_number(signal: Signal, rows: ir.Table) -> ir.Value:
    """Return the value of a signal on its own scale, over rows with the columns of events."""
    return translate(signal.stored, rows) if signal.is_computed else rows[signal.stored]


def impressions(events: ir.Table, users: ir.Table, items: ir.Table, plan: Plan, placed: ir.Table | None = None) -> ir.Table:
    """Make impressions of a day's events (`clock.stamped`): features of the moment, entity keys, whole-number signals and labels.

    `users` and `items` are those of `sides.side_tables`, unique by id. `placed` holds the place and the list of each event; None: they are
    found from the events.
    """
    placed = _placed(events, plan) if placed is None else placed
    users, query, items = _renamed(users, "users"), _renamed(items, "query"), _renamed(items, "items")
    joined = events.join(placed, events[schema.EVENT_ID] == placed[_PLACED_ID])
    joined = joined.left_join(users, events[schema.USER_ID] == users[f"users.{schema.USER_ID}"])
    joined = joined.left_join(items, events[schema.ITEM_ID] == items[f"items.{schema.ITEM_ID}"])
    if plan.has_query:
        joined = joined.left_join(query, events[schema.QUERY_ITEM_ID] == query[f"query.{schema.ITEM_ID}"])
    # Give the joined rows a table of their own, because the expressions below must refer to one table.
    rows = joined.select(*joined.columns)
    outputs: dict[str, ir.Value] = {
        ROW: rows[ROW],
        DAY: rows[DAY],
        LISTED: rows[LISTED],
        **{name: rows[name] for name in _canonical(plan)},
        **{name: _feature(column, rows, plan) for name, column in plan.outputs.items()},
        schema.CONTEXT + "hour": (rows[LOCAL] % DAY_MS // HOUR_MS).cast("int64").cast("string"),
        schema.CONTEXT + "weekday": rows[WEEKDAY],
        **_query(rows, plan),
        **{f"{schema.ID}{column.name}": joined_value("id", column, rows, plan) for column in plan.ids},
        **{f"{schema.SLICE}{column.name}": joined_value("slice", column, rows, plan) for column in plan.slices},
        **_bias(rows, plan),
        **{key_column(column): joined_value("key", column, rows, plan) for column in _key_columns(plan.keyed)},
        **{signal_value(signal.name): whole_number(signal, rows) for signal in plan.signals},
        **_labels(rows, plan),
        **_weight(rows, plan),
    }
    return rows.select(**outputs)


def static_columns(plan: Plan) -> list[str]:
    """List the columns that examples take unchanged from impressions, in order. Labels are not among them: they come last."""
    query = [schema.QUERY + schema.ITEM_ID, *_query_names(plan)] if plan.has_query else []
    return [
        *_canonical(plan),
        *plan.outputs,
        schema.CONTEXT + "hour",
        schema.CONTEXT + "weekday",
        *query,
        *(f"{schema.ID}{column.name}" for column in plan.ids),
    ]


def closing_columns(plan: Plan) -> list[str]:
    """List the bias and slice columns. They describe the impression, but are not part of the model's input."""
    return [*(schema.BIAS + name for name in plan.features.bias), *(schema.slice_column(column.name) for column in plan.slices)]


def past_columns(plan: Plan) -> list[str]:
    """List the columns that later impressions need from an earlier one. The kept state has these columns."""
    return list(
        dict.fromkeys(
            [
                *(schema.EVENT_ID, schema.USER_ID, schema.ITEM_ID, schema.TIMESTAMP),
                *plan.history_sources.values(),
                *(key_column(column) for column in _key_columns(plan.keyed)),
                *(signal_value(signal.name) for signal in plan.signals),
            ]
        )
    )


def _placed(events: ir.Table, plan: Plan) -> ir.Table:
    """Find each event's place in its day (`ROW`), and the moment at which its list began (`LISTED`).

    Windows sort whole rows, so they get no column that they do not need. Places are counted within each hour, after those of the hours
    before: so no window holds the whole day, which Spark would give to one task.
    """
    listed = with_lists(events, plan)
    listed = listed.mutate(**{_HOUR: listed[schema.TIMESTAMP] // HOUR_MS})
    hours = listed.group_by(_HOUR).agg(n=listed.count())
    before = hours["n"].sum().over(ibis.window(order_by=hours[_HOUR], rows=(None, 0))) - hours["n"]
    hours = hours.select(**{_OF_HOUR: hours[_HOUR], _BEFORE: before.cast("int64")})
    both = listed.join(hours, listed[_HOUR] == hours[_OF_HOUR])
    place = ibis.row_number().over(ibis.window(group_by=both[_HOUR], order_by=[both[schema.TIMESTAMP], both[schema.EVENT_ID]]))
    return both.select(LISTED, **{_PLACED_ID: both[schema.EVENT_ID], ROW: both[_BEFORE] + place})


def placed_candidates(candidates: ir.Table, lists: ir.Table | None) -> ir.Table:
    """Give each candidate a place, in the order of event_id, and the moment at which its list began: no other candidate counts for it.

    A candidate of one of the `lists` that the log knows (`list_starts.known_lists`) has the list's moment; another one has its own.
    """
    place = ibis.row_number().over(ibis.window(order_by=candidates[schema.EVENT_ID]))
    own = candidates[schema.TIMESTAMP]
    if lists is None:
        return candidates.select(**{_PLACED_ID: candidates[schema.EVENT_ID], LISTED: own, ROW: place})
    placed = candidates.select(schema.USER_ID, NAME, **{_PLACED_ID: candidates[schema.EVENT_ID], ROW: place, _OWN: own})
    both = placed.left_join(lists, [schema.USER_ID, NAME])
    began = ibis.least(both[LISTED].fill_null(both[_OWN]), both[_OWN])
    return both.select(_PLACED_ID, ROW, **{LISTED: began})


def _renamed(table: ir.Table, side: str) -> ir.Table:
    return table.rename({f"{side}.{name}": name for name in table.columns})


def _canonical(plan: Plan) -> list[str]:
    ids = (schema.EVENT_ID, schema.USER_ID, schema.ITEM_ID, schema.TIMESTAMP, schema.REQUEST_ID)
    return [name for name in (*ids, schema.PROPENSITY, schema.TARGET_PROPENSITY) if name in plan.columns.events.names]


def _key_columns(entities: Iterable[Entity]) -> tuple[Column, ...]:
    """Return each column of an entity once, without the two ids that impressions have in any case."""
    named = {key_column(column): column for entity in entities for column in entity.columns}
    return tuple(column for key, column in named.items() if key not in (schema.USER_ID, schema.ITEM_ID))


# --- Values -------------------------------------------------------------------------------------------------------
def _feature(column: Column, rows: ir.Table, plan: Plan) -> ir.Value:
    value = joined_value("feature", column, rows, plan)
    return _age_days(value, rows) if column.kind == "date" else value


def _age_days(value: ir.Value, rows: ir.Table) -> ir.Value:
    """Compute the days from a date, which begins on the local clock, or from a moment, which ingestion writes in UTC, to the impression."""
    moment = rows[LOCAL if value.type().is_date() else schema.TIMESTAMP]
    seconds = value.cast("timestamp").truncate("s").epoch_seconds().cast("int64")  # whole ones: engines round fractions otherwise
    return (moment - seconds * 1000).cast("float64") / DAY_MS


def _bias(rows: ir.Table, plan: Plan) -> dict[str, ir.Value]:
    kinds = {schema.POSITION: "int64", schema.DEVICE: "string"}
    return {schema.BIAS + name: rows[name].cast(kinds[name]) for name in plan.features.bias}


# --- The query video ----------------------------------------------------------------------------------------------
def _query_columns(plan: Plan) -> list[Column]:
    return [column for column in plan.item if column.is_categorical]


def _query_names(plan: Plan) -> list[str]:
    columns = _query_columns(plan)
    return [*(schema.QUERY + column.name for column in columns), *(f"{schema.QUERY}same.{column.name}" for column in columns)]


def _query(rows: ir.Table, plan: Plan) -> dict[str, ir.Value]:
    """Compute columns of the video being watched: its values, and whether the candidate shares one (null where either is unknown)."""
    if not plan.has_query:
        return {}
    found: dict[str, ir.Value] = {schema.QUERY + schema.ITEM_ID: rows[schema.QUERY_ITEM_ID]}
    for column in _query_columns(plan):
        own, candidate = (joined_value("feature", column, rows, plan, side) for side in ("query", "items"))
        found[schema.QUERY + column.name] = own
        if column.kind == "multi":
            known = (own.length() > 0) & (candidate.length() > 0)
            same = known.ifelse(own.intersect(candidate).length() > 0, ibis.null("boolean"))
        else:
            same = own == candidate
        found[f"{schema.QUERY}same.{column.name}"] = same.cast("int8").cast("float64")
    return found


# --- Signals and labels -------------------------------------------------------------------------------------------
def whole_number(signal: Signal, rows: ir.Table) -> ir.Value:
    """Return the value of a signal as the whole number that is summed, `Signal.scale` times the value."""
    value = signal_number(signal, rows)
    if signal.scale == 1:
        return value.cast("int64")
    scaled = finite(value) * FRACTION
    # Null beyond 64 bits, where a cast would stop the query. `require_valid` then refuses the value and names its column.
    return ibis.cases((scaled.abs() < 2.0**63, scaled)).round().cast("int64")


def _labels(rows: ir.Table, plan: Plan) -> dict[str, ir.Value]:
    """Compute each label, and the moment at which it is known."""
    found: dict[str, ir.Value] = {}
    for objective, delay in zip(plan.objectives, plan.label_delays, strict=True):
        label = found[schema.label_column(objective.name)] = _label(objective, rows, plan)
        found[schema.known_column(objective.name)] = label.notnull().ifelse(rows[schema.TIMESTAMP] + delay, ibis.null("int64"))
    return found


def _label(objective: Objective, rows: ir.Table, plan: Plan) -> ir.Value:
    """Compute the label where it is observed. An objective with `given` gets the joint label, built from the end of its chain.

    The joint label is 0 where the label of `given` is 0: then this label cannot be 1, observed or not. It is null where the
    label of `given` is null.
    """
    *conditional, first = chain(objective, plan.objectives)
    joint = _observed_label(first, rows)
    for link in reversed(conditional):
        joint = ibis.cases((joint == 0, 0.0), (joint.notnull(), _observed_label(link, rows)), else_=ibis.null("float64"))
    return joint


def beside_given(answer: Callable[[ir.Table], Mapping[str, Any]], events: ir.Table, plan: Plan) -> dict[str, tuple[int, int]]:
    """Count, per objective with `given`, its labels of 1 that count as 0 because the label of `given` is 0, and all its labels of 1.

    `answer` runs an expression of one row.
    """
    counts: dict[str, ir.Value] = {}
    conditional = [objective for objective in plan.objectives if objective.given is not None]
    for objective in conditional:
        happened = (_observed_label(objective, events) == 1).fill_null(False)
        condition = _label(chain(objective, plan.objectives)[1], events, plan)
        counts[f"all.{objective.name}"] = happened.sum()
        counts[f"lost.{objective.name}"] = (happened & (condition == 0).fill_null(False)).sum()
    found = answer(events.agg(**counts)) if counts else {}
    return {each.name: (int(found[f"lost.{each.name}"] or 0), int(found[f"all.{each.name}"] or 0)) for each in conditional}


def _observed_label(objective: Objective, rows: ir.Table) -> ir.Value:
    value = translate(objective.label, rows)
    if objective.observed is None:
        return value
    return (translate(objective.observed, rows) != 0).fill_null(False).ifelse(value, ibis.null("float64"))


def _weight(rows: ir.Table, plan: Plan) -> dict[str, ir.Value]:
    return {} if plan.weight is None else {schema.WEIGHT: rows[plan.weight].cast("float64")}
