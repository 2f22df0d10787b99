"""The moment at which an impression's list began. A list is ranked before any of it is shown, so its features are those of this moment.

Features of the impression's own moment would tell a model where in the list the impression stands: how many stood before it, and how
long ago the list began. A position that is left out for ranking would come back by them.
"""

import ibis
import ibis.expr.types as ir

from recsys import schema
from recsys.features.plan import Plan
from recsys.features.session import LISTED, PAUSE_MS

NAME = "list_name"  # what `known_lists` finds a list by
_NUMBER, _OPENS = "list_number", "opens_a_list"
_ORDER = (schema.TIMESTAMP, schema.POSITION, schema.EVENT_ID)


def with_lists(rows: ir.Table, plan: Plan) -> ir.Table:
    """Add `LISTED` to a day's rows (ms).

    A list is what has one `request_id`. In a log without it, a list goes on while the user's positions ascend without a pause of ten
    minutes. In a log without positions, and for an impression without either, it is the impression's own moment. A list that a day ends
    goes on as another one on the next day. Evaluation parts the same lists where every position is known; it keeps an impression without
    one in the list before it (`evaluation/inputs/groups.py`).
    """
    names = plan.columns.events.names
    if schema.REQUEST_ID in names:
        return _began(rows, schema.REQUEST_ID)
    if schema.POSITION in names:
        numbered = _numbered(rows)
        return _began(numbered, _NUMBER).drop(_NUMBER)
    return rows.mutate(**{LISTED: rows[schema.TIMESTAMP]})


def known_lists(day: ir.Table, plan: Plan) -> ir.Table | None:
    """Return the lists that a day's impressions tell: user, the list's `NAME` and `LISTED`. None where the log tells none.

    The name of a list is its `request_id`; in a log with positions alone, the `event_id` of each of its impressions.
    """
    name = list_name(plan)
    if name is None:
        return None
    named = day.filter(day[name].notnull())
    return named.group_by([schema.USER_ID, name]).agg(**{LISTED: named[LISTED].min()}).rename({NAME: name})


def list_name(plan: Plan) -> str | None:
    """Return the column that tells which list an impression is in; None where each impression has its own moment."""
    names = plan.columns.events.names
    if schema.REQUEST_ID in names:
        return schema.REQUEST_ID
    return schema.EVENT_ID if schema.POSITION in names else None


def _began(rows: ir.Table, list_column: str) -> ir.Table:
    first = rows[schema.TIMESTAMP].min().over(ibis.window(group_by=[rows[schema.USER_ID], rows[list_column]]))
    return rows.mutate(**{LISTED: rows[list_column].notnull().ifelse(first, rows[schema.TIMESTAMP])})


def _numbered(rows: ir.Table) -> ir.Table:
    """Number the lists of each user by their positions: one begins where the position does not grow."""
    in_order = ibis.window(group_by=rows[schema.USER_ID], order_by=[rows[name] for name in _ORDER])
    position, moment = rows[schema.POSITION], rows[schema.TIMESTAMP]
    grows = (position > position.lag(1).over(in_order)) & (moment - moment.lag(1).over(in_order) < PAUSE_MS)
    opened = rows.mutate(**{_OPENS: (~grows.fill_null(False)).cast("int64")})
    so_far = ibis.window(group_by=opened[schema.USER_ID], order_by=[opened[name] for name in _ORDER], rows=(None, 0))
    return opened.mutate(**{_NUMBER: opened[_OPENS].sum().over(so_far)}).drop(_OPENS)
