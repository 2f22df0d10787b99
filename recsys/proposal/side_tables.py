"""The other files: which of them describe users, which items, and which of their columns a model can read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from recsys import schema
from recsys.proposal.column_facts import ColumnFacts, by_case_alone, plain_text
from recsys.proposal.guessed_roles import Roles
from recsys.proposal.role_names import ITEM, counts_later, is_called, says_outcome
from recsys.sources import UnknownFile

_MATCHES = 0.5  # share of the log's ids that must have a row
_CATEGORY = r"(.*_)?(id|type|code|category|cat|class|kind|group|genre|tab|level|segment|bucket|feat\d*)"
_WORDS_OF_IDS = {"id", "key", "no", "nr", "number", "code", "hash"}
_ROW_NUMBER = r"unnamed(_|: )\d+|__index_level_\d+__"  # as pandas writes the index of a frame
_MOST_VALUES = 0.5  # share of different values, above which a text names its row and describes nothing


@dataclass(frozen=True)
class SideTable:
    """A file with one row per user or per item. `role` is users or items.

    `names` are those of all columns, in the order of the file; of a file without a header they say which table it is.
    """

    role: str
    file: UnknownFile
    key: ColumnFacts
    names: tuple[str, ...]
    features: tuple[ColumnFacts, ...]
    left_out: tuple[ColumnFacts, ...]  # columns that describe nothing: texts of their own in each row, JSON objects
    later: tuple[ColumnFacts, ...]  # columns whose names say that they count what happened
    alike: tuple[ColumnFacts, ...]  # columns whose names differ by case alone


def item_by_file(roles: Roles, log: Sequence[ColumnFacts], files: Sequence[Sequence[ColumnFacts]]) -> ColumnFacts | None:
    """Return the column of the log by which a file names the items, where no file has the guessed one; None where there is none.

    It is another name of the same things, as parent_asin is of asin: an item's song or author has no word in common with it. `files` are
    the columns of the other files that have a header.
    """
    named = [{column.name: column for column in columns} for columns in files]
    if any({roles.item.name, schema.ITEM_ID} & set(names) for names in named):
        return None
    words = set(roles.item.words.split("_")) - _WORDS_OF_IDS
    others = [column for column in log if column not in (roles.item, roles.user, roles.time) and is_called(column, ITEM)]
    alike = [column for column in others if words & set(column.words.split("_"))]
    return next((column for names in named for column in alike if column.name in names and _is_keyed_by(names[column.name], column)), None)


def side_table(file: UnknownFile, columns: Sequence[ColumnFacts], roles: Roles, log: Sequence[ColumnFacts]) -> SideTable | None:
    """Return what a file describes; None where no column of it is the key of users or of items.

    A key has a value of its own in each row. Rows that are equal count as one, as a run reads them. Of several candidates the one is taken
    that is called as the log calls it, then the one whose values agree best with those of the log: numbers from 0 on may be those of users
    and of items. A name of the other role's speaks against it, and so does that of another column of the log with the same ids.
    """
    ids = {"users": _keys(roles.user), "items": _keys(roles.item)}
    named = {"users": {roles.user.name, schema.USER_ID}, "items": {roles.item.name, schema.ITEM_ID}}
    known = set().union(*named.values()) if file.written.header else set()  # without a header, names are places
    different = _other_ids({column.name for column in columns} - known, log, roles) if file.written.header else {}
    best: tuple[bool, float, str, ColumnFacts] | None = None
    places = [str(place) for place in range(file.rows.num_columns)]  # a name with a point in front would be a path
    rows = file.rows.rename_columns(places).group_by(places).aggregate([]).num_rows
    for column in columns:
        if column.distinct < rows or not rows:
            continue
        if column.name in different and _is_keyed_by(column, different[column.name]):
            continue
        if column.name not in known and says_outcome(column):
            continue
        keys = _keys(column)
        for role, of_log in ids.items():
            both = len(keys & of_log)
            agreement = both / len(keys | of_log)
            is_called_so = column.name in known & named[role]
            if both < _MATCHES * len(of_log) or (not is_called_so and column.name in known):
                continue
            if best is None or (is_called_so, agreement) > best[:2]:
                best = (is_called_so, agreement, role, column)
    if best is None:
        return None
    *_, role, key = best
    prefix = "" if file.written.header else f"{role.removesuffix('s')}_"  # columns of two files must not share the name column_3
    named_so = {column.name: column.name if column.name in file.head.folders else prefix + column.name for column in columns}
    described = [replace(column, name=named_so[column.name]) for column in columns if column is not key]
    same = tuple(by_case_alone(described))
    others = [column for column in described if column not in same]
    later = tuple(column for column in others if counts_later(column, role))
    features = tuple(column for column in others if _describes(column) and column not in later)
    left_out = tuple(column for column in others if column not in (*features, *later))
    return SideTable(role, file, key, tuple(named_so.values()), features, left_out, later, same)


def _other_ids(names: set[str], log: Sequence[ColumnFacts], roles: Roles) -> dict[str, ColumnFacts]:
    """Return the log's columns of these names that name other things than its ids do: not these again, and not called `id` alone."""

    def says(column: ColumnFacts) -> pd.Series:
        return column.values.map(plain_text)

    ids = [says(id_) for id_ in (roles.user, roles.item)]
    others = [column for column in log if column.name in names and column.words not in _WORDS_OF_IDS]
    return {column.name: column for column in others if not any(says(column).equals(id_) for id_ in ids)}


def is_category(column: ColumnFacts) -> bool:
    """Return whether a column of whole numbers rather names things than counts them."""
    return column.is_whole and not column.is_binary and re.fullmatch(_CATEGORY, column.words) is not None


def _describes(column: ColumnFacts) -> bool:
    if column.distinct < 2 or column.holds_objects or re.fullmatch(_ROW_NUMBER, column.name.lower()):
        return False
    is_text = column.numbers is None and column.time is None and column.list_separator is None
    return not (is_text and column.distinct > _MOST_VALUES * len(column.values))


def _is_keyed_by(key: ColumnFacts, column: ColumnFacts) -> bool:
    """Return whether the values of a column of the log, which come again, are those of a file's key."""
    ids = _keys(column)
    return key.distinct == len(key.values) and column.distinct < len(column.values) and len(_keys(key) & ids) >= _MATCHES * len(ids)


def _keys(column: ColumnFacts) -> set[str]:
    return set(map(plain_text, column.values.unique()))
