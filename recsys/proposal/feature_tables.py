"""[features] of a proposed pipeline."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from recsys.features import come_often
from recsys.proposal.column_facts import ColumnFacts
from recsys.proposal.draft import Proposal, unique
from recsys.proposal.guessed_roles import Roles
from recsys.proposal.label_sql import label_of, learned_shares, number, objective_name, other_outcomes, quoted
from recsys.proposal.odd_numbers import said_of_odd_numbers
from recsys.proposal.side_tables import SideTable, is_category

_MOST_ENTITIES = 3  # columns of the items and of the context that are counted for
_MOST_FACTORED = 2  # signals: each is factorised on each day
_PLACES = ("position", "pos", "rank", "slot")  # last parts of the name of a position
_WORTH_COUNTING = range(2, 500)  # different values of such a column


def add_features(proposal: Proposal, roles: Roles, sides: Sequence[SideTable], log: Sequence[str]) -> None:
    """Propose [features]. `log` are the names of all columns of the log."""
    of = {side.role: side for side in sides}
    user, item = (list(of[role].features) if role in of else [] for role in ("users", "items"))
    context = [*roles.context, *roles.lengths]
    signals = [*roles.labels, *roles.counts, *learned_shares(roles), *roles.durations, *([roles.rating] if roles.rating else [])]
    expressions = _expressions(signals, [*log, *(name for side in sides for name in side.names)])
    names = {column.name: name for name, (column, _) in expressions.items()}
    taken = [*log, *(name for side in sides for name in side.names), *expressions]
    outcomes = {unique(name, taken): label for name, label in other_outcomes(roles)}
    table: dict[str, Any] = {
        "user": [column.name for column in user],
        "item": [column.name for column in item],
        "context": [column.name for column in context],
        "category": [column.name for column in (*user, *item, *context) if is_category(column)],
        "multi": {column.name: column.list_separator for column in (*user, *item) if column.list_separator is not None},
        "signals": [
            *(entry["name"] for entry in proposal.tables["source"].get("feedback", ())),
            *(names.get(column.name, column.name) for column in roles.labels),
            *outcomes,
            *(names.get(column.name, column.name) for column in signals if column not in roles.labels),
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
            name = objective_name(column)
            name = f"{name}_value" if name.lower() in known else name
            text = number(column) if column.truth is None else f"{quoted(column.name)} {column.truth}"
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
    acted = f" Where {gaps[0]} stands only if the user acted, {quoted(gaps[0])} is not null is a label: see label_delay." if gaps else ""
    note("Other times of the log, not used", [column.name for column in roles.other_times], acted)
    learned = learned_shares(roles)
    shares = [column.name for column in roles.shares if column not in learned]
    note("Left out, because it is an outcome, known only after the impression", shares)
    if roles.flags:
        flags, label = ", ".join(column.name for column in roles.flags), label_of(roles.flags[0])
        said = "Put into context what is known before the impression. What the user did is an [[objective]] with a label such as"
        proposal.note(("features",), f"unsure: left out, because no name says whether the user did it: {flags}. {said} {label}.")
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
    """Return a short window and one that holds the days of the split, of a log of up to thirty days: what lasts is told by all of them."""
    days = _days(proposal)
    return [1, 7] if days <= 7 else [1, 14] if days <= 14 else [7, 30] if days <= 90 else [30, 365]
