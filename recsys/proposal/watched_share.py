"""Columns that tell which share of an item was watched. They are known only after the impression, so they are no features."""

import re

from recsys.proposal.column_facts import ColumnFacts

_PART = r"(ratio|rate|share|percent(age)?|pct)"
_SHARE = rf"(.*_)?((watch(ed)?|play(ed)?|view(ed)?|finish(ed)?|complet(ion|ed|e))(_(time|duration))?(_{_PART})+|completion)"


def is_watched_share(column: ColumnFacts) -> bool:
    """Return whether a column holds such shares: by its name, and by numbers of 0 or more. Who watches twice has one above 1."""
    return is_called_watched_share(column) and column.numbers is not None and bool(column.numbers.min() >= 0)


def is_called_watched_share(column: ColumnFacts) -> bool:
    return re.fullmatch(_SHARE, column.words) is not None
