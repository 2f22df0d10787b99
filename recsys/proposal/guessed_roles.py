"""The guessed roles of a log's columns. A guess goes by the name first, and by the values where the name says nothing."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from recsys import schema
from recsys.errors import DataError, data_error
from recsys.proposal.column_facts import ColumnFacts, by_case_alone
from recsys.proposal.guessed_ids import guessed_id, guessed_request, is_mostly_empty, ranked_item, session_for_user
from recsys.proposal.guessed_time import time_columns, time_of_impression, times_of_actions, unsure_of
from recsys.proposal.item_length import is_item_length
from recsys.proposal.outcome_words import is_opinion, is_outcome
from recsys.proposal.role_names import (
    ACTION,
    ACTIONS,
    AFTER,
    CONTEXT,
    DURATION,
    ITEM,
    POSITION,
    PROPENSITY,
    RATING,
    RELATION,
    REQUEST,
    STARS,
    TOLD,
    USER,
    is_called,
)
from recsys.proposal.times_or_nothing import times_or_nothing
from recsys.proposal.told import NOTHING_TOLD, known_columns
from recsys.proposal.watched_share import is_watched_share

_FEWEST_LISTS = 20  # lists that tell a position by its values
_FEWEST_DURATIONS = 20  # different values of a duration
_MOST_WORDS = 15  # different values of the column of an action
_LEVELS = range(3, 12)  # different values of a rating
_SAYS_TOLD = TOLD.removeprefix("(^|_)")


@dataclass
class Roles:
    """Names of columns by role. `unsure` are notes for a person; `rest` are columns without a role."""

    time: ColumnFacts
    user: ColumnFacts
    item: ColumnFacts
    request: ColumnFacts | None = None
    position: ColumnFacts | None = None
    action: ColumnFacts | None = None
    outcome: ColumnFacts | None = None  # of words that say what became of the impression
    opinions: list[ColumnFacts] = field(default_factory=list)  # of words that say what the user thought of the item
    propensity: ColumnFacts | None = None
    labels: list[ColumnFacts] = field(default_factory=list)
    durations: list[ColumnFacts] = field(default_factory=list)
    shares: list[ColumnFacts] = field(default_factory=list)  # of an item that was watched
    rating: ColumnFacts | None = None
    counts: list[ColumnFacts] = field(default_factory=list)  # of what the user did, where nothing else tells it
    acted: list[ColumnFacts] = field(default_factory=list)  # times of what the user did, empty where that was not done
    other_times: list[ColumnFacts] = field(default_factory=list)
    context: list[ColumnFacts] = field(default_factory=list)
    lengths: list[ColumnFacts] = field(default_factory=list)  # of items
    flags: list[ColumnFacts] = field(default_factory=list)  # of yes and no, whose names do not say what they are, beside outcomes
    rest: list[ColumnFacts] = field(default_factory=list)
    alike: list[ColumnFacts] = field(default_factory=list)  # names that differ by case alone: no feature, label or other role
    unsure: dict[str, str] = field(default_factory=dict)  # role → why


def is_log(columns: Sequence[ColumnFacts], told: Mapping[str, str] = NOTHING_TOLD) -> bool:
    """Return whether a file has times and two columns of ids whose values come again, as a log does."""
    try:
        roles = guess_roles(columns, "", told)
    except DataError:
        return False
    return roles.user.distinct < roles.user.rows and not any(column.distinct == column.rows > 1 for column in (roles.user, roles.item))


def guess_roles(
    columns: Sequence[ColumnFacts],
    file: str,
    told: Mapping[str, str] = NOTHING_TOLD,
    *,
    without_times: Callable[[ColumnFacts], str] = lambda user: "say which it is: --column timestamp=NAME",
) -> Roles:
    """Guess the role of each column of a log. `told` are those that need no guess: our name (of `told.TELLABLE`) → the log's.

    `without_times` says what to do about a log of such a user that has no times. Raise DataError where no time, user or item can be told,
    and where the file lacks a column that was told.
    """
    known = known_columns(columns, file, told)
    times = time_columns(columns)
    left = [column for column in columns if column not in known.values()]
    ids = [column for column in left if column not in times or is_called(column, rf"{USER}|{ITEM}")]
    user, by_user = (known[schema.USER_ID], True) if schema.USER_ID in known else guessed_id(ids, USER, others=ITEM, times=times)
    is_named = schema.USER_ID in known or (by_user and user is not None and not is_mostly_empty(user))
    session = None if is_named else session_for_user(ids, user)
    user = user if session is None else session
    ids = [column for column in ids if column is not user]
    item, by_item = (known[schema.ITEM_ID], True) if schema.ITEM_ID in known else guessed_id(ids, ITEM, others=USER, times=times)
    if user is None or item is None:
        missing = "user" if user is None else "item"
        raise data_error(
            file,
            found=f"no column that tells the {missing} among {', '.join(column.name for column in columns)}",
            expected="one with ids that come again",
            fix=f"say which it is: --column {missing}_id=NAME",
        )
    item, why = (item, None) if schema.ITEM_ID in known else ranked_item([c for c in left if c not in times], user, item, ids)
    names = [column.name for column in columns]
    time, others = time_of_impression(times, user, item, known.get(schema.TIMESTAMP), names, file, without_times)
    roles = Roles(time, user, item, other_times=others)
    for role, column, is_named in (("user_id", user, by_user), ("item_id", item, by_item)):
        if not is_named:
            roles.unsure[role] = f"guessed from the values of {column.name}, not from its name"
    if session is not None:
        roles.unsure["user_id"] = (
            f"no column names the user of most rows, so each {session.name} stands for one: nothing is known of earlier ones"
        )
    roles.unsure |= {"item_id": why} if why is not None else {}
    if schema.TIMESTAMP not in known and time.is_constant_within(item):
        roles.unsure["timestamp"] = f"{time.name} is the same in all rows of each {item.name}, as when it was published"
    roles.unsure |= {key: said for key, said in unsure_of(time).items() if key not in known}
    left = [column for column in left if column not in (user, item, time, *times)]
    roles.alike = by_case_alone(left)
    left = [column for column in left if column not in roles.alike]
    _others(roles, left)
    return roles


class _Left:
    """The columns that have no role yet."""

    def __init__(self, columns: Iterable[ColumnFacts]) -> None:
        self.columns = [column for column in columns if column.distinct > 0]

    def take(self, fits: Callable[[ColumnFacts], bool]) -> list[ColumnFacts]:
        found = [column for column in self.columns if fits(column)]
        self.columns = [column for column in self.columns if column not in found]
        return found

    def take_one(self, fits: Callable[[ColumnFacts], bool]) -> ColumnFacts | None:
        found = next((column for column in self.columns if fits(column)), None)
        self.columns = [column for column in self.columns if column is not found]
        return found


def _others(roles: Roles, columns: Iterable[ColumnFacts]) -> None:
    """Give the columns besides time, user and item their roles, the surest first."""
    left = _Left(columns)
    request = guessed_request(left.columns, roles.user, roles.item, roles.time)
    roles.request = left.take_one(lambda column: column is request)
    if request is not None and not is_called(request, REQUEST):
        roles.unsure["request_id"] = f"{request.name} numbers the lists: the rows of each value share a user and a moment"
    roles.position = left.take_one(
        lambda column: is_called(column, POSITION) and _counts_from_one(column) and not column.is_constant_within(roles.item)
    )
    if roles.position is None and (position := left.take_one(lambda column: _numbers_a_list(column, roles))) is not None:
        roles.position = position
        roles.unsure["position"] = f"{position.name} numbers the rows of a user and moment"
    roles.propensity = left.take_one(lambda column: is_called(column, PROPENSITY) and _is_probability(column))
    action = _action(left.columns)
    left.take_one(lambda column: column is action)
    if action is not None and is_outcome(action, roles.user, roles.item):
        roles.outcome = action
    else:
        roles.action = action
    _outcomes(roles, left)
    left.take(lambda column: column.name.lower() in schema.OF_THE_MOMENT)  # ours stand for them
    roles.context = left.take(_is_context)
    roles.flags = left.take(lambda column: _is_flag(column, roles) and not is_called(column, RELATION))
    roles.rest = left.columns


def _outcomes(roles: Roles, left: _Left) -> None:
    """Find what the user did: what names say; without it counts, without these columns of two values, and without these stars."""
    roles.opinions = left.take(lambda column: is_opinion(column) and not _is_property(column, roles))
    flags = [column for column in left.columns if column.truth is not None and not _is_property(column, roles)]
    told = [column for column in flags if re.search(TOLD, column.words) or re.match(f"= '{_SAYS_TOLD}", column.truth or "")]
    told = [column for column in told if not is_called(column, RELATION)]
    timed = times_or_nothing([*left.columns, *roles.other_times], roles.time)
    roles.other_times += left.take(lambda column: column in timed)
    if roles.action is None:
        roles.acted = times_of_actions(roles.other_times, timed, roles.user, roles.item, told)
        roles.other_times = [column for column in roles.other_times if column not in roles.acted]
    roles.labels = left.take(lambda column: column in told)
    roles.shares = left.take(is_watched_share)
    roles.lengths = left.take(lambda column: is_item_length(column, roles.item))
    roles.durations = left.take(lambda column: _is_duration(column, roles))
    if roles.action is None:
        roles.rating = left.take_one(lambda column: column is _rating(left.columns, roles))
    if roles.action or roles.outcome or roles.opinions or roles.labels or roles.acted or roles.durations or roles.rating:
        return
    if any(not column.is_constant_within(roles.item) for column in roles.shares):
        return
    roles.counts = left.take(lambda column: _is_count(column) and not column.is_constant_within(roles.item))
    if roles.counts:
        return
    roles.labels = left.take(lambda column: _is_flag(column, roles))
    if roles.labels:
        roles.unsure["labels"] = "the columns of two values, or of yes and nothing; their names do not say what they are"
        return
    roles.rating = left.take_one(lambda column: re.fullmatch(r"column_\d+", column.name) is not None and _are_stars(column))
    if roles.rating is not None:
        roles.unsure["rating"] = f"{roles.rating.name} holds numbers from 1 to 5, as ratings do"


def _is_flag(column: ColumnFacts, roles: Roles) -> bool:
    """Return whether a column says yes or no of a row; not of its item or user. 1 and 2 are codes of anything, without a name."""
    return column.truth is not None and not column.is_one_or_two and not _is_property(column, roles)


def _is_property(column: ColumnFacts, roles: Roles) -> bool:
    return any(map(column.is_constant_within, (roles.item, roles.user)))


def _is_count(column: ColumnFacts) -> bool:
    """Return whether a column tells how often something was done on an impression: by its name, and mostly 0."""
    numbers = column.numbers
    if numbers is None or not column.is_whole or re.search(TOLD, column.words) is None:
        return False
    return bool(numbers.min() == 0 and numbers.max() > 1 and (numbers == 0).mean() > 0.5)


def _counts_from_one(column: ColumnFacts) -> bool:
    return column.is_whole and column.numbers is not None and column.numbers.min() >= 1 and column.numbers.max() <= 1_000


def _numbers_a_list(column: ColumnFacts, roles: Roles) -> bool:
    """Return whether a column counts from 1 and differs within the rows of one user and moment."""
    if not _counts_from_one(column) or column.numbers is None or column.numbers.min() != 1 or column.distinct < 3:
        return False
    rows = pd.DataFrame({"user": roles.user.values, "at": roles.time.values, "place": column.values}).dropna()
    lists = rows.groupby(["user", "at"])["place"].agg(["size", "nunique"])
    several = lists[lists["size"] > 1]
    return len(several) >= _FEWEST_LISTS and bool((several["size"] == several["nunique"]).mean() >= 0.99)


def _is_probability(column: ColumnFacts) -> bool:
    return column.numbers is not None and column.numbers.min() > 0 and column.numbers.max() <= 1


def _action(columns: Sequence[ColumnFacts]) -> ColumnFacts | None:
    """Return the column of the action of an event log: by its name, else by words that are actions."""
    few = [column for column in columns if 2 <= column.distinct <= _MOST_WORDS and (column.is_whole or column.numbers is None)]
    for column in few:
        if is_called(column, ACTION):
            return column
    for column in few:
        words = {str(word).lower() for word in column.values.unique()}
        known = [word for word in words if re.fullmatch(ACTIONS, re.sub(r"[^a-z]+", "_", word))]
        if column.numbers is None and len(known) >= 2 and 2 * len(known) >= len(words):
            return column
    return None


def _is_duration(column: ColumnFacts, roles: Roles) -> bool:
    """Return whether a column holds how long an item was watched: by its name, and not a property of the item."""
    if column.numbers is None or column.is_binary or column.numbers.min() < 0 or column.distinct < _FEWEST_DURATIONS:
        return False
    return (is_called(column, DURATION) or column.words in ("duration", "time_spent")) and not column.is_constant_within(roles.item)


def _rating(columns: Sequence[ColumnFacts], roles: Roles) -> ColumnFacts | None:
    """Return a column of ratings by its name.

    Beside labels a property of the item or the user, such as the stars of a hotel, is none; nor is a score, which may be that of a ranker.
    """
    named = [column for column in columns if is_called(column, RATING) and _has_levels(column)]
    if roles.labels or roles.acted:
        return next((column for column in named if is_called(column, STARS) and not _is_property(column, roles)), None)
    return next(iter(named), None)


def _has_levels(column: ColumnFacts) -> bool:
    numbers = column.numbers
    return numbers is not None and column.distinct in _LEVELS and numbers.min() >= 0 and numbers.max() <= 100


def _are_stars(column: ColumnFacts) -> bool:
    """Return whether the values are stars, from 0.5 or 1 to 5."""
    if column.numbers is None or not _has_levels(column):
        return False
    return column.numbers.max() == 5 and column.numbers.min() in (0.5, 1) and bool((column.numbers * 2 % 1 == 0).all())


def _is_context(column: ColumnFacts) -> bool:
    parts = set(column.words.split("_"))
    return 1 < column.distinct <= 1_000 and bool(parts & CONTEXT) and not parts & AFTER and not column.holds_objects
