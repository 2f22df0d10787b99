"""One day's impressions with all that is known about the user, the video and the request, ready to be counted."""

from collections.abc import Iterable

import ibis
import ibis.expr.types as ir

from recsys import schema
from recsys.features.clock import DAY, LOCAL, WEEKDAY
from recsys.features.feature_columns import Column
from recsys.features.labels import translate
from recsys.features.list_starts import with_lists
from recsys.features.plan import FRACTION, Entity, Plan, Signal, key_column
from recsys.features.session import LISTED
from recsys.objectives import Objective, chain

ROW = "row"  # 0, 1, …: the place of an impression in its day, by (timestamp, event_id)
_QUOTED = r"""^['"](.*)['"]$"""
_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000


def signal_value(name: str) -> str:
    """Return the name of the column of impressions that holds a signal as a whole number, ready to be summed."""
    return f"signal.{name}"


def signal_number(signal: Signal, rows: ir.Table) -> ir.Value:
    """Return the value of a signal on its own scale, over rows with the columns of events."""
    return translate(signal.stored, rows) if signal.is_computed else rows[signal.stored]


def impressions(events: ir.Table, users: ir.Table, items: ir.Table, plan: Plan) -> ir.Table:
    """Make impressions of a day's events (`clock.stamped`): features of the moment, entity keys, whole-number signals and labels.

    `users` and `items` are unique by id.
    """
    sides = {"events": events, "users": _renamed(users, "users"), "items": _renamed(items, "items")}
    joined = events.left_join(sides["users"], events[schema.USER_ID] == sides["users"][f"users.{schema.USER_ID}"])
    joined = joined.left_join(sides["items"], events[schema.ITEM_ID] == sides["items"][f"items.{schema.ITEM_ID}"])
    if plan.has_query:
        query = _renamed(items, "query")
        joined = joined.left_join(query, events[schema.QUERY_ITEM_ID] == query[f"query.{schema.ITEM_ID}"])
    # Give the joined rows a table of their own, because the expressions below must refer to one table.
    rows = joined.select(*joined.columns)
    rows = with_lists(rows, plan)
    outputs: dict[str, ir.Value] = {
        ROW: ibis.row_number().over(ibis.window(order_by=[rows[schema.TIMESTAMP], rows[schema.EVENT_ID]])),
        DAY: rows[DAY],
        LISTED: rows[LISTED],
        **{name: rows[name] for name in _canonical(plan)},
        **{name: _feature(column, rows, plan) for name, column in plan.outputs.items()},
        schema.CONTEXT + "hour": (rows[LOCAL] % _DAY_MS // _HOUR_MS).cast("int64").cast("string"),
        schema.CONTEXT + "weekday": rows[WEEKDAY],
        **_query(rows, plan),
        **{f"{schema.ID}{column.name}": _identity(column, rows) for column in plan.ids},
        **{f"{schema.SLICE}{column.name}": _text(_stored(column, rows)) for column in plan.slices},
        **_bias(rows, plan),
        **{key_column(column): _key(column, rows, plan) for column in _key_columns((*plan.windowed, *plan.today))},
        **{signal_value(signal.name): _whole(signal, rows) for signal in plan.signals},
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
                *(key_column(column) for column in _key_columns((*plan.windowed, *plan.today))),
                *(signal_value(signal.name) for signal in plan.signals),
            ]
        )
    )


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
def _stored(column: Column, rows: ir.Table, side: str | None = None) -> ir.Value:
    return rows[column.stored if column.table == "events" else f"{side or column.table}.{column.stored}"]


def _feature(column: Column, rows: ir.Table, plan: Plan) -> ir.Value:
    value = _stored(column, rows)
    match column.kind:
        case "number":
            return _finite(value)
        case "text":
            return _text(value)
        case "multi":
            return _texts(value, plan.features.multi.get(column.name))
        case "date":
            return _age_days(value, rows)


