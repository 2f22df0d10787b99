"""Names and SQL of what the columns of a log say, for [[objective]] and [features] alike."""

import re

from recsys.features.labels import columns as label_columns
from recsys.features.operands import LabelError
from recsys.proposal.column_facts import ColumnFacts
from recsys.proposal.guessed_roles import Roles
from recsys.proposal.guessed_time import action_of
from recsys.proposal.outcome_words import labels_of, opinion_name, opinions
from recsys.proposal.times_or_nothing import is_time_or_nothing


def other_outcomes(roles: Roles) -> list[tuple[str, str]]:
    """Return the name and the label of each word that says what became of an impression, and of each time at which the user acted."""
    words = [] if roles.outcome is None else list(labels_of(roles.outcome, quoted(roles.outcome.name)))
    thought = [(plain(opinion_name(column, word)), opinion_label(column, word)) for column in roles.opinions for word in opinions(column)]
    return [*words, *thought, *((plain(action_of(column)), acted_label(column)) for column in roles.acted)]


def acted_label(column: ColumnFacts) -> str:
    """Return the label of a time at which the user acted: that it is there, or that it is above the number that says that he did not."""
    return f"{number(column)} > 0" if is_time_or_nothing(column) else f"{quoted(column.name)} is not null"


def opinion_label(column: ColumnFacts, opinion: str) -> str:
    """Return the label of an opinion. It is 0 where none was given, and not unknown."""
    return f"coalesce({quoted(column.name)}, '') = '" + opinion.replace("'", "''") + "'"


def learned_shares(roles: Roles) -> list[ColumnFacts]:
    """Return the watched shares that are objectives: none beside a watch time, which says the same of an item of known length."""
    if roles.durations or roles.action is not None:
        return []
    return [column for column in roles.shares if not column.is_constant_within(roles.item)]


def objective_name(column: ColumnFacts) -> str:
    return plain(column.words)


def plain(words: str) -> str:
    name = re.sub(r"[^A-Za-z0-9]+", "_", words.removeprefix("is_")).strip("_")
    return name if re.match(r"[a-z]", name) else f"column_{name}"


def quoted(name: str) -> str:
    """Return a column's name as SQL: in quotes where it is no plain name, or a word of SQL."""
    try:
        is_plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None and label_columns(name) == (name,)
    except LabelError:
        is_plain = False
    return name if is_plain else '"' + name.replace('"', '""') + '"'


def label_of(column: ColumnFacts) -> str:
    return f"{quoted(column.name)} {column.truth}"


def number(column: ColumnFacts) -> str:
    """Return a column of numbers as SQL: texts of a parquet file are cast."""
    return f"cast({quoted(column.name)} as double)" if column.is_text else quoted(column.name)
