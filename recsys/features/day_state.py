"""The state that the next day needs from all days before it.

Its size is bounded by the numbers of users and videos, not by the log. With windows of hours, it also holds the impressions of these hours.

`kept`: the last `features.history` impressions of each user, those with a signal not known yet, and those that windows of hours
reach. `sessions`: the last session of each user. `seen`: the first day of each video. `met_users`, `met_items`: the number of
impressions of each so far, only if a ready slice needs it. `partials-N`: the partial sums of the days that this state adds.
"""

import ibis
import ibis.expr.types as ir

from recsys import schema
from recsys.days import Day
from recsys.features.aggregates import known_day
from recsys.features.impressions import past_columns
from recsys.features.plan import Plan

# Ripe: the first delay is over by the end of the day. Open: a later day may still count it, because the longest delay is not over, or was
# not before the longest window of hours began that a later day has. What is not ripe is open.
_RIPE, _OPEN = "ripe", "open"


def past_impressions(impressions: ir.Table, kept: ir.Table, plan: Plan) -> ir.Table:
    """Combine the day's impressions and those kept from before."""
    columns = past_columns(plan)
    return impressions.select(*columns).union(kept.select(*columns))


def stamped(past: ir.Table, plan: Plan, day: Day, previous: Day | None) -> ir.Table:
    """Add to past impressions, per delay, the day on which they become known.

    This state counts all signals that became known after `previous`, the last earlier day with events. Each counts on the day
    on which it became known, even if that day has no events.
    """
    moment = past[schema.TIMESTAMP]
    days = {known_day(index): _day_of(moment + delay, day, previous, max(plan.delays)) for index, delay in enumerate(plan.delays)}
    return past.mutate(**days, **{_RIPE: moment + plan.delays[0] < day.end, _OPEN: moment + max(plan.delays) >= day.end - plan.reach})


def _day_of(moment: ir.Value, day: Day, previous: Day | None, longest_delay: int) -> ir.Value:
    """Return the ordinal of a moment's day if this day is after `previous` and not after `day`, else null.

    Days without events in between are tried as far as the longest delay reaches.
    """
    cases = []
    if previous is not None:
        cases.append((moment < previous.end, ibis.null("int32")))
        between = previous.next()
        while between.start < min(day.start, previous.end + longest_delay):
            cases.append((moment < between.end, ibis.literal(between.ordinal, "int32")))
            between = between.next()
    cases.append((moment < day.end, ibis.literal(day.ordinal, "int32")))
    return ibis.cases(*cases, else_=ibis.null("int32"))


def kept_impressions(past: ir.Table, plan: Plan) -> ir.Table:
    """Select the rows of the `stamped` past that the next day needs, ordered by time.

    Only users with more impressions than a history holds have a surplus, so only their impressions are ranked.
    """
    length = plan.features.history
    sizes = past.group_by(schema.USER_ID).agg(size=past.count())
    of_many = past.semi_join(sizes.filter(sizes["size"] > length), schema.USER_ID)
    of_many = of_many.select(schema.EVENT_ID, schema.USER_ID, schema.TIMESTAMP, _RIPE, _OPEN)
    newest = ibis.window(
        group_by=[of_many[schema.USER_ID], of_many[_RIPE]], order_by=[of_many[schema.TIMESTAMP].desc(), of_many[schema.EVENT_ID].desc()]
    )
    ranked = of_many.mutate(back=ibis.row_number().over(newest))
    surplus = ranked.filter(~ranked[_OPEN] & (ranked["back"] >= length))
    kept = past.anti_join(surplus, schema.EVENT_ID)
    return kept.select(*past_columns(plan)).order_by([schema.TIMESTAMP, schema.EVENT_ID])


def first_seen(impressions: ir.Table, seen: ir.Table) -> ir.Table:
    """Return the ordinal of each video's first day in the log, ordered by video."""
    today = impressions.group_by(schema.ITEM_ID).agg(day=impressions["day"].min())
    both = today.union(seen.select(schema.ITEM_ID, "day"))
    return both.group_by(schema.ITEM_ID).agg(day=both["day"].min()).order_by(schema.ITEM_ID)
