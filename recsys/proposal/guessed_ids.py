"""The guessed ids of a log: its users, its items, and its requests."""

import re
from collections.abc import Sequence

import pandas as pd

from recsys.proposal.column_facts import ColumnFacts
from recsys.proposal.role_names import ACTION, CONTEXT, COUNTER, IMPRESSION, ITEM, REQUEST, SESSION, USER, is_called, says_outcome

_FEWEST_NAMED = 10  # different values of an id by its name
_FINE = 50  # rows per different time, above which times are days or hours, and say nothing of lists
_FEWEST_IDS = 20  # different values of an id that has no name


def guessed_id(
    columns: Sequence[ColumnFacts], pattern: str, *, others: str, times: Sequence[ColumnFacts]
) -> tuple[ColumnFacts | None, bool]:
    """Return the column with the best name, else the first whose values are ids; and whether the name told it.

    Of several names, one counts for less whose column is mostly empty: not everybody has an account. Without a name, the number of a list
    counts for less: the finest of `times` tells it, as all rows of a list have one moment. Others may be when an item was published.
    """
    named = [
        column for column in columns if is_called(column, pattern) and column.distinct >= max(2, min(_FEWEST_NAMED, column.rows // 10))
    ]
    if named:
        return max(named, key=lambda column: (not is_mostly_empty(column), column.words.endswith("id"), -len(column.words))), True
    few = max((column for column in columns if is_called(column, rf"({pattern})(?<=id)")), key=lambda column: column.distinct, default=None)
    if few is not None and few.distinct > 1:  # a log of a household, or of few items
        return few, True
    ids = [
        column
        for column in columns
        if _may_be_id(column) and not (is_called(column, rf"{others}|{REQUEST}") or _counts_or_measures(column))
    ]
    if not ids and few is not None and few.distinct == 1 and pattern == USER:  # a log of one person; of one item nothing can be ranked
        return few, True
    return min(ids, key=lambda column: _is_of_one_moment(column, times), default=None), False


def session_for_user(columns: Sequence[ColumnFacts], user: ColumnFacts | None) -> ColumnFacts | None:
    """Return the session that stands for the user of a log that names none; None where there is no such session.

    Call it where no name tells the user of most rows. `user` is the one by its values: he is none where a session has several of him, where
    he is called like the context of a visit, such as its city, or where most rows have none.
    """
    sessions = [column for column in columns if is_called(column, SESSION) and column is not user and _may_be_id(column)]
    if user is None or is_mostly_empty(user) or set(user.words.split("_")) & CONTEXT:
        return next(iter(sessions), None)
    return next((column for column in sessions if not _parts_a_user(column, user)), None)


def is_mostly_empty(column: ColumnFacts) -> bool:
    return 2 * len(column.values) < column.rows


def _counts_or_measures(column: ColumnFacts) -> bool:
    return says_outcome(column) or (column.numbers is not None and is_called(column, COUNTER))


def _is_of_one_moment(column: ColumnFacts, times: Sequence[ColumnFacts]) -> bool:
    """Return whether the rows of each value share a moment, by the finest of the times, where that is finer than days."""
    finest = max(times, key=lambda time: time.distinct, default=None)
    return finest is not None and _FINE * finest.distinct > finest.rows and finest.is_constant_within(column)


def _may_be_id(column: ColumnFacts) -> bool:
    whole_or_text = (column.is_whole or column.numbers is None) and column.distinct < max(column.rows, _FEWEST_IDS)
    return whole_or_text and column.distinct >= min(_FEWEST_IDS, column.rows // 4) and column.distinct > 2 and column.list_separator is None


def guessed_request(columns: Sequence[ColumnFacts], user: ColumnFacts, item: ColumnFacts, time: ColumnFacts) -> ColumnFacts | None:
    """Return the column of the request: by its name, and as several rows of one user share each value; without a name, and one moment.

    Of several, such as a session and a search within it, the finest id is taken: what was shown together. An impression may also be that
    of one item, whose rows are what was done with it.
    """
    lists = [column for column in _lists(columns, user) if not (is_called(column, IMPRESSION) and item.is_constant_within(column))]
    if not lists:
        unnamed = [column for column in columns if re.fullmatch(r"column_\d+", column.name) and _is_of_one_moment(column, [time])]
        lists = [column for column in unnamed if _parts_a_user(column, user) and _varies_within(item, column)]
    return max(lists, key=lambda column: (re.fullmatch(r".*(id|key|no)", column.words) is not None, column.distinct), default=None)


def ranked_item(
    columns: Sequence[ColumnFacts], user: ColumnFacts, item: ColumnFacts, ids: Sequence[ColumnFacts]
) -> tuple[ColumnFacts, str | None]:
    """Return the item, or another one of `ids` where the item is the same in all rows of each list; and why it is doubtful, where it is.

    The other one differs within lists, and is called as an item or an id. Where a row is an action, a session may well be of one item.
    """
    request = max(_lists(columns, user), key=lambda column: column.distinct, default=None)
    if request is None or any(is_called(column, ACTION) for column in columns) or not item.is_constant_within(request):
        return item, None
    why = f"{item.name} is the same in all rows of each {request.name}, so it is not what is ranked there"
    named = [column for column in ids if is_called(column, rf"{ITEM}|.*_id") and not is_called(column, rf"{USER}|{REQUEST}")]
    others = [column for column in named if column not in (user, item) and _may_be_id(column) and _varies_within(column, request)]
    if others:
        best = max(others, key=lambda column: (is_called(column, ITEM), column.distinct))
        return best, f"{best.name} rather than {item.name}: {why}"
    if is_called(request, IMPRESSION):
        return item, None  # an impression of one item, whose rows are what was done with it
    return item, f"{why}. If another column is, say --column item_id=NAME"


def _varies_within(column: ColumnFacts, request: ColumnFacts) -> bool:
    both = pd.DataFrame({"request": request.values, "value": column.values}).dropna()
    of_list = both.groupby("request")["value"].agg(["size", "nunique"])
    return bool((of_list["nunique"][of_list["size"] > 1] > 1).mean() >= 0.9)


def _lists(columns: Sequence[ColumnFacts], user: ColumnFacts) -> list[ColumnFacts]:
    """Return the columns of requests: by their names, and as several rows of one user share each value."""
    return [column for column in columns if is_called(column, REQUEST) and _parts_a_user(column, user)]


def _parts_a_user(column: ColumnFacts, user: ColumnFacts) -> bool:
    """Return whether each value belongs to one user and some come again, as those of a request or a session do."""
    both = pd.DataFrame({"request": column.values, "user": user.values}).dropna()
    users = both.groupby("request")["user"].nunique()
    return len(users) < 0.9 * len(both) and bool((users == 1).mean() >= 0.99)
