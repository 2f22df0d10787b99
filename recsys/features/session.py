"""An impression's place in its session. A session is a series of a user's impressions with pauses under ten minutes.

Impressions are known at once (their signals are not). So these features see all impressions strictly before the moment.
Impressions of the same millisecond are treated alike.
"""

import ibis
import ibis.expr.types as ir

from recsys import schema
from recsys.features.plan import HOUR_MS, Plan

PAUSE_MS = 600_000
LISTED = "listed"  # the moment at which an impression's list began (`list_starts.with_lists`)


def moments(impressions: ir.Table, sessions: ir.Table) -> ir.Table:
    """Make one row per user and moment of the day; the rows of `sessions` stay among them.

    `n` is the number of impressions at the moment, `previous` the moment before, `begin` the start of its session. `place` is the
    number of the session's impressions before the moment.

    `sessions` holds each user's last session of earlier days (`last_sessions`). The user's first session of the day may continue it.
    """
    today = impressions.group_by([schema.USER_ID, schema.TIMESTAMP]).agg(n=impressions.count(), begin=impressions[schema.TIMESTAMP].min())
    kinds = today.schema()
    known = today.select(*kinds).union(sessions.select(*kinds))
    in_order, so_far = (
        ibis.window(group_by=known[schema.USER_ID], order_by=known[schema.TIMESTAMP], rows=rows) for rows in (None, (None, 0))
    )
    moments = known.mutate(previous=known[schema.TIMESTAMP].lag(1).over(in_order), total=known["n"].sum().over(so_far))
    opens = moments["previous"].isnull() | (moments[schema.TIMESTAMP] - moments["previous"] >= PAUSE_MS)
    before = moments["total"] - moments["n"]
    # `before` and `begin` only grow, so their largest value at a moment that opens a session is that of the last session.
    so_far = ibis.window(group_by=moments[schema.USER_ID], order_by=moments[schema.TIMESTAMP], rows=(None, 0))
    return moments.select(
        schema.USER_ID,
        schema.TIMESTAMP,
        "n",
        "previous",
        place=before - before.max(where=opens).over(so_far),
        begin=moments["begin"].max(where=opens).over(so_far),
    )


def moments_before(asks: ir.Table, found: ir.Table) -> ir.Table:
    """Make the same row per user and moment of asks that need not be impressions, from the `moments` of impressions strictly before.

    So no ask counts for another one.
    """
    asked = asks.select(schema.USER_ID, **{schema.TIMESTAMP: asks[LISTED]}).distinct()
    last = found.select(schema.USER_ID, previous=found[schema.TIMESTAMP], begin=found["begin"], up_to=found["place"] + found["n"])
    both = asked.asof_join(last, asked[schema.TIMESTAMP] > last["previous"], schema.USER_ID)
    opens = both["previous"].isnull() | (both[schema.TIMESTAMP] - both["previous"] >= PAUSE_MS)
    return both.select(
        schema.USER_ID,
        schema.TIMESTAMP,
        n=ibis.literal(0, "int64"),
        previous=both["previous"],
        place=opens.ifelse(0, both["up_to"]),
        begin=opens.ifelse(both[schema.TIMESTAMP], both["begin"]),
    )


def last_sessions(found: ir.Table) -> ir.Table:
    """Return each user's last moment, with the impressions of its session so far and the session's start: the state for the next day."""
    moment = found[schema.TIMESTAMP]
    last = found.group_by(schema.USER_ID).agg(
        **{schema.TIMESTAMP: moment.max()}, n=(found["n"] + found["place"]).argmax(moment), begin=found["begin"].argmax(moment)
    )
    return last.mutate(n=last["n"].cast("int64")).order_by(schema.USER_ID)


def session_columns(asked: ir.Table, plan: Plan) -> dict[str, ir.Value]:
    """Compute the features of asks to which the `moments` at which their lists began have been joined."""
    elapsed = (asked[LISTED] - asked["begin"]).cast("float64") / 1000.0
    columns = {
        schema.CONTEXT + "session_place": (asked["place"].cast("float64") + 1.0).ln(),
        schema.CONTEXT + "session_elapsed": (elapsed + 1.0).ln(),
    }
    if any(entity.is_just(schema.USER_ID) for entity in plan.entities):
        hours = (asked[LISTED] - asked["previous"]).cast("float64") / HOUR_MS
        columns[f"{schema.AGGREGATE}{schema.USER_ID}.recency"] = (hours + 1.0).ln().cast("float32")
    return columns
