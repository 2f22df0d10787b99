"""[[objective]] and [features] of a proposed pipeline."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np

from recsys.errors import data_error
from recsys.features import come_often
from recsys.features.labels import columns as label_columns
from recsys.features.operands import LabelError
from recsys.proposal.column_facts import ColumnFacts
from recsys.proposal.draft import Proposal, unique
from recsys.proposal.guessed_roles import Roles
from recsys.proposal.guessed_time import action_of
from recsys.proposal.odd_numbers import said_of_odd_numbers
from recsys.proposal.outcome_words import labels_of
from recsys.proposal.role_names import LIFETIME, is_regretted, is_satisfaction
from recsys.proposal.side_tables import SideTable, is_category

_MOST_ENTITIES = 3  # columns of the items and of the context that are counted for
_MOST_FACTORED = 2  # signals: each is factorised on each day
_PLACES = ("position", "pos", "rank", "slot")  # last parts of the name of a position
_WORTH_COUNTING = range(2, 500)  # different values of such a column


# --- [[objective]] ------------------------------------------------------------------------------------------------
def add_objectives(proposal: Proposal, roles: Roles, file: str, names: Sequence[str]) -> None:
    """Propose [[objective]]. `names` are those of all columns of the log, which `file` names in errors."""
    found: list[dict[str, Any]] = []
    for entry in proposal.tables["source"].get("feedback", ()):
        found.append(_binary(entry["name"], f"{_quoted(entry['name'])} is not null"))
    for column in roles.labels:
        found.append(_binary(_objective_name(column), _label(column)))
    for name, label in _outcomes(roles):
        found.append(_binary(name, label))
    for column in _learned_shares(roles):
        found.append({"name": _objective_name(column), "kind": "regression", "label": _number(column), "loss_weight": 0.5})
    for column in roles.durations:
        found.append({"name": _objective_name(column), "kind": "watch_time", "label": _number(column), "loss_weight": 0.5})
    if roles.rating is not None:
        liked = _halving(roles.rating)
        found.append({"name": "liked", "group": "satisfaction", "label": f"{_number(roles.rating)} >= {liked:g}"})
        found.append({"name": "rating", "kind": "regression", "group": "satisfaction", "label": _number(roles.rating), "loss_weight": 0.5})
    for column in roles.counts:
        found.append(_binary(_objective_name(column), f"{_number(column)} > 0"))
    if not found:
        raise data_error(
            file,
            found=f"no column that tells what the user did{_alike_ones(roles)} among {', '.join(names)}",
            expected="0 and 1, yes and no, yes and nothing, a count, a watch time, a watched share, a rating, or actions, in a column",
            fix=said_of_odd_numbers(roles.rest) or "add it, or write the TOML by hand (docs/bring-your-own-log.md)",
        )
    for place, entry in enumerate(found):
        entry["name"] = unique(entry["name"], [other["name"] for other in found[:place]])
    proposal.tables["objective"] = found


def note_objectives(proposal: Proposal, roles: Roles) -> None:
    """Write what is to be known of the objectives above them. Call it once none of them is left out any more."""
    found = proposal.tables["objective"]
    _note_chains(proposal, roles.labels)
    if len(found) > 1:
        said = "Groups are guessed from names. By default an objective of engagement sees the position, one of satisfaction does not."
        proposal.note(("objective", 0), said)
    if "rating" in roles.unsure:
        proposal.note(("objective", 0), f"unsure: {roles.unsure['rating']}")
    if roles.outcome is not None:
        said = (
            f"unsure: {roles.outcome.name} is taken for what became of each row's impression: few of its actions follow a view of the same"
        )
        proposal.note(("objective", 0), f'{said} user and item. Where each row is an action, write kind = "events".')
    for column in roles.labels:
        place = next((place for place, entry in enumerate(found) if entry["label"] == _label(column)), None)
        if column.is_one_or_two and place is not None:
            said = f"unsure: {column.name} holds 1 and 2, and 2 is taken for yes. Write {_quoted(column.name)} = 1 where 1 is yes"
            proposal.note(("objective", place), said)
    for column in roles.durations:
        place = next((place for place, entry in enumerate(found) if entry["label"] == _number(column)), None)
        if place is not None and re.search(LIFETIME, column.words):
            said = f"unsure: {column.name} may be a total over many impressions, later ones too. Leave it out if so"
            proposal.note(("objective", place), said)
    for column in roles.acted:
        place = next((place for place, entry in enumerate(found) if entry["label"] == f"{_quoted(column.name)} is not null"), None)
        if place is not None:
            said = f"{column.name} stands only where the user acted. If that may be later than features.label_delay, raise it."
            proposal.note(("objective", place), said)
    if "labels" in roles.unsure:
        proposal.note(("objective", 0), f"unsure: {roles.unsure['labels']}")


def _outcomes(roles: Roles) -> list[tuple[str, str]]:
    """Return the name and the label of each word that says what became of an impression, and of each time at which the user acted."""
    words = [] if roles.outcome is None else list(labels_of(roles.outcome, _quoted(roles.outcome.name)))
    return [*words, *((_plain(action_of(column)), f"{_quoted(column.name)} is not null") for column in roles.acted)]


def _learned_shares(roles: Roles) -> list[ColumnFacts]:
    """Return the watched shares that are objectives: none beside a watch time, which says the same of an item of known length."""
    if roles.durations or roles.action is not None:
        return []
    return [column for column in roles.shares if not column.is_constant_within(roles.item)]


def _alike_ones(roles: Roles) -> str:
    names = ", ".join(column.name for column in roles.alike)
    return f" (besides {names}, whose names differ by case alone)" if names else ""


def _note_chains(proposal: Proposal, labels: Sequence[ColumnFacts]) -> None:
    """Say of a label that is 1 only where another one is: the model can learn it given the other one."""
    objectives = proposal.tables["objective"]
    place_of = {entry["label"]: place for place, entry in enumerate(objectives)}
    ones = {
        place_of[_label(column)]: column.numbers == 1
        for column in labels
        if column.is_binary and column.numbers is not None and _label(column) in place_of
    }
    for place, one in ones.items():
        wider = [at for at, other in ones.items() if other.mean() > one.mean() and other.reindex(one.index, fill_value=False)[one].all()]
        if wider:
            name = objectives[min(wider, key=lambda at: ones[at].mean())]["name"]
            proposal.note(("objective", place), f'It is 1 only where {name} is 1: given = "{name}" would learn it so.')


def _halving(rating: ColumnFacts) -> float:
    """Return the rating from which on as nearly half of all ratings lie as may be, the higher one of two."""
    numbers = np.sort(rating.numbers.to_numpy() if rating.numbers is not None else [])
    levels, below = np.unique(numbers, return_index=True)
    distances = np.abs(below / len(numbers) - 0.5)
    return float(levels[np.flatnonzero(distances == distances.min())[-1]])


def _binary(name: str, label: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name}
    if is_satisfaction(name):
        entry["group"] = "satisfaction"
    entry["label"] = label
    if is_regretted(name):
        entry["better"] = "lower"
    return entry


def _objective_name(column: ColumnFacts) -> str:
    return _plain(column.words)


def _plain(words: str) -> str:
    name = re.sub(r"[^A-Za-z0-9]+", "_", words.removeprefix("is_")).strip("_")
    return name if re.match(r"[a-z]", name) else f"column_{name}"


def _quoted(name: str) -> str:
    """Return a column's name as SQL: in quotes where it is no plain name, or a word of SQL."""
    try:
        is_plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None and label_columns(name) == (name,)
    except LabelError:
        is_plain = False
    return name if is_plain else '"' + name.replace('"', '""') + '"'


