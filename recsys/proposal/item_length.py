"""Columns of a log that tell how long an item is. It is known before the impression, as how long it was watched is not."""

from recsys.proposal.column_facts import ColumnFacts
from recsys.proposal.role_names import counts_later, is_called

_LENGTH = r"(.*_)?(duration|length|len|run_?time|running_?time)(_?(in_)?(ms|msec|millis|s|sec|secs|seconds|m|min|mins|minutes|h|hours))?"
_POSITIVE = 0.9  # least share of the rows: 0 and −1 say that it is not known
_DIFFERING = 0.1  # most items of which it differs: some are cut anew. How long an item was watched differs in nearly all


def is_item_length(column: ColumnFacts, item: ColumnFacts) -> bool:
    """Return whether a column is the length of items: by its name, which says nothing of a user's doing, and one number per item."""
    if column.numbers is None or column.distinct < 2 or not is_called(column, _LENGTH) or counts_later(column, "items"):
        return False
    return bool((column.numbers > 0).mean() >= _POSITIVE) and column.is_constant_within(item, most_differing=_DIFFERING)


def is_called_length(column: ColumnFacts) -> bool:
    """Return whether a column of a file of items holds their lengths, by its name."""
    return column.numbers is not None and is_called(column, _LENGTH)