def _finite(value: ir.Value) -> ir.Value:
    if value.type().is_boolean():
        return value.cast("int8").cast("float64")
    number = value.cast("float64")
    return (number.isnan() | number.isinf()).ifelse(ibis.null("float64"), number) if value.type().is_floating() else number


def _text(value: ir.Value) -> ir.Value:
    """Convert to text. A whole float is written as an integer, because a column of integers with gaps often arrives as float."""
    if not value.type().is_floating():
        return value.cast("string")
    bounded = (value.abs() < 2**53).ifelse(value, 0.5)  # the floor of a larger one does not fit an integer
    whole = bounded == bounded.floor()
    text = whole.ifelse(whole.ifelse(value, 0).cast("int64").cast("string"), value.cast("string"))
    return value.isnan().ifelse(ibis.null("string"), text)


def _texts(value: ir.Value, separator: str | None) -> ir.Value:
    """Return the values of one cell, in the cell's order. Values are stripped, and empty ones are dropped.

    A text may be a list in brackets, whose values may stand in quotes, such as ['a', 'b']. A bracket within it makes it no list.
    """
    if value.type().is_array():
        parts = value.map(_text).map(lambda part: part.strip())
    else:
        text, by = _text(value), separator or ","
        inner = text.substr(1, text.length() - 2)
        values = inner.split(by).map(lambda part: part.strip().re_replace(_QUOTED, r"\1"))
        is_list = text.startswith("[") & text.endswith("]") & ~inner.contains("[") & ~inner.contains("]")
        parts = is_list.ifelse(values, text.split(by).map(lambda part: part.strip()))
    return parts.filter(lambda part: part.length() > 0)


def _age_days(value: ir.Value, rows: ir.Table) -> ir.Value:
    """Compute the days from a date to the impression. A date, or a timestamp without a zone, is read on the local clock."""
    zoned = value.type().is_timestamp() and value.type().timezone is not None
    moment = rows[schema.TIMESTAMP if zoned else LOCAL]
    return (moment - value.cast("timestamp").epoch_seconds().cast("int64") * 1000).cast("float64") / _DAY_MS


def _identity(column: Column, rows: ir.Table) -> ir.Value:
    value = _stored(column, rows)
    return value.cast("int64") if value.type().is_integer() else _text(value)


def _key(column: Column, rows: ir.Table, plan: Plan) -> ir.Value:
    """Return an entity's value. A multi-valued cell gives each value once, so that an impression counts once per value."""
    return (
        _texts(_stored(column, rows), plan.features.multi.get(column.name)).unique() if column.kind == "multi" else _identity(column, rows)
    )


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
        own, candidate = (_texts_or_text(column, rows, plan, side) for side in ("query", "items"))
        found[schema.QUERY + column.name] = own
        if column.kind == "multi":
            known = (own.length() > 0) & (candidate.length() > 0)
            same = known.ifelse(own.intersect(candidate).length() > 0, ibis.null("boolean"))
        else:
            same = own == candidate
        found[f"{schema.QUERY}same.{column.name}"] = same.cast("int8").cast("float64")
    return found


def _texts_or_text(column: Column, rows: ir.Table, plan: Plan, side: str) -> ir.Value:
    value = _stored(column, rows, side)
    return _texts(value, plan.features.multi.get(column.name)) if column.kind == "multi" else _text(value)


# --- Signals and labels -------------------------------------------------------------------------------------------
def _whole(signal: Signal, rows: ir.Table) -> ir.Value:
    value = signal_number(signal, rows)
    if signal.scale == 1:
        return value.cast("int64")
    scaled = _finite(value) * FRACTION
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


def _observed_label(objective: Objective, rows: ir.Table) -> ir.Value:
    value = translate(objective.label, rows)
    if objective.observed is None:
        return value
    return (translate(objective.observed, rows) != 0).fill_null(False).ifelse(value, ibis.null("float64"))


def _weight(rows: ir.Table, plan: Plan) -> dict[str, ir.Value]:
    return {} if plan.weight is None else {schema.WEIGHT: rows[plan.weight].cast("float64")}