def _label(column: ColumnFacts) -> str:
    return f"{_quoted(column.name)} {column.truth}"


def _number(column: ColumnFacts) -> str:
    """Return a column of numbers as SQL: texts of a parquet file are cast."""
    return f"cast({_quoted(column.name)} as double)" if column.is_text else _quoted(column.name)


# --- [features] ---------------------------------------------------------------------------------------------------
def add_features(proposal: Proposal, roles: Roles, sides: Sequence[SideTable], log: Sequence[str]) -> None:
    """Propose [features]. `log` are the names of all columns of the log."""
    of = {side.role: side for side in sides}
    user, item = (list(of[role].features) if role in of else [] for role in ("users", "items"))
    context = roles.context
    signals = [*roles.labels, *roles.counts, *_learned_shares(roles), *roles.durations, *([roles.rating] if roles.rating else [])]
    expressions = _expressions(signals, [*log, *(name for side in sides for name in side.names)])
    names = {column.name: name for name, (column, _) in expressions.items()}
    taken = [*log, *(name for side in sides for name in side.names), *expressions]
    outcomes = {unique(name, taken): label for name, label in _outcomes(roles)}
    table: dict[str, Any] = {
        "user": [column.name for column in user],
        "item": [column.name for column in item],
        "context": [column.name for column in context],
        "category": [column.name for column in (*user, *item, *context) if is_category(column)],
        "multi": {column.name: column.list_separator for column in (*user, *item) if column.list_separator is not None},
        "signals": [
            *(entry["name"] for entry in proposal.tables["source"].get("feedback", ())),
            *outcomes,
            *(names.get(column.name, column.name) for column in signals),
        ],
        "expressions": {name: text for name, (_, text) in expressions.items()} | outcomes,
        "entities": [["user_id"], ["item_id"]],
        "windows": _windows(proposal),
        "bias": ["position"] if roles.position is not None else [],
        "slices": ["cold_user", "cold_item"],
    }
    worth = [column for column in (*item, *context) if column.distinct in _WORTH_COUNTING and _is_name(column)]
    counted = dict.fromkeys(column.name for column in worth if column.name not in table["signals"])
    table["entities"] += [[name] for name in counted][:_MOST_ENTITIES]
    table["factors"] = _factors(proposal, roles, names, table["windows"])
    proposal.tables["features"] = {key: value for key, value in table.items() if value}
    if table["factors"]:
        said = "Users and items come often here, so taste may be learned from who liked what. It costs time on each day (docs/factors.md)."
        proposal.note(("features", "factors"), said)
    elif table["signals"]:
        said = (
            "Taste in item_id is learned of the first two signals by default, once users and items come often. factors = {} turns it off."
        )
        proposal.note(("features", "signals"), said)
    if context:
        proposal.note(("features", "context"), "Known before the impression? Their names sound so: check each.")
    _note_what_is_left_out(proposal, roles, sides)


