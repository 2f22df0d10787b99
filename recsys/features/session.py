"""Where in a burst an impression stands. A burst is a user's impressions with pauses under ten minutes.

Impressions are known at once (their signals are not), so these features see all impressions strictly before the moment;
those of the same millisecond are treated alike.
"""

import ibis
import ibis.expr.types as ir

from recsys import schema
from recsys.features.plan import Plan

PAUSE_MS = 600_000
_HOUR_MS = 3_600_000


def moments(impressions: ir.Table, bursts: ir.Table) -> ir.Table:
    """One row per user and moment of the day.

    `n` impressions of that moment, the `previous` moment, `begin` of the burst, `place`: impressions of the burst before it.

    `bursts`: each user's last burst on earlier days (`last_bursts`), which the first one of the day may go on with.
    """
    today = impressions.group_by([schema.USER_ID, schema.TIMESTAMP]).agg(n=impressions.count(), begin=impressions[schema.TIMESTAMP].min())
    kinds = today.schema()
    known = today.select(*kinds).union(bursts.select(*kinds))
    in_order, so_far = (
        ibis.window(group_by=known[schema.USER_ID], order_by=known[schema.TIMESTAMP], rows=rows) for rows in (None, (None, 0))
    )
    moments = known.mutate(previous=known[schema.TIMESTAMP].lag(1).over(in_order), total=known["n"].sum().over(so_far))
    opens = moments["previous"].isnull() | (moments[schema.TIMESTAMP] - moments["previous"] >= PAUSE_MS)
    before = moments["total"] - moments["n"]
    # Both only grow, so the largest of the moments that open a burst is that of the last one.
    so_far = ibis.window(group_by=moments[schema.USER_ID], order_by=moments[schema.TIMESTAMP], rows=(None, 0))
    return moments.select(
        schema.USER_ID,
        schema.TIMESTAMP,
        "n",
        "previous",
        place=before - before.max(where=opens).over(so_far),
        begin=moments["begin"].max(where=opens).over(so_far),
    )


def last_bursts(found: ir.Table) -> ir.Table:
    """Each user's last moment, with the impressions of its burst so far and when that began: the state for the next day."""
    moment = found[schema.TIMESTAMP]
    last = found.group_by(schema.USER_ID).agg(
        **{schema.TIMESTAMP: moment.max()}, n=(found["n"] + found["place"]).argmax(moment), begin=found["begin"].argmax(moment)
    )
    return last.mutate(n=last["n"].cast("int64")).order_by(schema.USER_ID)


def session_columns(asked: ir.Table, plan: Plan) -> dict[str, ir.Value]:
    """Features of asks that `moments` has been joined to."""
    elapsed = (asked[schema.TIMESTAMP] - asked["begin"]).cast("float64") / 1000.0
    columns = {
        schema.CONTEXT + "session_place": (asked["place"].cast("float64") + 1.0).ln(),
        schema.CONTEXT + "session_elapsed": (elapsed + 1.0).ln(),
    }
    if any(entity.is_just(schema.USER_ID) for entity in plan.entities):
        hours = (asked[schema.TIMESTAMP] - asked["previous"]).cast("float64") / _HOUR_MS
        columns[f"{schema.AGGREGATE}{schema.USER_ID}.recency"] = (hours + 1.0).ln().cast("float32")
    return columns
