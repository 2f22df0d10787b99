"""Columns of words that tell what became of each impression.

One looks like the action of an event log, whose actions follow a view. Others hold opinions, and nothing where the user gave none.
"""

import re
from collections import Counter
from collections.abc import Iterator

import pandas as pd

from recsys.proposal.column_facts import ColumnFacts, plain_text
from recsys.proposal.role_names import OPINION, TOLD, is_called, is_view

_FOLLOWS = 0.3  # share of the actions whose user has a view of the item, below which the words are outcomes
_FEWEST = 20  # actions, below which it may be chance
_MOST_OPINIONS = 8  # different words
_NO_OPINION = r"none|no[ _](reaction|feedback|vote|opinion)|nothing|neutral|null|nil|n/a|-|"  # and an empty text
_YES_OR_NO = frozenset(("yes", "no", "y", "n", "true", "false", "t", "f"))  # the answer to a question, which few are asked


def nothing_done(column: ColumnFacts) -> list[str]:
    """Return the words of a column of actions that say that an item was shown: without any, the most frequent one."""
    words = [word for word, _ in Counter(map(plain_text, column.values)).most_common()]
    return [word for word in words if is_view(word)] or words[:1]


def is_outcome(action: ColumnFacts, user: ColumnFacts, item: ColumnFacts) -> bool:
    """Return whether hardly any action has a view of the same user and item beside it: then each row is an impression of its own."""
    rows = pd.DataFrame({"user": user.values, "item": item.values, "word": action.values.map(plain_text)}).dropna()
    is_shown = rows["word"].isin(nothing_done(action))
    views, acted = rows[is_shown][["user", "item"]].drop_duplicates(), rows[~is_shown]
    return len(acted) >= _FEWEST and len(acted.merge(views, on=["user", "item"])) < _FOLLOWS * len(acted)


def labels_of(column: ColumnFacts, quoted: str) -> Iterator[tuple[str, str]]:
    """Yield a name and a label for each word that says that something was done. `quoted` is the column's name as SQL."""
    shown = nothing_done(column)
    for word, _ in Counter(map(plain_text, column.values)).most_common():
        if word not in shown:
            name = re.sub(r"[^a-z0-9]+", "_", word.lower()).strip("_")
            value = word if column.numbers is not None and not column.is_text else "'" + word.replace("'", "''") + "'"
            yield name if re.match(r"[a-z]", name) else f"action_{name}".rstrip("_"), f"{quoted} = {value}"


def is_opinion(column: ColumnFacts) -> bool:
    """Return whether a column holds what the user thought of the item, in a word such as up or love, in the rows where a user said so."""
    if column.numbers is not None or not is_called(column, OPINION) or not 1 <= column.distinct <= _MOST_OPINIONS:
        return False
    given = opinions(column)
    is_often_silent = len(column.values) < column.rows or len(given) < column.distinct
    return bool(given) and is_often_silent and not _YES_OR_NO & {word.strip().lower() for word in given}


def opinions(column: ColumnFacts) -> list[str]:
    """Return the words of a column of opinions, the most frequent first, without those that say that there is none."""
    words = Counter(map(str, column.values)).most_common()
    return [word for word, _ in words if not re.fullmatch(_NO_OPINION, word.strip().lower())]


def opinion_name(column: ColumnFacts, opinion: str) -> str:
    """Return the name of an objective: the opinion itself where it says what was done, as `like` does."""
    word = re.sub(r"[^a-z0-9]+", "_", opinion.lower()).strip("_")
    return word if re.match(TOLD, word) else f"{column.words}_{word}"
