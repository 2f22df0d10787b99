"""Watch times and shares that are written as no number is: 1,234, 45 % and 1:23."""

from collections.abc import Sequence

from recsys.proposal.column_facts import ColumnFacts
from recsys.proposal.role_names import DURATION, is_called
from recsys.proposal.watched_share import is_called_watched_share

_MOSTLY = 0.99  # share of the cells that decide
_FORMS = (
    (r"\d{1,3}(,\d{3})+(\.\d+)?", r"\d+(\.\d+)?", "numbers without a comma between thousands"),
    (r"\d+([.,]\d+)?\s*%", r"\d+([.,]\d+)?", "numbers without a percent sign"),
    (r"\d+:\d\d(:\d\d)?(\.\d+)?", r"\d+(\.\d+)?", "one number of seconds"),
)  # some cells, what the others may be, and how to write them


def said_of_odd_numbers(columns: Sequence[ColumnFacts]) -> str:
    """Return which columns are called like watch times or shares and hold no plain numbers, and how to write them; nothing of others."""
    found = [(column, how) for column in columns if (how := _how_to_write(column)) is not None]
    return " ".join(f"Write {column.name} ({column.values.iloc[0]}) as {how}: then it is an objective." for column, how in found)


def _how_to_write(column: ColumnFacts) -> str | None:
    if column.numbers is not None or not len(column.values) or not (is_called(column, DURATION) or is_called_watched_share(column)):
        return None
    texts = column.values.astype(str).str.strip()
    for form, other, how in _FORMS:
        if texts.str.fullmatch(form).any() and texts.str.fullmatch(f"({form})|({other})").mean() >= _MOSTLY:
            return how
    return None
