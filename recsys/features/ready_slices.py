"""Slices that need no column of the log: a user's or a video's number of impressions before the day, and a video's age in the log.

`cold_user`, `cold_item`: "new" without an impression before the day of the example, "cold" with fewer than ten, else "warm".
`item_age`: days since the video's first day in the log. All count whole days, so that the state is one number per user and per
video. All use the log alone: users and videos that are older than the log also start as new.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from recsys import schema

COLD = 10  # impressions; with fewer, a smoothed rate is mostly the base rate (features.shrinkage is 20)
SEEN_BEFORE, FIRST_DAY = "n", "day"  # columns that the tables of the state have beside their key


@dataclass(frozen=True)
class ReadySlice:
    """A slice. `value` takes the example's day, and the number that the table `state` holds for the row's `key` (null: none)."""

    key: str
    state: str
    column: str
    value: Callable[[ir.Value, ir.Value], ir.Value]


def _familiarity(day: ir.Value, impressions: ir.Value) -> ir.Value:
    return ibis.cases((impressions.isnull(), "new"), (impressions < COLD, "cold"), else_="warm")


def _age(day: ir.Value, first: ir.Value) -> ir.Value:
    """Return the bin of a video's age in days. The state ends the day before, so an age is 1 or more."""
    days = day - first
    bins = ((1, "1 day"), (3, "2-3 days"), (7, "4-7 days"), (30, "8-30 days"))
    return ibis.cases((days.isnull(), "new today"), *((days <= most, name) for most, name in bins), else_="31+ days")


READY_SLICES: Mapping[str, ReadySlice] = {
    "cold_user": ReadySlice(schema.USER_ID, "met_users", SEEN_BEFORE, _familiarity),
    "cold_item": ReadySlice(schema.ITEM_ID, "met_items", SEEN_BEFORE, _familiarity),
    "item_age": ReadySlice(schema.ITEM_ID, "seen", FIRST_DAY, _age),
}


def counted(words: Sequence[str]) -> dict[str, str]:
    """Return the tables of the state that these slices need beside `seen`, as name → key."""
    return {READY_SLICES[word].state: READY_SLICES[word].key for word in words if READY_SLICES[word].column == SEEN_BEFORE}


def met(impressions: ir.Table, before: ir.Table, key: str) -> ir.Table:
    """Count each key's impressions in the log so far: the day's and those counted `before` it. The rows are ordered by key."""
    today = impressions.group_by(key).agg(**{SEEN_BEFORE: impressions.count()})
    both = today.union(before.select(key, SEEN_BEFORE))
    return both.group_by(key).agg(**{SEEN_BEFORE: both[SEEN_BEFORE].sum().cast("int64")}).order_by(key)


def with_slice(asks: ir.Table, word: str, state: ir.Table) -> ir.Table:
    """Add `slice.WORD` to the asks, from the slice's table of the state as the day before left it."""
    ready = READY_SLICES[word]
    held = state.select(ready.key, held=state[ready.column])
    joined = asks.left_join(held, ready.key)
    return joined.select(*asks.columns, **{schema.slice_column(word): ready.value(joined["day"], joined["held"])})