def _expressions(signals: Sequence[ColumnFacts], taken: Sequence[str]) -> dict[str, tuple[ColumnFacts, str]]:
    """Return name → column and expression of the signals whose columns hold no numbers but words, or numbers written as texts."""
    found: dict[str, tuple[ColumnFacts, str]] = {}
    known = {name.lower() for name in taken}
    for column in signals:
        if column.is_text or not (column.truth in (None, "is true") or column.is_binary):
            name = _objective_name(column)
            name = f"{name}_value" if name.lower() in known else name
            text = _number(column) if column.truth is None else f"{_quoted(column.name)} {column.truth}"
            found[unique(name, [*known, *found])] = (column, text)
    return found


def _factors(proposal: Proposal, roles: Roles, names: Mapping[str, str], windows: Sequence[int]) -> dict[str, list[str]]:
    """Return the factors of a log in which users and items come often; none of another. `names` are those of signals that differ."""
    columns = [*([roles.rating] if roles.rating is not None else []), *roles.labels]
    signals = [names.get(column.name, column.name) for column in columns][:_MOST_FACTORED]
    is_dense = come_often(len(roles.user.values), roles.user.distinct, roles.item.distinct, _days(proposal), windows)
    return {"item_id": signals} if signals and is_dense else {}


def _note_what_is_left_out(proposal: Proposal, roles: Roles, sides: Sequence[SideTable]) -> None:
    """Name the columns that are no features, each with why."""

    def note(before: str, names: Sequence[str], after: str = "") -> None:
        if names:
            proposal.note(("features",), f"{before}: {', '.join(names)}.{after}")

    left_out = [(f"{column.name} ({side.role})", column) for side in sides for column in side.left_out if column.distinct > 1]
    note("Left out, because nearly every row has a text of its own", [name for name, column in left_out if not column.holds_objects])
    objects = [name for name, column in left_out if column.holds_objects]
    note("Left out, because they hold JSON objects", objects, " Take what describes out of them, into columns of plain values.")
    later = [f"{column.name} ({side.role})" for side in sides for column in side.later]
    note("Left out, because they may count what happened on later days", later)
    same = [f"{column.name} (log)" for column in roles.alike]
    same += [f"{column.name} ({side.role})" for side in sides for column in side.alike]
    note("unsure: left out, because their names differ by case alone", same, " Rename one of each, and name it here or in an objective.")
    gaps = [column.name for column in roles.other_times if len(column.values) < column.rows]
    acted = f" Where {gaps[0]} stands only if the user acted, {_quoted(gaps[0])} is not null is a label: see label_delay." if gaps else ""
    note("Other times of the log, not used", [column.name for column in roles.other_times], acted)
    learned = _learned_shares(roles)
    shares = [column.name for column in roles.shares if column not in learned]
    note("Left out, because it is an outcome, known only after the impression", shares)
    from_zero = [column for column in roles.rest if column.is_whole and column.words.split("_")[-1] in _PLACES][:1]
    for column in from_zero:
        proposal.note(("features",), f"unsure: {column.name} may be the position, but does not count from 1. A position is no feature.")
    if odd := said_of_odd_numbers(roles.rest):
        proposal.note(("features",), f"unsure: {odd}")
    rest = [column.name for column in roles.rest if column not in from_zero]
    note("unsure", rest, " Put into context what is known before the impression, and never what is known after it.")


def _is_name(column: ColumnFacts) -> bool:
    return (column.numbers is None and column.time is None) or is_category(column)


def _days(proposal: Proposal) -> int:
    split = proposal.tables["split"]
    return (date.fromisoformat(split["test"][1]) - date.fromisoformat(split["train"][0])).days + 1


def _windows(proposal: Proposal) -> list[int]:
    days = _days(proposal)
    return [1, 7] if days <= 14 else [7, 30] if days <= 90 else [30, 365]
