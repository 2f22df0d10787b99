"""Slices that need no column of the log: how much of a user or a video it had shown before the day, and since when it knows the video.

`cold_user`, `cold_item`: "new" without an impression before the day of the example, "cold" with fewer than ten, else "warm".
`item_age`: days from the first day of the video in the log. Both go by days, so that the state is a number a user and a video, and
both by the log alone: who was there before it began is new in it too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from recsys import schema

COLD = 10  # impressions; so few rates are mostly the base rate (features.shrinkage is 20)
SEEN_BEFORE, FIRST_DAY = "n", "day"  # what a table of the state holds beside its key


@dataclass(frozen=True)
class ReadySlice:
    """`value` of (the example's day, what the table `state` holds for its `key`; null where it holds nothing)."""

    key: str
    state: str
    column: str
    value: Callable[[ir.Value, ir.Value], ir.Value]


def _familiarity(day: ir.Value, impressions: ir.Value) -> ir.Value:
    return ibis.cases((impressions.isnull(), "new"), (impressions < COLD, "cold"), else_="warm")


def _age(day: ir.Value, first: ir.Value) -> ir.Value:
    """The state ends the day before, so an age is 1 or more."""
    days = day - first
    bins = ((1, "1 day"), (3, "2-3 days"), (7, "4-7 days"), (30, "8-30 days"))
    return ibis.cases((days.isnull(), "new today"), *((days <= most, name) for most, name in bins), else_="31+ days")


READY_SLICES: Mapping[str, ReadySlice] = {
    "cold_user": ReadySlice(schema.USER_ID, "met_users", SEEN_BEFORE, _familiarity),
    "cold_item": ReadySlice(schema.ITEM_ID, "met_items", SEEN_BEFORE, _familiarity),
    "item_age": ReadySlice(schema.ITEM_ID, "seen", FIRST_DAY, _age),
}


def counted(words: Sequence[str]) -> dict[str, str]:
    """The tables of the state that these slices need beside `seen`: name → key."""
    return {READY_SLICES[word].state: READY_SLICES[word].key for word in words if READY_SLICES[word].column == SEEN_BEFORE}


def met(impressions: ir.Table, before: ir.Table, key: str) -> ir.Table:
    """Key → its impressions in the log so far, ordered by key: the day's and those counted `before` it."""
    today = impressions.group_by(key).agg(**{SEEN_BEFORE: impressions.count()})
    both = today.union(before.select(key, SEEN_BEFORE))
    return both.group_by(key).agg(**{SEEN_BEFORE: both[SEEN_BEFORE].sum().cast("int64")}).order_by(key)


def with_slice(asks: ir.Table, word: str, state: ir.Table) -> ir.Table:
    """The asks with `slice.WORD`, from its table of the state as the day before left it."""
    ready = READY_SLICES[word]
    held = state.select(ready.key, held=state[ready.column])
    joined = asks.left_join(held, ready.key)
    return joined.select(*asks.columns, **{schema.slice_column(word): ready.value(joined["day"], joined["held"])})
