"""What the next day needs of all days before it: bounded by the users and videos there are, not by the log.

`past`: the last `features.history` impressions of each user, and those with a signal not known yet. `bursts`: the last
burst of each user. `seen`: the first day of each video. `met_users`, `met_items`: how many impressions each had so far, where a ready
slice asks for it. `partials-N`: the sums of the days that this state adds.
"""

import ibis
import ibis.expr.types as ir

from recsys import schema
from recsys.days import Day
from recsys.features.aggregates import known_day
from recsys.features.impressions import past_columns
from recsys.features.plan import Plan

# Known after the first delay by the end of the day; not yet known after the longest. What is not ripe is open.
_RIPE, _OPEN = "ripe", "open"


def past_impressions(impressions: ir.Table, kept: ir.Table, plan: Plan) -> ir.Table:
    """The day's impressions and those kept from before."""
    columns = past_columns(plan)
    return impressions.select(*columns).union(kept.select(*columns))


def stamped(past: ir.Table, plan: Plan, day: Day, previous: Day | None) -> ir.Table:
    """Past impressions with the day on which each delay makes them known.

    What became known since `previous`, the last day before with events, is counted by this state: on the day it became
    known, even if that day has no events.
    """
    moment = past[schema.TIMESTAMP]
    days = {known_day(index): _day_of(moment + delay, day, previous, max(plan.delays)) for index, delay in enumerate(plan.delays)}
    return past.mutate(**days, **{_RIPE: moment + plan.delays[0] < day.end, _OPEN: moment + max(plan.delays) >= day.end})


def _day_of(moment: ir.Value, day: Day, previous: Day | None, longest_delay: int) -> ir.Value:
    """The ordinal of the day of a moment since `previous`, else null. Days without events are walked as far as a delay reaches."""
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
    """What of the `stamped` past the next day needs, ordered by time.

    Only users with more than a history's length have a surplus, so only their impressions are ranked.
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
    """Video → the ordinal of its first day in the log, ordered by video."""
    today = impressions.group_by(schema.ITEM_ID).agg(day=impressions["day"].min())
    both = today.union(seen.select(schema.ITEM_ID, "day"))
    return both.group_by(schema.ITEM_ID).agg(day=both["day"].min()).order_by(schema.ITEM_ID)
